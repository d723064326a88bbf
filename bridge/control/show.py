"""Shows a run while it runs: drawn live on a terminal, or as plain lines for logs and CI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from bridge.control.screen import Event, Screen

_FRAMES_PER_S = 6
_LINE_EVERY_S = 2.0


class Show(AbstractContextManager["Show"]):
    """Shows nothing but events; the base of the two ways to show a run."""

    def event(self, event: Event) -> None:
        """Something happened."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End showing."""


class LiveShow(Show):
    """Draws the screen a few times a second; its last frame stays on the terminal."""

    def __init__(self, screen: Callable[[], Screen]) -> None:
        from rich.console import Console
        from rich.live import Live

        from bridge.control.view import draw

        console = Console()
        self._live = Live(
            console=console,
            get_renderable=lambda: draw(screen(), console.width, console.height),
            refresh_per_second=_FRAMES_PER_S,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()


class PlainShow(Show):
    """Writes a line per event, and one with the counts every other second."""

    def __init__(
        self,
        screen: Callable[[], Screen],
        write: Callable[[str], None],
        every_s: float = _LINE_EVERY_S,
    ) -> None:
        self._screen = screen
        self._write = write
        self._every_s = every_s
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="show", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(5)

    def event(self, event: Event) -> None:
        """One line."""
        self._line(f"{event.at_s:5.1f} s  {event.text}")

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            screen = self._screen()
            self._line(f"{screen.elapsed_s:5.1f} s  {status_line(screen)}")

    def _line(self, text: str) -> None:
        with self._lock:
            self._write(text)


def status_line(screen: Screen) -> str:
    """The stations in one line."""
    return " | ".join(
        f"{box.title} {box.count:,} ({box.rate:,.0f}/s"
        + (f", lag {box.lag_s:.1f} s" if box.lag_s is not None else "")
        + (f", {box.light}" if box.light in ("down", "troubled", "starting") else "")
        + ")"
        for box in screen.boxes
    )


class Clock:
    """Seconds since the run began."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self.started_s


def write_line(text: str) -> None:
    """A line on standard output, at once."""
    import sys

    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
