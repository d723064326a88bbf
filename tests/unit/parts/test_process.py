"""Parts never outlive a test run, and one that fails says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.ports import free_ports
from tests.parts.process import PartFailedError, Process
from tests.parts.waiting import wait_until

ROOT = Path(__file__).parents[3]
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)


def runs(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()[:1] not in ("", "Z")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    """A process that has said "up" and does nothing more."""
    process = Process("sleeper", SLEEP, log=tmp_path / "sleeper.log")
    with process:
        wait_until(lambda: "up" in process.log_tail(), timeout_s=20, what="the process to be up")
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills orphans")
def test_part_dies_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    script = (
        "import sys, time; from pathlib import Path; from tests.parts.process import Process\n"
        f"part = Process('part', {SLEEP!r}, log=Path({str(log)!r}))\n"
        "part.start(); print(part.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        # Not earlier: before it runs, the leash itself looks whether the parent is there.
        wait_until(lambda: "up" in log.read_text(), timeout_s=20, what="the part to run")
        assert runs(pid)
        run.kill()
    try:
        wait_until(lambda: not runs(pid), timeout_s=20, what="the part to die")
    finally:
        if runs(pid):
            os.kill(pid, signal.SIGKILL)


def test_killing_takes_what_the_process_started_along(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys; "
        f"child = subprocess.Popen({SLEEP!r}); print(child.pid, flush=True); child.wait()"
    )
    process = Process("parent", [sys.executable, "-c", script], log=tmp_path / "parent.log")
    with process:
        lines = wait_until(
            lambda: [line for line in process.log_tail().splitlines() if line.isdigit()],
            timeout_s=20,
            what="the child's pid",
        )
    wait_until(lambda: not runs(int(lines[0])), timeout_s=20, what="the child to die")


def test_pid_is_the_commands_own_and_signals_reach_it(sleeper: Process) -> None:
    sleeper.pause()
    state = ["ps", "-o", "stat=", "-p", str(sleeper.pid)]
    wait_until(
        lambda: subprocess.check_output(state, text=True).startswith("T"),
        timeout_s=20,
        what="the process to be stopped",
    )
    sleeper.resume()
    assert sleeper.stop() == -signal.SIGTERM
    assert not sleeper.alive


def test_stopping_what_does_not_stop_fails_and_kills_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IGNORES_SIGTERM]
    process = Process("deaf", command, log=tmp_path / "deaf.log")
    process.start()
    wait_until(lambda: "up" in process.log_tail(), timeout_s=20, what="the process to be up")
    with pytest.raises(PartFailedError, match=r"deaf still ran after 0.2 s"):
        process.stop(timeout_s=0.2)
    assert not process.alive


def test_part_that_dies_while_starting_tells_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the disk is full')"]
    process = Process("part", command, log=tmp_path / "part.log")
    process.start()
    with pytest.raises(PartFailedError, match=r"ended while starting.*\n.*the disk is full"):
        process.await_ready(lambda: False, timeout_s=20, expected=OSError)


def test_part_that_never_answers_is_killed(sleeper: Process) -> None:
    def refuse() -> bool:
        raise ConnectionRefusedError("not yet")

    with pytest.raises(PartFailedError, match=r"was not ready within 0.2 s") as failure:
        sleeper.await_ready(refuse, timeout_s=0.2, expected=OSError)
    assert isinstance(failure.value.__cause__, ConnectionRefusedError)
    assert not sleeper.alive


def test_errors_nobody_expected_are_not_taken_for_not_yet(sleeper: Process) -> None:
    with pytest.raises(ZeroDivisionError):
        sleeper.await_ready(lambda: 1 / 0, timeout_s=20, expected=OSError)


def test_running_process_is_not_started_twice(sleeper: Process) -> None:
    with pytest.raises(PartFailedError, match="already running"):
        sleeper.start()


def test_program_that_is_absent_is_named(tmp_path: Path) -> None:
    process = Process("part", ["no-such-program"], log=tmp_path / "part.log")
    process.start()
    assert process.wait(timeout_s=20) != 0
    assert "no-such-program" in process.log_tail()
    process.kill()


def test_ports_are_different_and_can_be_bound() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50


def test_waiting_in_vain_tells_for_what_and_what_was_seen() -> None:
    with pytest.raises(AssertionError, match=r"waited 0 s for the river; last seen: \[\]"):
        wait_until(list, timeout_s=0, what="the river")


def test_children_inherit_the_environment_and_what_is_added(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['PATH'], os.environ['ADDED'])"]
    log = tmp_path / "part.log"
    with Process("part", command, log=log, environment={"ADDED": "yes"}) as process:
        assert process.wait(timeout_s=20) == 0
    assert process.log_tail() == f"{os.environ['PATH']} yes"
