"""A child process on a tether, with its output in a file.

It never outlives this process and never sees the terminal's Ctrl-C: ending it is our decision, in
the right order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.control.tether import tethered

_LINE_BYTES_MAX = 4096


class Child:
    """One started process.

    Start it from a thread that lives as long as the child should.

    Args:
        name: for messages.
        command: program and arguments.
        log: its output is appended here.
        environment: its whole environment.
        guard: tether by a guard process instead of the kernel.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        guard: bool = sys.platform != "linux",
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                tethered(command, guard=guard),
                stdin=subprocess.PIPE if guard else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, which also names its process group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N after signal N."""
        return self._popen.poll()

    def terminate(self) -> None:
        """Ask it to finish: SIGTERM."""
        if self.exit_code is None:
            self._popen.terminate()

    def kill(self) -> None:
        """SIGKILL for it and whatever it started, waited for."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        self._close()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, None if it still runs after `timeout_s`."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self._close()
        return code

    def stop(self, timeout_s: float) -> int | None:
        """SIGTERM, then SIGKILL for one that does not end within `timeout_s`; its exit code."""
        self.terminate()
        code = self.wait(timeout_s)
        if code is None:
            self.kill()
        return code

    def last_line(self) -> str:
        """The last line this run wrote to its log, empty without one."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(min(self._log_start, size), size - _LINE_BYTES_MAX))
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _close(self) -> None:
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()


def stop_all(children: Sequence[Child], timeout_s: float) -> None:
    """Stop them together, in parallel: SIGTERM to all, then wait, then SIGKILL."""
    import time

    for child in children:
        child.terminate()
    deadline = time.monotonic() + timeout_s
    for child in children:
        if child.wait(max(0.0, deadline - time.monotonic())) is None:
            child.kill()
