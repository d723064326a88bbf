"""How fast a command may read DynamoDB: in read capacity units, by what the answers say it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


class ReadBudget:
    """Spreads reads so that on average no more than `units_per_s` are consumed.

    A page is paid after it was read, since only its answer tells the price; the next one waits
    until it is paid for.

    Args:
        units_per_s: read capacity units a second; None is without limit.
        clock: seconds, monotonic.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        units_per_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._units_per_s = units_per_s
        self._clock = clock
        self._sleep = sleep
        self._paid_at_s = clock()

    @property
    def arguments(self) -> dict[str, str]:
        """What a read has to ask for."""
        return {} if self._units_per_s is None else {"ReturnConsumedCapacity": "TOTAL"}

    def wait(self) -> None:
        """Wait until what was read so far is paid for."""
        ahead_s = self._paid_at_s - self._clock()
        if ahead_s > 0:
            self._sleep(ahead_s)

    def pay(self, answer: Mapping[str, Any]) -> None:
        """Account for an answer of Scan or BatchGetItem."""
        if self._units_per_s is None:
            return
        consumed = answer.get("ConsumedCapacity") or ()
        parts = (consumed,) if isinstance(consumed, Mapping) else consumed
        units = sum(float(part.get("CapacityUnits", 0)) for part in parts)
        self._paid_at_s = max(self._paid_at_s, self._clock()) + units / self._units_per_s
