"""Stores without a disk: for tests, and for `verify`, which aggregates what a scan finds."""

from __future__ import annotations

from collections.abc import Iterator


class MemoryStore:
    """Ordered when asked."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.kept.get(key)

    def set(self, key: bytes, value: bytes) -> None:
        self.kept[key] = value

    def delete(self, key: bytes) -> None:
        self.kept.pop(key, None)

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self.kept.items()

    def edge(
        self, begin: bytes, end: bytes, *, last: bool = False, but: bytes | None = None
    ) -> tuple[bytes, bytes] | None:
        inside = [key for key in self.kept if begin <= key < end and key != but]
        if not inside:
            return None
        key = max(inside) if last else min(inside)
        return key, self.kept[key]


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
