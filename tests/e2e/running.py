"""`tailrace` as a user runs it: a process with a mark that all its descendants inherit."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

from tests.parts.process import Process
from tests.parts.waiting import wait_until

ROOT = Path(__file__).parents[2]
ORDERS = ROOT / "processors/examples/orders.py"
_MARK = "TEST_RUN_MARK"


class Tailrace(Process):
    """A command of ours, in a folder of its own.

    Args:
        folder: its working directory; the output goes to `output.txt` there.
        arguments: of the command.
        environment: added to the test run's own.
    """

    def __init__(
        self, folder: Path, *arguments: str, environment: dict[str, str] | None = None
    ) -> None:
        self._mark = uuid.uuid4().hex
        super().__init__(
            f"tailrace {arguments[0]}",
            [sys.executable, "-m", "bridge.control", *arguments],
            log=folder / "output.txt",
            environment={_MARK: self._mark, "PYTHONPATH": str(ROOT), **(environment or {})},
        )

    @property
    def output(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def await_output(self, text: str, *, timeout_s: float) -> str:
        """Wait until it wrote `text`; all it wrote."""
        wait_until(
            lambda: text in self.output or not self.alive, timeout_s=timeout_s, what=f"{text!r}"
        )
        assert text in self.output, self.output
        return self.output

    def descendants(self) -> list[int]:
        """Processes alive with its mark, itself left out."""
        wanted = f"{_MARK}={self._mark}".encode()
        return [pid for pid in _pids() if pid != self.pid and wanted in _environment_of(pid)]

    def await_nothing_left(self) -> None:
        """Wait until no process of the run is left."""
        wait_until(lambda: not self.descendants(), timeout_s=15, what="the end of every process")


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _environment_of(pid: int) -> list[bytes]:
    """Empty for processes that are gone, zombies, or somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
