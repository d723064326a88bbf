"""The tables that were found by their tags, as the connector tells the other stages.

One record per declaration in partition 0 of `_checkpoints`, written by the owner of bucket 0 before
anything is read of a table that is new in it. The set only grows: rows of a table that lost its
tags still lie in the topics, and every stage must be able to tell whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from bridge.wire.errors import WireError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.namespace import (
    NAMESPACE_PARTITION,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
)
from bridge.wire.topics import TopicNames, admin, existing_topics

KIND = "found"
Declared = tuple[str, str]
"""A declaration: its region as written ("" for botocore's), its tags as sorted JSON."""


def declared(region: str | None, tags: Mapping[str, str]) -> Declared:
    """What the tables of a declaration are found under."""
    return region or "", orjson.dumps(dict(tags), option=orjson.OPT_SORT_KEYS).decode()


@dataclass(frozen=True, slots=True)
class FoundTables:
    """The tables of a declaration, in the order in which they were found."""

    of: Declared
    tables: tuple[str, ...]

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(KIND, *self.of)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value({"tables": list(self.tables)})

    def grown(self, tables: tuple[str, ...]) -> FoundTables:
        """With what is new among `tables` behind what was known."""
        new = sorted({*tables} - {*self.tables})
        return FoundTables(self.of, (*self.tables, *new))


def read_found(key: bytes, value: bytes | None) -> FoundTables | None:
    """The record, None if it is one of another kind or deleted.

    Raises:
        WireError: malformed. UnknownVersionError: a newer release wrote it.
    """
    kind, *parts = decode_key(key)
    if kind != KIND or value is None:
        return None
    match parts, decode_value(value, "found tables").get("tables"):
        case [str(region), str(tags)], [*tables] if all(isinstance(t, str) for t in tables):
            return FoundTables((region, tags), tuple(tables))
    raise WireError("malformed record of found tables")


def read_found_tables(kafka: KafkaConfig) -> dict[Declared, tuple[str, ...]]:
    """All that is committed now; empty before a connector has found anything.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    topic = TopicNames(kafka.namespace).checkpoints
    if topic not in existing_topics(admin(kafka)):
        return {}
    found: dict[Declared, tuple[str, ...]] = {}
    for message in read_to_end(kafka, topic, [NAMESPACE_PARTITION]):
        key, value = message.key(), message.value()
        if isinstance(key, bytes) and isinstance(value, bytes):
            record = read_found(key, value)
            if record is not None:
                found[record.of] = record.tables
    return found
