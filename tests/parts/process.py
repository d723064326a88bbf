"""One server or stage as a process of its own, on a leash, with its log in a file.

Start it from a thread that lives as long as it should: the leash is tied to that thread.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LEASH = Path(__file__).with_name("leash.py")
LOG_TAIL_LINES = 40


class PartFailedError(Exception):
    """A part did not start, did not stop or died; the message ends with its log's tail."""


class Process:
    """A child process: started, paused, stopped or killed by name.

    Args:
        name: for messages.
        command: program and arguments; the program is looked up on PATH.
        log: standard output and error are appended to this file.
        environment: added to the test run's own.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = dict(environment or {})
        self._popen: subprocess.Popen[bytes] | None = None
        self._started = False

    def start(self) -> None:
        """Start, without waiting for anything.

        Raises:
            PartFailedError: it is still running.
        """
        if self.alive:
            raise PartFailedError(f"{self.name} is already running (pid {self.pid})")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        leash = [sys.executable, "-I", str(LEASH), str(os.getpid())]
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*leash, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        self._started = True
        atexit.register(self._kill_group)

    def await_ready(
        self,
        probe: Callable[[], object],
        *,
        timeout_s: float,
        expected: type[Exception] | tuple[type[Exception], ...],
    ) -> None:
        """Wait until `probe` answers something true; errors of type `expected` mean "not yet".

        Raises:
            PartFailedError: the process ended or was not ready in time; it is then killed.
        """
        deadline = time.monotonic() + timeout_s
        cause: Exception | None = None
        while self.alive and time.monotonic() < deadline:
            try:
                if probe():
                    return
            except expected as error:
                cause = error
            time.sleep(0.05)
        what = f"was not ready within {timeout_s:g} s" if self.alive else "ended while starting"
        tail = self.log_tail()
        self.kill()
        raise PartFailedError(f"{self.name} {what}. The end of its log:\n{tail}") from cause

    @property
    def pid(self) -> int:
        """The pid of the command itself."""
        if self._popen is None:
            raise PartFailedError(f"{self.name} was never started")
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N after signal N."""
        return None if self._popen is None else self._popen.poll()

    def wait(self, *, timeout_s: float) -> int:
        """Its exit code, once it has ended by itself.

        Raises:
            PartFailedError: it still runs after `timeout_s`; it is left running.
        """
        if self._popen is None:
            raise PartFailedError(f"{self.name} was never started")
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            message = f"{self.name} still ran after {timeout_s:g} s. The end of its log:\n"
            raise PartFailedError(message + self.log_tail()) from None

    def stop(self, *, timeout_s: float = 30.0) -> int | None:
        """SIGTERM, then wait; its exit code, None if it was never started.

        Raises:
            PartFailedError: it did not end in time; it is then killed.
        """
        if self._popen is None:
            return None
        if self.alive:
            self._popen.send_signal(signal.SIGTERM)
        try:
            return self.wait(timeout_s=timeout_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL for it and all it started, waited for; harmless when it is gone."""
        if self._popen is not None and self._started:
            self._kill_group()
            self._popen.wait()
            atexit.unregister(self._kill_group)
            # Once only: afterwards the system may give the group's number to somebody else.
            self._started = False

    def pause(self) -> None:
        """SIGSTOP: it holds all it has and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def abort(self) -> None:
        """SIGABRT, and wait: with PYTHONFAULTHANDLER its log then says where its threads were."""
        if self.alive:
            os.kill(self.pid, signal.SIGABRT)
            self.wait(timeout_s=30)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of its log, "(empty)" without any."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:]) or "(empty)"

    def _kill_group(self) -> None:
        # Every process we start leads a session, and its group, of its own.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says EPERM of a zombie's group
            return

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
