"""Rows of changes into one topic, under the change's own Kafka key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Message

from bridge.wire.envelope import Headers, encode_row, row_headers

Keyed = tuple[str, Mapping[str, Any]]
_NOTHING: Mapping[str, Any] = {}


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
    """A decoded change: what all flows need of it."""

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

    def upsert(self, change: Change, fingerprint: str, rows: Sequence[Keyed]) -> None:
        """Rows by target key, in order."""
        self._write("upsert", change, fingerprint, rows)
        self.upserts += len(rows)

    def delete(self, change: Change, fingerprint: str, keys: Iterable[str]) -> None:
        """Rows that are no more, in order."""
        rows = [(key, _NOTHING) for key in keys]
        self._write("delete", change, fingerprint, rows)
        self.deletes += len(rows)

    def _write(
        self, operation: str, change: Change, fingerprint: str, rows: Sequence[Keyed]
    ) -> None:
        if not rows:
            return
        produce, topic = self._produce, self._topic
        headers = row_headers(fingerprint, change.offset)
        version, event_time, kafka_key = change.version, change.event_time, change.kafka_key
        for key, columns in rows:
            value = encode_row(
                key=key,
                version=version,
                operation=operation,
                event_time=event_time,
                columns=columns,
            )
            produce(topic, value, kafka_key, headers)
