"""What the keyed operators need of a store: reads see the checkpoint's writes, in key order."""

from __future__ import annotations

from typing import Protocol

from processors.state import Store


class OrderedStore(Store, Protocol):
    """A store of one partition inside the open checkpoint, that also knows its keys' order."""

    def edge(
        self, begin: bytes, end: bytes, *, last: bool = False, but: bytes | None = None
    ) -> tuple[bytes, bytes] | None:
        """The first (or last) key in `begin <= key < end` other than `but`, with its value.

        Costs one seek, and a look at what the open checkpoint changed in this store.
        """


class Shelf(Protocol):
    """The stores of one dataset in one partition, one per target key."""

    def of(self, target_key: bytes) -> OrderedStore:
        """Everything kept for one target key."""

    @property
    def own(self) -> OrderedStore:
        """What the partition keeps for itself."""


class MemoryStore:
    """A store without a disk, for tests and for `verify`."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def set(self, key: bytes, value: bytes) -> None:
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        self.entries.pop(key, None)

    def edge(
        self, begin: bytes, end: bytes, *, last: bool = False, but: bytes | None = None
    ) -> tuple[bytes, bytes] | None:
        inside = [key for key in self.entries if begin <= key < end and key != but]
        if not inside:
            return None
        key = max(inside) if last else min(inside)
        return key, self.entries[key]


class MemoryShelf:
    """Stores without a disk, one per target key."""

    def __init__(self) -> None:
        self._stores: dict[bytes, MemoryStore] = {}
        self._own = MemoryStore()

    def of(self, target_key: bytes) -> MemoryStore:
        return self._stores.setdefault(target_key, MemoryStore())

    @property
    def own(self) -> MemoryStore:
        return self._own
