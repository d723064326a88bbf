"""Schemas of rows, keyed by fingerprint in the compacted topic `_schemas`.

A processor registers a schema, acknowledged, before the first row that uses it, through a producer
without transactions: an orphan is harmless, a schema inside an aborted transaction would never be
seen. Schemas of a dataset are a set; the sink takes their union in any order.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import KafkaException, Message, Producer

from bridge.wire import WIRE_VERSION
from bridge.wire.envelope import check_wire_version
from bridge.wire.errors import BrokerUnreachableError, WireError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, read_to_end, unreachable
from bridge.wire.topics import TopicNames


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name and type.

    Types: string, bigint, double, boolean, binary, date, timestamp, json, decimal(p,s). `tag` is
    the DynamoDB type of a column that was found in items, "" of one that was declared; which
    column of the table takes a found one is said in `bridge.wire.discovered`.
    """

    name: str
    type: str
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a dataset's rows as one version of one transform writes them.

    `key` names the columns of the target key, empty when rows are keyed by the source item;
    `transform` owns the dead-letter topic of these rows.
    """

    dataset: str
    transform: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Canonical JSON: equal schemas are equal bytes."""
        return orjson.dumps(
            {
                "v": WIRE_VERSION,
                "dataset": self.dataset,
                "transform": self.transform,
                "columns": [
                    {"name": c.name, "type": c.type} | ({"tag": c.tag} if c.tag else {})
                    for c in self.columns
                ],
                "key": list(self.key),
            },
            option=orjson.OPT_SORT_KEYS,
        )

    @property
    def fingerprint(self) -> str:
        """32 hex digits."""
        return hashlib.sha256(self.encode()).hexdigest()[:32]

    @classmethod
    def decode(cls, value: bytes) -> Schema:
        """The topic's value -> Schema.

        Raises:
            WireError: malformed.
            UnknownVersionError: a newer release wrote it.
        """
        try:
            body: Mapping[str, Any] = orjson.loads(value)
            check_wire_version(body["v"], "schema")
            columns = tuple(
                Column(str(c["name"]), str(c["type"]), str(c.get("tag", "")))
                for c in body["columns"]
            )
            return cls(str(body["dataset"]), str(body["transform"]), columns, tuple(body["key"]))
        except (KeyError, TypeError, ValueError):
            raise WireError("malformed schema") from None


def register_schema(kafka: KafkaConfig, schema: Schema) -> str:
    """Write the schema and wait until Kafka has it; its fingerprint.

    Raises:
        BrokerUnreachableError: not acknowledged in time.
    """
    failure: list[str] = []
    acknowledged = threading.Event()

    def delivered(error: object, _message: Message) -> None:
        if error is not None:
            failure.append(str(error))
        acknowledged.set()

    producer = Producer(kafka.producer(delivery_timeout_ms=int(REQUEST_TIMEOUT_S * 1000)))
    topic = TopicNames(kafka.namespace).schemas
    try:
        producer.produce(
            topic, key=schema.fingerprint, value=schema.encode(), on_delivery=delivered
        )
        producer.flush(REQUEST_TIMEOUT_S * 1.5)
    except KafkaException as error:
        raise unreachable(error, f"writing a schema to {topic}") from error
    if failure or not acknowledged.is_set():
        raise BrokerUnreachableError(
            failure[0] if failure else "not acknowledged in time", where=f"writing to {topic}"
        )
    return schema.fingerprint


def read_schemas(kafka: KafkaConfig, partitions: int = 1) -> dict[str, Schema]:
    """All schemas by fingerprint, read to the topic's end.

    Raises:
        BrokerUnreachableError: the end was not reached in time.
    """
    topic = TopicNames(kafka.namespace).schemas
    found: dict[str, Schema] = {}
    for message in read_to_end(kafka, topic, range(partitions)):
        key, value = message.key(), message.value()
        if isinstance(key, bytes) and isinstance(value, bytes):
            found[key.decode()] = Schema.decode(value)
    return found
