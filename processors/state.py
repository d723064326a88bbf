"""What a stateful transform remembers of an item, and what follows from it. Pure.

An item can make several rows, so retracting the ones that vanish needs what it contributed before.
Live entries (newest version and contributed keys) never expire. A removed item leaves only its
version, in a second store, so that a late copy of an older change can't bring its rows back. The
sealed epoch is a floor: whatever is older was settled by a complete scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import orjson

from bridge.wire.version import decode_version, epoch_floor

FLOOR_KEY = b"floor"


class Store(Protocol):
    """A store of one partition inside the open checkpoint; reads see its writes."""

    def get(self, key: bytes) -> bytes | None:
        """None where nothing is stored."""

    def set(self, key: bytes, value: bytes) -> None:
        """Part of the checkpoint's transaction."""

    def delete(self, key: bytes) -> None:
        """Also where nothing is stored."""

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything there is, the checkpoint's own writes among it; in no order."""


class OrderedStore(Store, Protocol):
    """A store that also knows its keys' order."""

    def edge(
        self, begin: bytes, end: bytes, *, last: bool = False, but: bytes | None = None
    ) -> tuple[bytes, bytes] | None:
        """The first (or last) key in `begin <= key < end` other than `but`, with its value.

        Costs one seek, and a look at what the open checkpoint changed in this store.
        """


class Shelf(Protocol):
    """Stores of one flow in one partition, one per target key."""

    def of(self, target_key: bytes) -> OrderedStore:
        """Everything kept for one target key."""

    @property
    def own(self) -> OrderedStore:
        """What the partition keeps for itself."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one flow in one partition; `shelf` holds what is kept by target key."""

    live: Store
    tombstones: Store
    shelf: Shelf


@dataclass(frozen=True, slots=True)
class Live:
    """An item's newest version here, and the target keys of its rows."""

    version: str
    keys: tuple[str, ...]

    def encode(self) -> bytes:
        """Compact JSON."""
        return orjson.dumps([self.version, self.keys])

    @classmethod
    def decode(cls, value: bytes) -> Live:
        """What `encode` wrote."""
        version, keys = orjson.loads(value)
        return cls(version, tuple(keys))


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one item."""

    live: Live | None
    removed_at: str | None
    floor: int

    def is_stale(self, version: str) -> bool:
        """Whether the item's state is at least as new, or settled by a later scan."""
        newest = max(self.live.version if self.live else "", self.removed_at or "")
        return version <= newest or decode_version(version)[0] < self.floor

    def retracted(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Keys the item contributed before and does not any more, in their old order."""
        kept = frozenset(keys)
        return tuple(key for key in (self.live.keys if self.live else ()) if key not in kept)


def recall(stores: Stores, item_key: bytes) -> Memory:
    """Read what is remembered of an item."""
    live, removed_at = stores.live.get(item_key), stores.tombstones.get(item_key)
    floor = stores.live.get(FLOOR_KEY)
    return Memory(
        Live.decode(live) if live is not None else None,
        removed_at.decode() if removed_at is not None else None,
        int(floor) if floor is not None else 0,
    )


def remember(stores: Stores, item_key: bytes, live: Live) -> None:
    """The item contributes these rows now, perhaps none."""
    stores.live.set(item_key, live.encode())
    stores.tombstones.delete(item_key)


def forget(stores: Stores, item_key: bytes, version: str) -> None:
    """The item was removed at `version`."""
    stores.live.delete(item_key)
    stores.tombstones.set(item_key, version.encode())


def raise_floor(stores: Stores, epoch: int) -> None:
    """Everything older than the sealed epoch is settled."""
    known = stores.live.get(FLOOR_KEY)
    if known is None or int(known) < epoch:
        stores.live.set(FLOOR_KEY, b"%d" % epoch)


def settle(stores: Stores, epoch: int) -> Iterator[tuple[bytes, Live]]:
    """A complete scan of `epoch` lies behind: forget what is older; the items it did not meet.

    Those vanished from the source. Tombstones of older epochs go too: the floor keeps out whatever
    they kept out. Costs one pass over the partition's state, as the scan itself did.
    """
    known = stores.live.get(FLOOR_KEY)
    if known is not None and int(known) >= epoch:
        return
    floor = epoch_floor(epoch)
    for key, value in stores.live.entries():
        if key == FLOOR_KEY:
            continue
        live = Live.decode(value)
        if live.version < floor:
            stores.live.delete(key)
            yield key, live
    for key, removed_at in stores.tombstones.entries():
        if removed_at.decode() < floor:
            stores.tombstones.delete(key)


def forget_vanished(stores: Stores, epoch: int) -> None:
    """`settle` where the sink takes out the rows of vanished items by itself."""
    for _ in settle(stores, epoch):
        pass
