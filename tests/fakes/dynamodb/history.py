"""The journal of everything written: what a test compares topics and tables with.

Every change that took effect is one version, also while the table had no stream (then it has no
sequence number); no-op writes are none. Nothing is ever trimmed from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.dynamodb.records import EventName
from tests.fakes.dynamodb.values import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One change of one item; `item` is None after a REMOVE, `sequence` without a stream."""

    event_name: EventName
    keys: Item
    item: Item | None
    at_s: float
    stream_arn: str | None
    shard_id: str | None
    sequence: int | None

    def as_json(self) -> dict[str, Any]:
        """The version for the control endpoint; the sequence as text, as it exceeds 64 bits."""
        return {
            "event_name": self.event_name,
            "keys": self.keys,
            "item": self.item,
            "at_s": self.at_s,
            "stream_arn": self.stream_arn,
            "shard_id": self.shard_id,
            "sequence": None if self.sequence is None else str(self.sequence),
        }


@dataclass(slots=True)
class History:
    """All versions of all items: table name, then the item's canonical key, then their order."""

    _tables: dict[str, dict[bytes, list[Version]]] = field(default_factory=dict)

    def add(self, table_name: str, key: bytes, version: Version) -> None:
        """Note a change that took effect."""
        self._tables.setdefault(table_name, {}).setdefault(key, []).append(version)

    def items(self, table_name: str) -> dict[bytes, list[Version]]:
        """Every version of every item that a table ever had, by canonical key."""
        return self._tables.get(table_name, {})

    def versions(self, table_name: str) -> Iterator[Version]:
        """Every version, item by item, each item's in order."""
        for versions in self.items(table_name).values():
            yield from versions

    def count(self, table_name: str) -> int:
        """How many changes took effect."""
        return sum(len(versions) for versions in self.items(table_name).values())

    def as_of(self, table_name: str, key: bytes, at_s: float) -> Item | None:
        """The item as it was at an instant: what an eventually consistent read may still see."""
        found: Item | None = None
        for version in self.items(table_name).get(key, []):
            if version.at_s > at_s:
                break
            found = version.item
        return found
