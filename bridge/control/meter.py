"""Rates over the last seconds, as numbers and as a small history for a sparkline."""

from __future__ import annotations

from collections import deque

WINDOW_S = 3.0
HISTORY = 24


class Meter:
    """How fast a count grows.

    Args:
        window_s: the rate is the mean over this many seconds.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, float]] = deque()
        self._history: deque[float] = deque([0.0] * HISTORY, maxlen=HISTORY)
        self.count = 0.0

    def observe(self, now_s: float, count: float) -> None:
        """The count at a moment, seconds."""
        previous = self._points[-1] if self._points else (now_s, count)
        self.count = count
        self._points.append((now_s, count))
        while len(self._points) > 2 and self._points[1][0] <= now_s - self._window_s:
            self._points.popleft()
        elapsed_s = now_s - previous[0]
        if elapsed_s > 0:
            self._history.append(max(0.0, (count - previous[1]) / elapsed_s))

    @property
    def rate(self) -> float:
        """Per second over the window."""
        if len(self._points) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        return max(0.0, (last - first) / (last_s - first_s)) if last_s > first_s else 0.0

    @property
    def history(self) -> tuple[float, ...]:
        """Rates between the last observations, oldest first."""
        return tuple(self._history)
