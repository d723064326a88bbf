"""Rows of one change into one topic, under the change's own Kafka key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.wire.envelope import Headers, encode_row

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


class RowWriter:
    """See the module; counts what it wrote."""

    def __init__(self, outbox: Outbox, topic: str, headers: Headers, change: Change) -> None:
        self.change = change
        self.upserts = 0
        self.deletes = 0
        self.outbox = outbox
        self._topic = topic
        self._headers = headers

    def upsert(self, rows: Sequence[Keyed]) -> None:
        """Rows by target key, in order."""
        self._write("upsert", rows)
        self.upserts += len(rows)

    def delete(self, keys: Iterable[str]) -> None:
        """Rows that are no more, in order."""
        rows = [(key, _NOTHING) for key in keys]
        self._write("delete", rows)
        self.deletes += len(rows)

    def _write(self, operation: str, rows: Sequence[Keyed]) -> None:
        produce, topic, headers = self.outbox.produce, self._topic, self._headers
        change = self.change
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
