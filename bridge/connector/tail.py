"""Tailing `_checkpoints`: every worker reads all of it, committed records only, from its start."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from bridge.wire.errors import BrokerUnreachableError, TopicError
from bridge.wire.kafka import (
    REQUEST_TIMEOUT_S,
    KafkaConfig,
    LogBounds,
    committed_ends,
    unreachable,
    written_bounds,
)

logger = logging.getLogger(__name__)

_WIPED = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001
_LOST = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)  # noqa: SLF001
_BATCH = 2000
_ENDS_TIMEOUT_S = 5.0


class Tail:
    """An `assign()` consumer over all partitions of the checkpoint topic.

    Args:
        quiet: for who only looks: what fails is raised, not muttered about too.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """

    def __init__(
        self, kafka: KafkaConfig, topic: str, partitions: int, *, quiet: bool = False
    ) -> None:
        self._topic = topic
        group = f"{kafka.namespace}.connector-tail"  # never commits, never joins
        make = kafka.reader if quiet else kafka.consumer
        settings = make(group=group, enable_partition_eof=True)
        settings["fetch.wait.max.ms"] = 100
        self._consumer = Consumer(settings)
        self._kafka = kafka
        starts = self._starts(range(partitions))
        self._positions = dict(starts)
        self._consumer.assign([TopicPartition(topic, p, start) for p, start in starts.items()])

    def _starts(self, partitions: Iterable[int]) -> dict[int, int]:
        """The log's starts; a topic that was created a moment ago may have no leader yet."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while True:
            try:
                bounds = self._bounds(partitions, REQUEST_TIMEOUT_S)
            except BrokerUnreachableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return {partition: found.start for partition, found in bounds.items()}

    def _bounds(self, partitions: Iterable[int], timeout_s: float) -> dict[int, LogBounds]:
        # A client of its own each time: one that was kept goes on asking with the leader epoch it
        # knew, and is refused for ever after the partition's leader has changed.
        client = AdminClient(self._kafka.admin())
        return written_bounds(client, self._topic, partitions, timeout_s=timeout_s)

    def position(self, partition: int) -> int:
        """The offset up to which the partition was read, transaction markers included."""
        return self._positions[partition]

    def targets(self, own: Iterable[int]) -> dict[int, dict[int, int]]:
        """For each own partition, up to where all of them must be read before it may be used.

        Itself to its end: its owner before is fenced, and everything it left is decided. Of the
        others, what is committed by now. Whatever the owner before had acted on is in that; what
        another worker has in an open transaction is not waited for.

        Raises:
            BrokerUnreachableError: no answer in time.
        """
        own = list(own)
        written = self._bounds(own, timeout_s=_ENDS_TIMEOUT_S)
        client = AdminClient(self._kafka.admin())
        every = committed_ends(client, self._topic, self._positions, timeout_s=_ENDS_TIMEOUT_S)
        return {number: {**every, number: written[number].end} for number in own}

    def poll(self, timeout_s: float, apply: Callable[[bytes, bytes | None], object]) -> int:
        """Hand over what was committed since the last call; the number of records.

        Raises:
            TopicError: the topic was deleted or created anew.
            BrokerUnreachableError: Kafka refuses for good.
        """
        count = 0
        for message in self._consumer.consume(_BATCH, timeout_s):
            if self._usable(message):
                key, value = message.key(), message.value()
                if isinstance(key, bytes):
                    apply(key, value if isinstance(value, bytes) else None)
                    count += 1
        return count

    def _usable(self, message: Message) -> bool:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is None:
            self._positions[partition] = offset + 1
            return True
        code = error.code()
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001 (that is how the binding spells it)
            self._positions[partition] = max(self._positions[partition], offset)
        elif code in _WIPED or code in _LOST:
            raise TopicError(
                f"the topic was deleted or created anew: {error.str()}",
                where=self._topic,
                remedy="Start the connector again; it begins with a new snapshot",
            )
        elif error.retriable():
            logger.warning("tailing checkpoints", extra={"cause": error.str()})
        else:
            raise unreachable(KafkaException(error), self._topic)
        return False

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
