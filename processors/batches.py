"""Batches of a consumer: what was handed over, by partition, and is not processed yet.

A batch is bounded by messages and, learning from the last one's, by bytes. While messages of it
wait, the consumer is not asked, so no partition comes or goes between two messages of a batch. One
that a rebalance ran through while it was collected is given back: some of it may belong to another
member, or have to wait until state is recovered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from confluent_kafka import Message, TopicPartition

from processors.quix import raise_for_msg_error

MESSAGES_MAX = 1_000
BYTES_WANTED = 8 * 1024 * 1024

Place = tuple[str, int]


class Reading(Protocol):
    """The part of Quix's consumer that is used."""

    def consume(self, num_messages: int, timeout: float) -> list[Any]:
        """Up to `num_messages`, after `timeout` seconds at most; serves rebalances."""

    def assignment(self) -> list[TopicPartition]:
        """All partitions that are ours."""

    def seek(self, partition: TopicPartition) -> None:
        """Go on from its offset."""


class Batches:
    """What is read and not processed, in runs of one partition each.

    Args:
        consumer: called each time, for an application may get another one.
        expected: the next offset a partition's messages are wanted from.
        timeout_s: how long a batch is collected.
    """

    def __init__(
        self,
        consumer: Callable[[], Reading],
        expected: Callable[[str, int], int],
        timeout_s: float,
    ) -> None:
        self._consumer = consumer
        self._expected = expected
        self._timeout_s = timeout_s
        self._wanted = MESSAGES_MAX
        self._runs: dict[Place, list[Message]] = {}
        self._rebalances = 0

    def rebalanced(self) -> None:
        """Partitions came or went: what was collected before may not be ours."""
        self._rebalances += 1
        self._runs.clear()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._runs

    def collect(self) -> None:
        """Read a batch; nothing may wait.

        Raises:
            KafkaConsumerException: the client reports an error instead of a message.
        """
        before, consumer = self._rebalances, self._consumer()
        messages = consumer.consume(self._wanted, self._timeout_s)
        if not messages:
            return
        runs: dict[Place, list[Message]] = {}
        # They come partition by partition.
        topic, partition, run = None, None, list[Message]()
        for message in messages:
            if message.error() is not None:
                raise_for_msg_error(message)
            if message.partition() != partition or message.topic() != topic:
                topic, partition = message.topic(), message.partition()
                run = runs.setdefault((topic, partition), [])
            run.append(message)
        if self._rebalances != before:
            self._give_back(consumer, runs)
            return
        mean = sum(map(len, messages)) / len(messages)
        self._wanted = max(1, min(MESSAGES_MAX, int(BYTES_WANTED / max(mean, 1))))
        for place, run in runs.items():
            if wanted := self._unread(place, run):
                self._runs[place] = wanted

    def next_run(self) -> tuple[str, int, list[Message]]:
        """Messages of one partition, in order; something must wait."""
        (topic, partition), messages = next(iter(self._runs.items()))
        return topic, partition, messages

    def done(self, topic: str, partition: int, count: int) -> None:
        """The first `count` of a partition's messages are processed."""
        messages = self._runs.pop((topic, partition))
        if count < len(messages):
            self._runs[topic, partition] = messages[count:]

    def _unread(self, place: Place, messages: list[Message]) -> list[Message]:
        expected = self._expected(*place)
        if _offset(messages[0]) >= expected:
            return messages
        return [message for message in messages if _offset(message) >= expected]

    def _give_back(self, consumer: Reading, places: Sequence[Place] | dict[Place, Any]) -> None:
        """Read them again, those that are (still, or newly) ours."""
        mine = {(place.topic, place.partition) for place in consumer.assignment()}
        for topic, partition in places:
            if (topic, partition) in mine:
                consumer.seek(TopicPartition(topic, partition, self._expected(topic, partition)))


def _offset(message: Message) -> int:
    return message.offset() or 0
