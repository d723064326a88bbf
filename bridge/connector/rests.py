"""Tables that a person paused: nothing is asked of them, and what that costs is said.

Positions and leases stay; DynamoDB goes on deleting changes 24 hours after they were made, so a
table that rests for long says again and again how much time is left.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bridge.connector.status import RETENTION_HOURS
from bridge.connector.tasks import Feed
from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.pauses import PausesFollower

logger = logging.getLogger(__name__)

_WARN_S = 300.0


class Rests:
    """Tells each feed whether it rests.

    Args:
        kafka: where.
        clock: seconds since 1970.
    """

    def __init__(self, kafka: KafkaConfig, clock: Callable[[], float] = time.time) -> None:
        self._follower = PausesFollower(kafka)
        self._clock = clock
        self._warned_at: dict[str, float] = {}

    def apply(self, feed: Feed) -> None:
        """Let the feed rest, or go on; until that is known it rests."""
        now_s = self._clock()
        try:
            pause = self._follower.paused("table", feed.table)
        except BrokerUnreachableError as error:
            logger.warning("pauses are not known yet", extra={"cause": str(error)})
            feed.paused_at_s = now_s if feed.paused_at_s is None else feed.paused_at_s
            return
        before, feed.paused_at_s = feed.paused_at_s, pause.at_s if pause is not None else None
        if feed.paused_at_s is None:
            if self._warned_at.pop(feed.table, None) is not None:
                logger.info("resumed", extra={"table": feed.table})
            return
        if before is None or now_s - self._warned_at.get(feed.table, 0.0) >= _WARN_S:
            self._warned_at[feed.table] = now_s
            behind_s = max(now_s - feed.paused_at_s, feed.lag_s(now_s))
            logger.warning(
                "paused; unread changes are lost when DynamoDB trims them",
                extra={
                    "table": feed.table,
                    "hours_to_trim": round(RETENTION_HOURS - behind_s / 3600, 1),
                    "remedy": f"tailrace resume table:{feed.table}",
                },
            )

    def close(self) -> None:
        """Let go of Kafka."""
        self._follower.close()
