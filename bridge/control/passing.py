"""Whether the pipeline has passed a moment: everything in the topics then is in the table now.

The processor's and the sink's committed offsets are compared with the ends the topics had. Offsets
between hold markers of transactions too, so what counts is that nothing is left to read there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from bridge.wire.errors import BrokerUnreachableError, TailraceError
from bridge.wire.generations import named
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, log_bounds, unreachable
from bridge.wire.topics import TopicNames, admin, existing_topics

_POLL_S = 0.25
_READ_S = 2.0

Ends = Mapping[int, int]


class Passing:
    """Follows one feed through Kafka.

    Args:
        kafka: where.
        tables: the sources' names.
        transform: the processor's.
        dataset: the sink's.
        keyed: its rows are made in two steps, by way of a topic of their own.
        generation: of the transform; see `bridge.wire.generations`.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        *,
        tables: Sequence[str],
        transform: str,
        dataset: str,
        keyed: bool = False,
        generation: int = 1,
    ) -> None:
        names = TopicNames(kafka.namespace)
        self._kafka = kafka
        transform, dataset = named(transform, generation), named(dataset, generation)
        read = [*map(names.changes, tables), *([names.contributions(dataset)] if keyed else [])]
        self._steps = (
            *((topic, names.group(transform), "the processor") for topic in read),
            (names.rows(dataset), names.group(f"sink.{dataset}"), "the sink"),
        )

    def wait(self, deadline_s: float) -> str | None:
        """Wait until what the topics hold now is in the table; who has not passed by then.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        for topic, group, who in self._steps:
            ends = self._ends(topic)
            if not self._await_passed(topic, group, ends, deadline_s):
                return f"{who} has not passed {topic}"
        return None

    def _await_passed(self, topic: str, group: str, ends: Ends, deadline_s: float) -> bool:
        while not self._passed(topic, group, ends):
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_POLL_S)
        return True

    def _consumer(self) -> Consumer:
        return Consumer(self._kafka.reader())

    def _ends(self, topic: str) -> Ends:
        count = existing_topics(admin(self._kafka)).get(topic, 0)
        consumer = self._consumer()
        try:
            return {p: log_bounds(consumer, topic, p).end for p in range(count)}
        finally:
            consumer.close()

    def _passed(self, topic: str, group: str, ends: Ends) -> bool:
        committed = self._committed(topic, group, ends)
        behind = {p: committed.get(p) for p, end in ends.items() if committed.get(p, -1) < end}
        return not behind or self._nothing_left(topic, behind, ends)

    def _committed(self, topic: str, group: str, ends: Ends) -> dict[int, int]:
        consumer = Consumer(self._kafka.reader(group=group))
        try:
            found = consumer.committed(
                [TopicPartition(topic, p) for p in ends], timeout=REQUEST_TIMEOUT_S
            )
        except KafkaException as error:
            raise unreachable(error, f"group {group}") from error
        finally:
            consumer.close()
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def _nothing_left(self, topic: str, behind: Mapping[int, int | None], ends: Ends) -> bool:
        """Whether only markers lie between what is committed and the end."""
        consumer = self._consumer()
        try:
            waiting = {}
            for partition, offset in behind.items():
                start = log_bounds(consumer, topic, partition).start
                if max(start, offset or 0) < ends[partition]:
                    waiting[partition] = max(start, offset or 0)
            consumer.assign([TopicPartition(topic, p, offset) for p, offset in waiting.items()])
            return self._reach(consumer, topic, waiting, ends)
        finally:
            consumer.close()

    def _reach(self, consumer: Consumer, topic: str, waiting: dict[int, int], ends: Ends) -> bool:
        deadline_s = time.monotonic() + _READ_S
        while waiting and time.monotonic() < deadline_s:
            message = consumer.poll(0.1)
            if message is not None:
                if (error := message.error()) is not None:
                    raise unreachable(KafkaException(error), topic)
                if (message.offset() or 0) < ends[message.partition() or 0]:
                    return False
            for place in consumer.position([TopicPartition(topic, p) for p in waiting]):
                if place.offset >= ends[place.partition]:
                    del waiting[place.partition]
        return not waiting


def reachable(kafka: KafkaConfig) -> bool:
    """Whether the brokers answer."""
    try:
        existing_topics(admin(kafka), timeout_s=5)
    except (BrokerUnreachableError, TailraceError):
        return False
    return True
