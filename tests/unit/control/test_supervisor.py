"""The supervisor, with small stand-ins for the stages."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.control.supervisor import Stage, StageFailedError, StageSpec, Supervisor
from tests.parts.waiting import wait_until

STAND_IN = """
import os, signal, sys, time
assert sys.argv[1] == "run"
kind, target = sys.argv[2], sys.argv[3]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"{kind} {target} port={os.environ['TAILRACE_METRICS_PORT']}", flush=True)
if target == "wrong":
    print("tailrace: orders.py: no such path. Write another", flush=True)
    sys.exit(2)
if target == "crash":
    sys.exit(1)
while True:
    time.sleep(60)
"""


def supervisor(tmp_path: Path, *targets: str) -> tuple[Supervisor, list[str]]:
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    told: list[str] = []
    specs = [
        StageSpec(
            kind="sink",
            name=f"sink-{n}",
            target=target,
            settings={"namespace": "test"},
            command=(sys.executable, str(script)),
        )
        for n, target in enumerate(targets)
    ]
    return Supervisor(specs, tmp_path / "logs", told.append), told


def until_up(stage: Stage) -> None:
    wait_until(lambda: "port" in stage.log.read_text(), timeout_s=30, what="a start")


def until_told(found: Supervisor, told: list[str], text: str) -> None:
    def seen() -> bool:
        found.tick()
        return any(text in line for line in told)

    wait_until(seen, timeout_s=30, what=f"{text!r} reported")


def test_a_killed_stage_comes_back_on_another_port(tmp_path: Path) -> None:
    found, told = supervisor(tmp_path, "fine")
    (stage,) = found.stages
    found.start()
    try:
        until_up(stage)
        first = (stage.pid, stage.port)
        assert stage.child is not None
        stage.child.kill()
        until_told(found, told, "started again")
        assert stage.state == "running"
        assert stage.restarts == 1
        assert (stage.pid, stage.port) != first
        assert any("SIGKILL" in line for line in told)
    finally:
        found.stop()
    assert stage.child is not None
    assert stage.child.exit_code is not None


def test_a_wrong_configuration_stops_the_run_with_its_line(tmp_path: Path) -> None:
    found, _told = supervisor(tmp_path, "fine", "wrong")
    found.start()
    try:
        with pytest.raises(StageFailedError, match=r"sink-1.*no such path\. Write another"):
            wait_until(found.tick, timeout_s=30, what="the failure")
    finally:
        found.stop()


def test_a_stage_that_keeps_failing_stops_the_run(tmp_path: Path) -> None:
    found, told = supervisor(tmp_path, "crash")
    found._clock = lambda: time.monotonic() * 20  # twenty times as fast
    found.start()
    try:
        with pytest.raises(StageFailedError, match="times in a row"):
            wait_until(found.tick, timeout_s=60, what="giving up", interval_s=0.02)
    finally:
        found.stop()
    assert sum("started again" in line for line in told) == 7


def test_stopping_ends_every_stage_with_exit_code_zero(tmp_path: Path) -> None:
    found, _told = supervisor(tmp_path, "fine", "fine")
    found.start()
    for stage in found.stages:
        until_up(stage)

    found.stop()

    assert [stage.child.exit_code for stage in found.stages if stage.child] == [0, 0]


def test_a_redeployed_stage_ends_in_order_and_starts_as_told(tmp_path: Path) -> None:
    stages, told = supervisor(tmp_path, "before")
    (stage,) = stages.stages
    stages.start()
    try:
        until_up(stage)
        stage.redeploy(replace(stage.spec, target="after"))

        def started() -> bool:
            stages.tick()
            return "sink after port" in stage.log.read_text()

        wait_until(started, timeout_s=30, what="the new one")
        assert not stage.redeploying
        assert (stage.state, stage.restarts) == ("running", 0)
        assert told == ["sink-0 is redeployed"]
    finally:
        stages.stop()
