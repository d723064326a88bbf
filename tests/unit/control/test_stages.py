"""One stage in a process: the engine gets its configuration, SIGTERM ends it with exit code 0."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

from bridge.control.ports import free_port
from bridge.control.scrape import health
from bridge.control.stages import needing
from bridge.wire.errors import ConfigurationError
from tests.parts.process import Process
from tests.parts.waiting import wait_until

ROOT = Path(__file__).parents[3]
# The real command line, with a stand-in for the engine.
CODE = """
import sys, types
stand_in = types.ModuleType("bridge.connector.service")
class Config:
    def __init__(self, **given):
        print("configured", sorted(given), given["kafka"].brokers, flush=True)
class Engine:
    def __init__(self, config, *, failpoint):
        failpoint("anything")
    def health(self):
        return "not much going on"
    def run(self, stop):
        print("running", flush=True)
        stop.wait()
        print("finished in order", flush=True)
stand_in.ConnectorConfig, stand_in.Connector = Config, Engine
sys.modules["bridge.connector.service"] = stand_in
from bridge.control.cli import main
sys.argv = ["tailrace", "run", "connector", "processors/examples/orders.py"]
main()
"""


def stage(tmp_path: Path, port: int = 0) -> Process:
    return Process(
        "stage",
        [sys.executable, "-c", CODE],
        log=tmp_path / "log",
        environment={
            "PYTHONPATH": str(ROOT),
            "TAILRACE_BROKERS": "a:1",
            "TAILRACE_METRICS_PORT": str(port),
            "TAILRACE_CONFIG": os.devnull,
        },
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_work_in_hand(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with stage(tmp_path) as process:
        wait_until(lambda: "running" in process.log_tail(), timeout_s=30, what="the engine")

        os.kill(process.pid, number)

        assert process.wait(timeout_s=30) == 0
    assert "finished in order" in process.log_tail()
    assert "Traceback" not in process.log_tail()


def test_health_of_the_engine_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    port = free_port()
    with stage(tmp_path, port) as process:
        wait_until(lambda: "running" in process.log_tail(), timeout_s=30, what="the engine")

        assert health(port) == "not much going on"


def test_a_missing_package_names_its_extra() -> None:
    with (
        pytest.raises(ConfigurationError, match=r"nothing_like_this.*pip install '\.\[sink\]'"),
        needing("sink"),
    ):
        importlib.import_module("nothing_like_this")


def test_a_missing_module_of_ours_is_a_defect_not_an_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needing("sink"):
        importlib.import_module("sinks.nothing_like_this")
