"""What Kafka says of logs and readers: bounds, newest appends, positions, and what waits first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.kafka import (
    REQUEST_TIMEOUT_S,
    SETTLING,
    KafkaConfig,
    LogBounds,
    append_time_ms,
    unreachable,
)
from bridge.wire.offsets import ask_offsets
from bridge.wire.topics import admin

Place = tuple[str, int]
"""A topic and a partition of it."""

_FIRST_S = 5.0
# For one answer about offsets, and for all that is asked until there is one.
_ANSWER_S = 4.0
_OFFSETS_S = 9.0
_AGAIN = SETTLING | {KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT}  # noqa: SLF001
# The first message of each partition is enough, and it comes whole whatever its size.
_FETCH_BYTES = 64 * 1024


class Logs:
    """Asks one Kafka, as a reader at the stages' own isolation would see it; joins no group."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        committed = kafka.stage_isolation == "read_committed"
        levels = IsolationLevel
        self._isolation = levels.READ_COMMITTED if committed else levels.READ_UNCOMMITTED

    def bounds(self, places: Iterable[Place]) -> dict[Place, LogBounds]:
        """Where the partitions begin, and where what can be read of them ends.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        places = list(places)
        starts = self._offsets(places, OffsetSpec.earliest())
        ends = self._offsets(places, OffsetSpec.latest())
        return {place: LogBounds(starts[place][0], ends[place][0]) for place in places}

    def newest(self, places: Iterable[Place]) -> dict[Place, float | None]:
        """When each partition's newest record was appended, seconds since 1970; None: it has none.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        found = self._offsets(list(places), OffsetSpec.max_timestamp())
        return {place: ms / 1000 if ms > 0 else None for place, (_, ms) in found.items()}

    def _offsets(self, places: Sequence[Place], spec: OffsetSpec) -> dict[Place, tuple[int, int]]:
        if not places:
            return {}
        asked = {TopicPartition(*place): spec for place in places}
        deadline = time.monotonic() + _OFFSETS_S
        while True:
            # A client of its own each time, held until it has answered: one that asks a leader just
            # replaced goes on asking it until its time is over.
            client = admin(self._kafka)
            try:
                found = ask_offsets(client, asked, isolation=self._isolation, timeout_s=_ANSWER_S)
            except KafkaException as error:
                if error.args[0].code() not in _AGAIN or time.monotonic() > deadline:
                    raise unreachable(error, "offsets of topics") from error
                time.sleep(0.1)
            else:
                return {(p.topic, p.partition): (r.offset, r.timestamp) for p, r in found.items()}

    def committed(self, groups: Iterable[str]) -> dict[str, dict[Place, int]]:
        """The next offsets of each group; empty for one that never committed.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        client = admin(self._kafka)
        asked = {
            group: client.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group)], request_timeout=REQUEST_TIMEOUT_S
            )[group]
            for group in groups
        }
        try:
            answers = {group: f.result(REQUEST_TIMEOUT_S * 2) for group, f in asked.items()}
        except KafkaException as error:
            raise unreachable(error, "offsets of groups") from error
        return {
            group: {
                (place.topic, place.partition): place.offset
                for place in answer.topic_partitions or ()
                if place.error is None and place.offset >= 0
            }
            for group, answer in answers.items()
        }

    def oldest(self, begins: Mapping[Place, int], ends: Mapping[Place, int]) -> dict[Place, float]:
        """When the first message from an offset on was appended, seconds since 1970.

        Where nothing but markers of transactions lies up to the end, there is none.

        Raises:
            BrokerUnreachableError: Kafka refuses, or does not hand over what there is.
        """
        waiting = {place: begin for place, begin in begins.items() if begin < ends[place]}
        found: dict[Place, float] = {}
        if not waiting:
            return found
        consumer = Consumer(
            {
                **self._kafka.reader(),
                "isolation.level": self._kafka.stage_isolation,
                "fetch.message.max.bytes": _FETCH_BYTES,
                "queued.max.messages.kbytes": 1024,
                "auto.offset.reset": "earliest",  # retention moves on meanwhile
            }
        )
        try:
            consumer.assign([TopicPartition(*place, begin) for place, begin in waiting.items()])
            deadline = time.monotonic() + _FIRST_S
            while waiting:
                self._take(consumer, waiting, found)
                _drop_passed(consumer, waiting, ends)
                if waiting and time.monotonic() > deadline:
                    raise BrokerUnreachableError(
                        f"nothing came from {len(waiting)} partitions in {_FIRST_S:.0f} s",
                        where="reading what waits",
                    )
        finally:
            consumer.close()
        return found

    @staticmethod
    def _take(consumer: Consumer, waiting: dict[Place, int], found: dict[Place, float]) -> None:
        for message in consumer.consume(100, 0.1):
            if (error := message.error()) is not None:
                raise unreachable(KafkaException(error), "reading what waits")
            place = (message.topic() or "", message.partition() or 0)
            if waiting.pop(place, None) is not None:
                found[place] = (append_time_ms(message) or 0) / 1000
                consumer.incremental_unassign([TopicPartition(*place)])


def _drop_passed(consumer: Consumer, waiting: dict[Place, int], ends: Mapping[Place, int]) -> None:
    """Forget partitions whose position, markers passed, has reached the end."""
    if not waiting:
        return
    for at in consumer.position([TopicPartition(*place) for place in waiting]):
        place = (at.topic, at.partition)
        if at.offset >= ends[place]:
            del waiting[place]
