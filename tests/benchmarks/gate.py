"""No figure without this: every record arrived exactly once, in its shard's order."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from bridge.wire.envelope import header
from bridge.wire.kafka import KafkaConfig, read_to_end
from tests.benchmarks.answers import Place
from tests.benchmarks.streams_server import Load


class _Part(msgspec.Struct, gc=False):
    SequenceNumber: str


class _Record(msgspec.Struct, gc=False):
    dynamodb: _Part


_decode = msgspec.json.Decoder(_Record).decode


@dataclass(slots=True)
class Arrivals:
    """Counts of what is in the topic, held against what was served.

    `ready_made`: the same page of messages was sent for each answer, so each of its records must
    have arrived as often as there were answers. Otherwise each record of the load exactly once.
    """

    load: Load
    ready_made: bool = False
    _counts: array[int] = field(init=False)
    _last: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        slots = self.load.records if self.ready_made else self.load.total
        self._counts = array("L", bytes(slots * array("L").itemsize))

    def add(self, partition: int, value: bytes) -> None:
        """One message of the topic.

        Raises:
            AssertionError: nobody served it, or an earlier record of its shard comes after it.
        """
        sequence = _decode(value).dynamodb.SequenceNumber
        place, load = Place.of(sequence), self.load
        known = place.shard < load.busy and place.page < load.pages and place.record < load.records
        assert known, f"a record that nobody served: {sequence}"
        if self.ready_made:
            self._counts[place.record] += 1
            return
        assert self._last.get((partition, place.shard), "") < sequence, f"order broken: {sequence}"
        self._last[partition, place.shard] = sequence
        page = place.shard * load.pages + place.page
        self._counts[page * load.records + place.record] += 1

    def check(self) -> int:
        """How many messages arrived.

        Raises:
            AssertionError: a record is missing or doubled.
        """
        expected = self.load.busy * self.load.pages if self.ready_made else 1
        missing = sum(count < expected for count in self._counts)
        doubled = sum(count > expected for count in self._counts)
        assert not (missing or doubled), (
            f"{missing} of {len(self._counts)} records missing, {doubled} doubled"
        )
        return sum(self._counts)


def check_topic(
    kafka: KafkaConfig, topic: str, partitions: Iterable[int], arrivals: Arrivals
) -> int:
    """Read the topic to its end with read_committed; how many messages it holds.

    Raises:
        AssertionError: it does not hold every record exactly once.
    """

    for message in read_to_end(kafka, topic, partitions, timeout_s=300.0):
        value = message.value()
        if header(message.headers(), "control") is None:
            assert isinstance(value, bytes)
            arrivals.add(message.partition(), value)
    return arrivals.check()
