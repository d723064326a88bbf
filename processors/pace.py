"""How long single changes take: one that takes long holds back all behind it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from processors import metrics

logger = logging.getLogger(__name__)

SLOW_S = 1.0


class Pace:
    """Times the messages of one run; asked after each whether its time is up.

    Args:
        transform: whose.
        messages: of the run, in order.
        until_s: when to leave off, by `clock`.
        clock: seconds, rising.
    """

    def __init__(
        self,
        transform: str,
        messages: Sequence[Message],
        until_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transform = transform
        self._messages = messages
        self._until_s = until_s
        self._clock = clock
        self._done = 0
        self._begun_s = clock()

    def over(self) -> bool:
        """A message was processed; whether to leave off."""
        now_s = self._clock()
        if now_s - self._begun_s > SLOW_S:
            self._note(self._messages[self._done], now_s - self._begun_s)
        self._done += 1
        self._begun_s = now_s
        return now_s >= self._until_s

    def _note(self, message: Message, took_s: float) -> None:
        metrics.SLOW.labels(self._transform).inc()
        logger.warning(
            "slow record",
            extra={
                "transform": self._transform,
                "topic": message.topic(),
                "partition": message.partition(),
                "offset": message.offset(),
                "seconds": round(took_s, 1),
            },
        )
