"""When a Kafka client last heard from a broker, by its own statistics.

A wire that swallows everything raises no error for a minute or more, while requests are waited for;
the bytes that come in stop at once. Any member of a group is answered every few seconds, so its
silence is trouble.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

SILENT_S = 20.0
# How old an answer may be when it is seen.
INTERVAL_MS = 2_000


class Pulse:
    """Whether brokers still answer one client that is a member of a group.

    Args:
        clock: seconds, rising; never the wall's.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard_at = clock()
        self._answers = 0

    def settings(self) -> dict[str, Any]:
        """What the client's configuration needs; its owner has to poll it."""
        return {"statistics.interval.ms": INTERVAL_MS, "stats_cb": self.observe}

    def observe(self, statistics: str) -> None:
        """Take librdkafka's statistics: they count the answers of each broker."""
        brokers = json.loads(statistics).get("brokers", {}).values()
        answers = sum(broker.get("rx", 0) for broker in brokers)
        # Fewer: another client, or a broker that was forgotten; one that answered either way.
        if answers != self._answers:
            self._answers, self._heard_at = answers, self._clock()

    @property
    def silent_s(self) -> float:
        """Seconds since an answer was seen."""
        return self._clock() - self._heard_at

    @property
    def problem(self) -> str | None:
        """None while brokers answer, else one line that says for how long they have not."""
        silent_s = self.silent_s
        if silent_s < SILENT_S:
            return None
        return f"Kafka has not answered for {silent_s:.0f} s"
