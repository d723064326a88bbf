"""Generations of a transform: which one the tables show, which one is being built.

A transform that was changed is rebuilt beside the one that runs: the new generation has a group, a
state, rows topics and hidden tables of its own, until each of its tables has changed over. The
first generation has plain names, later ones end in `.g<number>`.

All of it lies in `_transforms`: a record per transform, and one per dataset that has changed over,
written by its sink. A generation is current once all its datasets have; who reads works that out,
so that nobody has to write it at the right moment. The truth about one table is the table itself
(`sinks.ledger`); the records follow it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.namespace import decode_key, decode_value, encode_key, encode_value
from bridge.wire.requests import write_record
from bridge.wire.topics import TopicNames, admin, existing_topics

_SWITCHED = "switched"

Flows = Mapping[str, Mapping[str, Any]]
"""A transform's compiled description; see `processors.revision`."""


def named(name: str, generation: int) -> str:
    """The name of a transform's, or a dataset's, generation: in topics, groups and requests."""
    return name if generation == 1 else f"{name}.g{generation}"


def datasets_of(flows: Flows) -> tuple[str, ...]:
    """Ids of the datasets a description speaks of; where several tables feed one, each is named."""
    return tuple(dict.fromkeys(key.split(" from ")[0] for key in flows))


@dataclass(frozen=True, slots=True)
class Building:
    """A generation on its way."""

    generation: int
    flows: Flows


@dataclass(frozen=True, slots=True)
class TransformRecord:
    """What `_transforms` says of one transform.

    `last` is the highest generation there ever was, so that no number is used twice.
    """

    flows: Flows
    generation: int = 1
    building: Building | None = None
    last: int = 1

    def value(self) -> bytes:
        """As it is written. Of a transform that was never rebuilt it is what it always was."""
        rest: dict[str, Any] = {}
        if self.last > 1:
            rest = {"generation": self.generation, "last": self.last}
        if self.building is not None:
            number, flows = self.building.generation, self.building.flows
            rest["building"] = {"generation": number, "flows": flows}
        return encode_value({"flows": self.flows, **rest})

    @classmethod
    def read(cls, value: bytes, where: str) -> TransformRecord:
        """Raises: WireError: malformed. UnknownVersionError: a newer release wrote it."""
        fields = decode_value(value, where)
        generation, building = int(fields.get("generation", 1)), fields.get("building")
        return cls(
            flows=fields["flows"],
            generation=generation,
            building=Building(int(building["generation"]), building["flows"]) if building else None,
            last=int(fields.get("last", generation)),
        )

    def resolved(self, switched: Mapping[str, int]) -> TransformRecord:
        """With the building generation as the current one, once all its datasets have switched.

        Args:
            switched: the generation each dataset has changed over to.
        """
        building = self.building
        if building is None:
            return self
        if any(switched.get(d, 1) < building.generation for d in datasets_of(building.flows)):
            return self
        return replace(self, flows=building.flows, generation=building.generation, building=None)


@dataclass(frozen=True, slots=True)
class Generations:
    """Every transform's record, worked out, by its name."""

    transforms: Mapping[str, TransformRecord] = field(default_factory=dict)
    switched: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def of_dataset(self, dataset: str) -> tuple[str, TransformRecord] | None:
        """The transform that writes a dataset, None if none is known."""
        for name, record in self.transforms.items():
            if dataset in datasets_of(record.flows):
                return name, record
        return None

    def current(self, dataset: str) -> int:
        """The generation a dataset's table is at, as far as Kafka knows."""
        found = self.of_dataset(dataset)
        if found is None:
            return 1
        name, record = found
        if record.building is None:
            return record.generation
        return max(record.generation, self.switched.get((name, dataset), 1))

    def building(self, dataset: str) -> int | None:
        """The generation that is on its way to a dataset's table."""
        found = self.of_dataset(dataset)
        if found is None or found[1].building is None:
            return None
        number = found[1].building.generation
        return number if self.current(dataset) < number else None


def from_messages(messages: Iterable[Message]) -> Generations:
    """What the records of `_transforms` say together; later ones count.

    Raises:
        WireError: one is malformed. UnknownVersionError: a newer release wrote one.
    """
    return _Reading().take(messages)


class _Reading:
    def __init__(self) -> None:
        self._records: dict[str, TransformRecord] = {}
        self._switched: dict[tuple[str, str], int] = {}

    def take(self, messages: Iterable[Message]) -> Generations:
        for message in messages:
            key, value = message.key(), message.value()
            if not (isinstance(key, bytes) and isinstance(value, bytes)):
                continue
            if not key.startswith(b"["):
                name = key.decode()
                self._records[name] = TransformRecord.read(value, f"record of transform {name}")
                continue
            kind, *parts = decode_key(key)
            if kind == _SWITCHED:
                fields = decode_value(value, f"generation of dataset {parts[1]}")
                self._switched[parts[0], parts[1]] = int(fields["generation"])
        return Generations(
            {
                name: record.resolved(
                    {d: g for (transform, d), g in self._switched.items() if transform == name}
                )
                for name, record in self._records.items()
            },
            dict(self._switched),
        )


def read_generations(kafka: KafkaConfig) -> Generations:
    """What is known now; nothing before the first processor has started.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    topic = TopicNames(kafka.namespace).transforms
    if topic not in existing_topics(admin(kafka)):
        return Generations()
    return from_messages(read_to_end(kafka, topic, [0]))


def write_transform(kafka: KafkaConfig, transform: str, record: TransformRecord) -> None:
    """Write a transform's record, acknowledged on return.

    Raises:
        BrokerUnreachableError: Kafka did not acknowledge it in time.
    """
    topic = TopicNames(kafka.namespace).transforms
    write_record(kafka, topic, transform.encode(), record.value(), partition=0)


def write_switched(kafka: KafkaConfig, transform: str, dataset: str, generation: int) -> None:
    """Write that a dataset's table has changed over. Written twice it says the same.

    Raises:
        BrokerUnreachableError: Kafka did not acknowledge it in time.
    """
    topic = TopicNames(kafka.namespace).transforms
    key = encode_key(_SWITCHED, transform, dataset)
    write_record(kafka, topic, key, encode_value({"generation": generation}), partition=0)


class GenerationsFollower:
    """Follows `_transforms`; cheap to ask often, from any thread."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._topic = TopicNames(kafka.namespace).transforms
        self._lock = threading.Lock()
        self._reading = _Reading()
        self._consumer: Consumer | None = None
        self._known = Generations()

    def look(self) -> Generations:
        """What is known now, as far as it has come in; at the first call all there is.

        Raises:
            BrokerUnreachableError: Kafka does not answer at the first call.
        """
        with self._lock:
            if self._consumer is None:
                self._begin()
            elif messages := [m for m in self._consumer.consume(100, 0.0) if m.error() is None]:
                self._known = self._reading.take(messages)
            return self._known

    def close(self) -> None:
        """Let go of Kafka."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _begin(self) -> None:
        if self._topic not in existing_topics(admin(self._kafka)):
            return
        found = list(read_to_end(self._kafka, self._topic, [0]))
        self._known = self._reading.take(found)
        start = (found[-1].offset() or 0) + 1 if found else 0
        settings = self._kafka.reader()
        self._consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
        self._consumer.assign([TopicPartition(self._topic, 0, start)])
