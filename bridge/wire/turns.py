"""Whether a loop still turns: what hangs raises nothing, it only does not come back."""

from __future__ import annotations

import time
from collections.abc import Callable

STALLED_S = 30.0


class Turns:
    """When a loop last turned and what it has been at since; told by its thread, read by any.

    Args:
        clock: seconds, rising; never the wall's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now: tuple[str, float] | None = None

    def turn(self, doing: str) -> None:
        """It turned, and now does this."""
        self._now = (doing, self._clock())

    def rest(self) -> None:
        """It has nothing to do, however long that lasts."""
        self._now = None

    @property
    def busy(self) -> bool:
        """Whether it is at something."""
        return self._now is not None

    @property
    def problem(self) -> str | None:
        """None while it turns, else one line: at what it has been, and for how long."""
        now = self._now
        if now is None:
            return None
        doing, since_s = now
        for_s = self._clock() - since_s
        return f"{doing} takes {for_s:.0f} s already" if for_s > STALLED_S else None
