"""Counting without a lock per message: a counter's increments, given on once per batch."""

from __future__ import annotations

from typing import Protocol


class Counted(Protocol):
    """A counter of Prometheus, its labels given."""

    def inc(self, amount: float = 1) -> None:
        """Add to it."""


class Tally:
    """Adds up what a counter is to be told."""

    __slots__ = ("_counter", "_waiting")

    def __init__(self, counter: Counted) -> None:
        self._counter = counter
        self._waiting = 0

    def inc(self, amount: int = 1) -> None:
        """Count; the counter learns of it later."""
        self._waiting += amount

    def flush(self) -> None:
        """Tell the counter."""
        if self._waiting:
            self._counter.inc(self._waiting)
            self._waiting = 0
