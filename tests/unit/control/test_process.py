"""Children: they never outlive their parent, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.control import settings
from bridge.control.process import Child, stop_all
from tests.parts.waiting import wait_until

FOREVER = [sys.executable, "-c", "import time\nwhile True: time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "while True: time.sleep(60)"
    ),
]
BOTH = pytest.mark.parametrize("guard", [False, True], ids=["kernel", "guard"])


def start(command: list[str], folder: Path, *, guard: bool = False) -> Child:
    log = folder / "child.log"
    return Child("child", command, log=log, environment=settings.environment(), guard=guard)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def said(child: Child, text: str) -> None:
    wait_until(lambda: text in child.log.read_text(), timeout_s=30, what=f"{text!r} in the log")


@BOTH
def test_it_dies_when_its_parent_is_killed(tmp_path: Path, guard: bool) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from bridge.control import settings\n"
        "from bridge.control.process import Child\n"
        "code = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'\n"
        f"Child('c', [sys.executable, '-c', code], log=Path({str(tmp_path / 'c.log')!r}),\n"
        f"      environment=settings.environment(), guard={guard})\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    log = tmp_path / "c.log"
    try:
        wait_until(lambda: log.exists() and log.read_text().strip(), timeout_s=30, what="a child")
        pid = int(log.read_text())
        assert alive(pid)
    finally:
        parent.kill()
        parent.wait()

    wait_until(lambda: not alive(pid), timeout_s=10, what="the child's end")


@BOTH
def test_stopping_is_asking_first(tmp_path: Path, guard: bool) -> None:
    child = start(
        [
            sys.executable,
            "-c",
            (
                "import signal, sys, time\n"
                "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
                "print('up', flush=True)\n"
                "while True: time.sleep(60)"
            ),
        ],
        tmp_path,
        guard=guard,
    )
    said(child, "up")

    assert child.stop(30) == 7


@BOTH
def test_who_does_not_listen_is_killed(tmp_path: Path, guard: bool) -> None:
    child = start(STUBBORN, tmp_path, guard=guard)
    said(child, "up")

    assert child.stop(0.2) is None
    assert child.exit_code is not None


def test_killing_takes_its_children_along(tmp_path: Path) -> None:
    child = start(
        [
            sys.executable,
            "-c",
            (
                "import subprocess, sys, time\n"
                "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
                "print(inner.pid, flush=True)\n"
                "time.sleep(600)"
            ),
        ],
        tmp_path,
    )
    wait_until(lambda: child.log.read_text().strip(), timeout_s=30, what="the inner pid")
    inner = int(child.log.read_text())

    child.kill()

    wait_until(lambda: not alive(inner), timeout_s=10, what="the end of the inner process")


def test_the_terminals_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    child = start(FOREVER, tmp_path)
    try:
        assert os.getpgid(child.pid) != os.getpgid(os.getpid())
    finally:
        child.kill()


def test_the_last_line_is_that_of_this_life(tmp_path: Path) -> None:
    first = start([sys.executable, "-c", "print('one'); print('two'); print()"], tmp_path)
    assert first.wait(30) == 0
    assert first.last_line() == "two"

    second = start([sys.executable, "-c", "pass"], tmp_path)
    assert second.wait(30) == 0
    assert second.last_line() == ""


def test_all_are_stopped_together(tmp_path: Path) -> None:
    children = [
        Child(name, FOREVER, log=tmp_path / f"{name}.log", environment=settings.environment())
        for name in "ab"
    ]

    stop_all(children, 30)

    assert [child.exit_code for child in children] == [-signal.SIGTERM, -signal.SIGTERM]
