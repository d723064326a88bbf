"""Rows of changes into one topic, under the change's own Kafka key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Message

from bridge.wire.envelope import Headers, encode_delete, row_headers


class Outbox(Protocol):
    """Where everything goes that a message causes; Quix's own producer is one."""

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Part of the open transaction."""


@dataclass(slots=True)
class Change:
    """A decoded change: what all flows need of it. One for all changes of a run, in turn."""

    record: Mapping[str, Any]
    item_key: str
    version: str
    event_time: str | None
    offset: int
    kafka_key: bytes | None
    message: Message


class RowWriter:
    """Rows of one flow into its topic, one change after the other; counts what it wrote.

    Args:
        outbox: the open transaction.
        topic: of the rows.
    """

    def __init__(self, outbox: Outbox, topic: str) -> None:
        self.upserts = 0
        self.deletes = 0
        self._produce = outbox.produce
        self._topic = topic

    def write(
        self,
        change: Change,
        fingerprint: str,
        values: Sequence[tuple[str, bytes]],
        gone: Sequence[str] = (),
    ) -> None:
        """Rows that are no more, by their keys, then those that are, by key; each in order."""
        if not values and not gone:
            return
        produce, topic, kafka_key = self._produce, self._topic, change.kafka_key
        headers = row_headers(fingerprint, change.offset)
        for key in gone:
            value = encode_delete(key, change.version, change.event_time)
            produce(topic, value, kafka_key, headers)
        for _, value in values:
            produce(topic, value, kafka_key, headers)
        self.deletes += len(gone)
        self.upserts += len(values)
