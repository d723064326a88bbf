"""Pauses: a table, a transform or a dataset that a person told to rest, until told to go on.

A compacted topic of its own holds a record for each; `resume` deletes it. Every stage reads it
whole before it begins, so a restart goes on resting, and follows it while it runs. A connector
rests by asking DynamoDB for nothing, a processor by reading nothing, a sink by giving up its
session: each keeps its lease and its positions, and holds nothing more in memory meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from bridge.wire.errors import WireError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.namespace import decode_key, decode_value, encode_key, encode_value
from bridge.wire.requests import write_record
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics, existing_topics

logger = logging.getLogger(__name__)

Kind = Literal["table", "transform", "dataset"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_KIND = "pause"
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Paused:
    """What rests; since `at_s`, seconds since 1970."""

    kind: Kind
    name: str
    at_s: int


Pauses = Mapping[tuple[Kind, str], Paused]


def pauses_spec(kafka: KafkaConfig, replication: int = -1) -> TopicSpec:
    """The topic as it is created."""
    name = TopicNames(kafka.namespace).pauses
    return TopicSpec(name=name, partitions=1, replication=replication, compacted=True)


def ensure_pauses(kafka: KafkaConfig, replication: int = -1) -> None:
    """Create the topic where it is missing.

    Raises:
        TopicError: it exists with other partitions. BrokerUnreachableError: Kafka does not answer.
    """
    ensure_topics(admin(kafka), [pauses_spec(kafka, replication)])


def read_pauses(kafka: KafkaConfig) -> Pauses:
    """What rests now.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    topic = TopicNames(kafka.namespace).pauses
    if topic not in existing_topics(admin(kafka)):
        return {}
    found: dict[tuple[Kind, str], Paused] = {}
    _take(found, read_to_end(kafka, topic, [0]))
    return found


def write_pause(kafka: KafkaConfig, pause: Paused) -> None:
    """Let something rest; acknowledged on return. Its topic must exist.

    Raises:
        BrokerUnreachableError: Kafka did not acknowledge it in time.
    """
    _write(kafka, pause.kind, pause.name, encode_value({"at_s": pause.at_s}))


def write_resume(kafka: KafkaConfig, kind: Kind, name: str) -> None:
    """Let it go on; acknowledged on return.

    Raises:
        BrokerUnreachableError: Kafka did not acknowledge it in time.
    """
    _write(kafka, kind, name, None)


def _write(kafka: KafkaConfig, kind: Kind, name: str, value: bytes | None) -> None:
    topic = TopicNames(kafka.namespace).pauses
    write_record(kafka, topic, encode_key(_KIND, kind, name), value, partition=0)


def _take(found: dict[tuple[Kind, str], Paused], messages: Iterable[Message]) -> None:
    for message in messages:
        key, value = message.key(), message.value()
        if not isinstance(key, bytes):
            continue
        kind, *parts = decode_key(key)
        if kind != _KIND or len(parts) != 2 or parts[0] not in KINDS:
            continue  # what later releases may add
        if value is None:
            found.pop((parts[0], parts[1]), None)
            continue
        if not isinstance(value, bytes):
            raise WireError("malformed pause", where=f"pause of {parts[0]} {parts[1]}")
        fields = decode_value(value, f"pause of {parts[0]} {parts[1]}")
        found[parts[0], parts[1]] = Paused(parts[0], parts[1], int(fields["at_s"]))


class PausesFollower:
    """Follows the topic of pauses; cheap to ask often, from any thread. The topic must exist."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._topic = TopicNames(kafka.namespace).pauses
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._known: dict[tuple[Kind, str], Paused] = {}
        self._look_at_s = 0.0

    def paused(self, kind: Kind, name: str) -> Paused | None:
        """Whether this rests, at most half a second old; the first call reads all there is.

        Raises:
            BrokerUnreachableError: Kafka does not answer at the first call.
        """
        with self._lock:
            now_s = time.monotonic()
            if self._consumer is None:
                self._begin()
            elif now_s >= self._look_at_s:
                self._follow(self._consumer)
            else:
                return self._known.get((kind, name))
            self._look_at_s = now_s + _LOOK_S
            return self._known.get((kind, name))

    def close(self) -> None:
        """Let go of Kafka."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _begin(self) -> None:
        found = list(read_to_end(self._kafka, self._topic, [0]))
        self._known = {}
        _take(self._known, found)
        start = (found[-1].offset() or 0) + 1 if found else 0
        settings = self._kafka.reader()
        self._consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
        self._consumer.assign([TopicPartition(self._topic, 0, start)])

    def _follow(self, consumer: Consumer) -> None:
        try:
            messages = consumer.consume(100, 0.0)
        except KafkaException as error:  # the stage itself says what is wrong with Kafka
            logger.info("pauses can't be read", extra={"cause": str(error)})
            return
        _take(self._known, [message for message in messages if message.error() is None])
