"""How long to wait: before trying again, and before asking a shard again. Pure."""

from __future__ import annotations

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
    """

    busy_s: float = 0.25
    idle_s: float = 1.0
    full_records: int = 1000
    full_bytes: int = 700_000

    def delay_s(self, records: int, size_bytes: int, previous_s: float) -> float:
        """Seconds until the next poll, after a page of so much and a wait of `previous_s`."""
        if records >= self.full_records or size_bytes >= self.full_bytes:
            return 0.0
        if records:
            return min(self.busy_s, self.idle_s)
        return min(self.idle_s, max(self.busy_s, previous_s * 1.5))
