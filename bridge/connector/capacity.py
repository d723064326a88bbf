"""How much read capacity scans may take, by what Scan says that it consumed. Pure but for a lock.

A page is paid for in advance with what the last one cost, and the difference when its answer tells
the true price: so neither many segments that begin at once nor pages dearer than thought exceed the
budget for longer than one page.
"""

from __future__ import annotations

import threading

# A full page is 1 MB; a unit pays 4 KB read consistently and 8 KB else.
# Source: "Capacity unit consumption for read operations", Amazon DynamoDB Developer Guide.
PAGE_BYTES = 1024 * 1024
UNIT_BYTES = 4096
# What another segment paid in advance and did not use is free again at once.
_WAIT_MAX_S = 0.25


def units_of(size_bytes: int, *, consistent: bool) -> float:
    """What reading so much costs, where the service does not say."""
    units = -(-size_bytes // UNIT_BYTES)
    return float(units) if consistent else units / 2


class ReadBudget:
    """The read capacity units a second of one table's scans, shared by a worker's segments.

    `share` is this worker's part of it, by the buckets it owns; 0 stops its scans.
    """

    def __init__(self, units_per_s: float) -> None:
        self.units_per_s = units_per_s
        self.share = 1.0
        self._free_at_s = 0.0
        self._lock = threading.Lock()

    def reserve(self, units: float, now_s: float) -> float:
        """Pay in advance: 0, or without paying the seconds after which to try again."""
        with self._lock:
            rate = self.units_per_s * self.share
            if rate <= 0:
                return 1.0
            if self._free_at_s > now_s:
                return min(self._free_at_s - now_s, _WAIT_MAX_S)
            self._free_at_s = now_s + units / rate
            return 0.0

    def settle(self, reserved: float, used: float) -> None:
        """What was reserved has cost so much."""
        with self._lock:
            rate = self.units_per_s * self.share
            if rate > 0:
                self._free_at_s += (used - reserved) / rate
