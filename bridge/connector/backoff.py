"""How long to wait: before trying again, before asking a shard again. Pure but for a lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential delays with jitter: half of each is fixed, half is drawn."""

    first_s: float = 0.1
    cap_s: float = 10.0

    def delay_s(self, failures: int, draw: float) -> float:
        """Seconds to wait after so many failures in a row (1, 2, …); `draw` is from [0, 1)."""
        full = min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return full / 2 + full / 2 * draw


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPace:
    """When to ask a shard again.

    A full page means that more is waiting: ask at once. GetRecords calls are billed, so a shard
    that gives little is asked four times a second and one that gives nothing ever more rarely.

    AWS names no rate of GetRecords for a shard of a table's stream, so none is kept before AWS asks
    for it: a backlog of a day is caught up as quickly as answers come. Who is throttled keeps
    `throttled_s` from then on, the five calls a second of a Kinesis shard, or more, and only slowly
    tries to be quicker: two or three calls in a hundred are refused then, not every second one.
    """

    busy_s: float = 0.25
    idle_s: float = 1.0
    full_records: int = 1000
    full_bytes: int = 700_000
    throttled_s: float = 0.2
    throttled_most_s: float = 2.0

    def delay_s(self, records: int, size_bytes: int, previous_s: float) -> float:
        """Seconds until the next poll, after a page of so much and a wait of `previous_s`."""
        if records >= self.full_records or size_bytes >= self.full_bytes:
            return 0.0
        if records:
            return min(self.busy_s, self.idle_s)
        return min(self.idle_s, max(self.busy_s, previous_s * 1.5))

    def after_throttle_s(self, spacing_s: float) -> float:
        """The least time between polls of a shard after one of them was throttled."""
        return min(self.throttled_most_s, max(self.throttled_s, spacing_s * 2.0))

    def after_answer_s(self, spacing_s: float) -> float:
        """The same after an answer: a hundredth less, nothing below a tenth of `throttled_s`."""
        eased_s = spacing_s * 0.99
        return eased_s if eased_s > self.throttled_s / 10 else 0.0


class CallRate:
    """At most `per_s` calls a second, and `burst` more at once after a pause; for all threads."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._interval_s = 1.0 / per_s
        self._ahead_s = (burst - 1) * self._interval_s
        self._next_s = float("-inf")
        self._lock = threading.Lock()

    def reserve(self, now_s: float) -> float:
        """Take a place in the line; the seconds to wait before the call."""
        with self._lock:
            self._next_s = max(self._next_s, now_s)
            wait_s = max(0.0, self._next_s - self._ahead_s - now_s)
            self._next_s += self._interval_s
            return wait_s

    def free(self, now_s: float) -> bool:
        """Take a place if the call may be made at once; whether it may."""
        with self._lock:
            ahead_s = max(0.0, self._next_s - now_s)
            if ahead_s > self._ahead_s + 1e-6:
                return False
            self._next_s = now_s + ahead_s + self._interval_s
            return True
