"""Changelog messages of a checkpoint by the Kafka client's own call.

Quix's way there is made for one message now and then: wrappers, a poll and a report of delivery in
Python for each. A checkpoint writes thousands of them at once. A partition keeps their order and
the transaction commits all or none, so only where the last one lies has to be learned.
"""

# ruff: noqa: SLF001 (pinned by a test)
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processors.outbox import ClientOutbox
from processors.quix import ChangelogProducer

Message = tuple[bytes, bytes | None, Any]


class SwiftChangelog:
    """In the place of Quix's ChangelogProducer of one store and partition, for one checkpoint.

    The last message is held back until the next one or `release`, for it alone is reported.

    Args:
        changelog: Quix's.
        outbox: of the same producer.
    """

    def __init__(self, changelog: Any, outbox: ClientOutbox) -> None:
        self._changelog = changelog
        self._producer = changelog._producer
        self._outbox = outbox
        self._held: Message | None = None
        self._headers: tuple[object, list[tuple[str, Any]]] = (None, [])

    @property
    def changelog_name(self) -> str:
        """The topic."""
        return str(self._changelog.changelog_name)

    @property
    def partition(self) -> int:
        """The partition."""
        return int(self._changelog.partition)

    def produce(
        self, key: bytes, value: bytes | None = None, headers: Mapping[str, Any] | None = None
    ) -> None:
        """Part of the open transaction, once there is another or `release` follows."""
        held, self._held = self._held, (key, value, headers)
        if held is not None:
            self._send(held)

    def release(self) -> None:
        """That was all; Quix learns where the last one lies when the producer is flushed."""
        held, self._held = self._held, None
        if held is not None:
            key, value, headers = held
            name, partition = self._changelog.changelog_name, self._changelog.partition
            self._outbox.produce_reported(
                name,
                value,
                key,
                partition,
                headers=self._listed(headers),
                on_delivery=self._delivered,
            )

    def _send(self, message: Message) -> None:
        key, value, headers = message
        name, partition = self._changelog.changelog_name, self._changelog.partition
        self._outbox.produce(name, value, key, self._listed(headers), partition)

    def _listed(self, headers: Any) -> list[tuple[str, Any]]:
        of, listed = self._headers
        if headers is not of:
            listed = list((headers or {}).items())
            self._headers = headers, listed
        return listed

    def _delivered(self, error: Any, message: Any) -> None:
        self._producer._on_delivery(error, message)


def quicken(transaction: Any, outbox: object) -> None:
    """Let a store's transaction write its changelog the short way, where it has one."""
    changelog = transaction._changelog_producer
    if not isinstance(changelog, ChangelogProducer) or not isinstance(outbox, ClientOutbox):
        return
    if not outbox.writes_for(changelog._producer):
        return
    transaction._changelog_producer = swift = SwiftChangelog(changelog, outbox)
    prepare = transaction.prepare

    def prepare_all(processed_offsets: dict[str, int] | None = None) -> None:
        prepare(processed_offsets=processed_offsets)
        swift.release()

    transaction.prepare = prepare_all
