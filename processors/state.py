"""What a stateful transform remembers of an item, and what follows from it. Pure.

An item can make several rows, so retracting the ones that vanish needs what it contributed before.
Live entries (newest version and contributed keys) never expire. A removed item leaves only its
version, in a second store, so that a late copy of an older change can't bring its rows back. The
sealed epoch is a floor: whatever is older was settled by a complete scan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from bridge.wire.version import epoch_floor

FLOOR_KEY = b"floor"
# Up to so many keys are looked through one by one.
_FEW = 8


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


@dataclass(slots=True)
class Stores:
    """The stores of one flow in one partition inside the open checkpoint, for one run of messages.

    `shelf` holds what is kept by target key.
    """

    live: Store
    tombstones: Store
    shelf: Shelf
    _floor: str | None = field(default=None, init=False, compare=False)

    @property
    def floor(self) -> str:
        """Versions below are settled by a complete scan; "" before the first. Read once."""
        if self._floor is None:
            known = self.live.get(FLOOR_KEY)
            self._floor = "" if known is None else epoch_floor(int(known))
        return self._floor

    def raise_floor(self, epoch: int) -> None:
        """Everything older than the sealed epoch is settled."""
        floor = epoch_floor(epoch)
        if self.floor < floor:
            self.live.set(FLOOR_KEY, b"%d" % epoch)
            self._floor = floor


@dataclass(slots=True)
class Live:
    """An item's newest version here, and the target keys of its rows."""

    version: str
    keys: tuple[str, ...]

    @classmethod
    def decode(cls, value: bytes) -> Live:
        """What `remember` wrote."""
        version, keys = orjson.loads(value)
        return cls(version, tuple(keys))


@dataclass(slots=True)  # made for every change; a frozen one takes three times as long to make
class Memory:
    """What is remembered of one item: it is there, or it was removed, or it was never seen.

    `live` is the entry as it is stored, compact JSON of version and keys: most of what is asked of
    it can be told from its bytes.
    """

    live: bytes | None
    removed_at: bytes | None
    floor: str
    _keys: Collection[str] = field(default=(), init=False, compare=False)
    _listed: bytes = field(default=b"[]", init=False, compare=False)

    def is_stale(self, version: str) -> bool:
        """Whether the item's state is at least as new, or settled by a later scan."""
        live = self.live
        newest = live[2 : live.index(b'"', 2)] if live is not None else self.removed_at or b""
        return version.encode() <= newest or version < self.floor

    def retracted(self, keys: Collection[str]) -> list[str]:
        """Keys the item contributed before and does not any more, in their old order."""
        listed = self._list(keys)
        live = self.live
        if live is None:
            return []
        before = live[live.index(b'"', 2) + 2 : -1]
        if before in (listed, b"[]"):
            return []
        kept = keys if len(keys) <= _FEW else frozenset(keys)
        return [key for key in orjson.loads(before) if key not in kept]

    def entry(self, version: str, keys: Collection[str]) -> bytes:
        """The entry of the item as it is now."""
        return b'["%b",%b]' % (version.encode(), self._list(keys))

    def _list(self, keys: Collection[str]) -> bytes:
        if keys is not self._keys:
            self._keys, self._listed = keys, orjson.dumps(tuple(keys))
        return self._listed


def recall(stores: Stores, item_key: bytes) -> Memory:
    """Read what is remembered of an item: one look where it is there."""
    live = stores.live.get(item_key)
    removed_at = None if live is not None else stores.tombstones.get(item_key)
    return Memory(live, removed_at, stores.floor)


def remember(
    stores: Stores, item_key: bytes, before: Memory, version: str, keys: Collection[str]
) -> None:
    """The item contributes these rows now, perhaps none; `before` is what `recall` gave.

    What was not there is not deleted: every deletion is a message of a changelog.
    """
    stores.live.set(item_key, before.entry(version, keys))
    if before.removed_at is not None:
        stores.tombstones.delete(item_key)


def forget(stores: Stores, item_key: bytes, before: Memory, version: str) -> None:
    """The item was removed at `version`; `before` is what `recall` gave."""
    if before.live is not None:
        stores.live.delete(item_key)
    stores.tombstones.set(item_key, version.encode())


def settle(stores: Stores, epoch: int) -> Iterator[tuple[bytes, Live]]:
    """A complete scan of `epoch` lies behind: forget what is older; the items it did not meet.

    Those vanished from the source. Tombstones of older epochs go too: the floor keeps out whatever
    they kept out. Costs one pass over the partition's state, as the scan itself did.
    """
    floor = epoch_floor(epoch)
    if stores.floor >= floor:
        return
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
