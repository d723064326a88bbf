"""Rows of one change into one topic, under the change's own Kafka key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.wire.envelope import Headers, encode_row


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

    def upsert(self, key: str, columns: Mapping[str, Any]) -> None:
        self._write(key, "upsert", columns)
        self.upserts += 1

    def delete(self, key: str) -> None:
        self._write(key, "delete", {})
        self.deletes += 1

    def _write(self, key: str, operation: str, columns: Mapping[str, Any]) -> None:
        change = self.change
        value = encode_row(
            key=key,
            version=change.version,
            operation=operation,
            event_time=change.event_time,
            columns=columns,
        )
        self.outbox.produce(
            topic=self._topic, value=value, key=change.kafka_key, headers=self._headers
        )
