"""Time for the fake: real, or moved by hand so that 24 hours pass in a microsecond."""

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time in seconds since 1970."""

    def now(self) -> float:
        """The time, in seconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """The time, in seconds."""
        return time.time()


class VirtualClock:
    """A clock that moves only when told to.

    It starts at a fixed instant, so a run with one seed gives the same ARNs and shard ids twice.
    """

    def __init__(self, now_s: float = 1_790_000_000.0) -> None:
        self._now_s = now_s

    def now(self) -> float:
        """The time, in seconds."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move forward; a clock that runs backwards is a test's mistake."""
        if seconds < 0:
            raise ValueError(f"a clock cannot be advanced by {seconds} s")
        self._now_s += seconds
