"""A progress bar on a terminal's standard error; elsewhere, and beside `--json`, nothing at all."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")
_EVERY = 500


class Bar:
    """Shows how far a command is; for a `with`.

    Args:
        shown: whether it may be shown at all; None asks whether standard error is a terminal.
    """

    def __init__(self, *, shown: bool | None = None) -> None:
        wanted = sys.stderr.isatty() if shown is None else shown
        self._progress: Progress | None = _progress() if wanted else None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def step(self, what: str, total: float | None = None) -> None:
        """Begin with something else, of so many; None where nobody knows how many."""
        if self._progress is not None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(what, total=total or None)

    def reach(self, done: float, what: str | None = None) -> None:
        """So many are done by now."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, description=what)

    def counting(self, things: Iterable[T]) -> Iterator[T]:
        """The same things, counted as they pass."""
        count = 0
        for thing in things:
            yield thing
            count += 1
            if count % _EVERY == 0:
                self.reach(count)
        self.reach(count)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, force_terminal=True),  # asked before: it is one
        transient=True,
    )
