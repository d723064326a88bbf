"""The connectors' committed state as it is now, for commands that ask and those that wait."""

from __future__ import annotations

import time

from bridge.connector.tail import Tail
from bridge.connector.view import CheckpointView
from bridge.control.status.logs import Logs
from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import TopicNames, admin, existing_topics

_TAIL_S = 60.0


class Checkpoints:
    """All of them, read once and followed after that, until `close`.

    Args:
        kafka: where.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._topic = TopicNames(kafka.namespace).checkpoints
        self._logs = Logs(kafka)
        self._view = CheckpointView()
        self._tail: Tail | None = None

    def close(self) -> None:
        """Let go of Kafka."""
        if self._tail is not None:
            self._tail.close()

    def now(self) -> CheckpointView:
        """As committed now; empty where no connector ever ran.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        partitions = existing_topics(admin(self._kafka)).get(self._topic, 0)
        if not partitions:
            return self._view
        if self._tail is None:
            self._tail = Tail(self._kafka, self._topic, partitions, quiet=True)
        tail, everyone = self._tail, range(partitions)
        bounds = self._logs.bounds([(self._topic, p) for p in everyone]).values()
        ends = dict(zip(everyone, (log.end for log in bounds), strict=True))
        deadline = time.monotonic() + _TAIL_S
        while any(tail.position(p) < ends[p] for p in everyone):
            tail.poll(0.1, self._view.apply)
            if time.monotonic() > deadline:
                raise BrokerUnreachableError(
                    f"its end was not reached within {_TAIL_S:.0f} s", where=self._topic
                )
        return self._view
