"""Quix's stores as the pipeline sees them: reads that see the open checkpoint's own writes.

Quix offers single keys only; what is needed in order, or whole, is put together from RocksDB and
from what the checkpoint changed. Those private parts are pinned in tests/unit/processors.
"""

# ruff: noqa: SLF001 (pinned by a test)
from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from processors.quix import PartitionTransactionStatus

SEPARATOR = b"|"
_END = b"\xff"
_FAMILY = "default"
_KEPT = "_tailrace_written"


class _Written:
    """What a checkpoint wrote to one store: while its successor is open, it need not be read back.

    That the successor is open means that this one was committed and is in RocksDB. It is kept for
    one checkpoint, so it takes what a checkpoint takes, whatever the state's size is.
    """

    def __init__(self, transaction: Any, before: _Written | None) -> None:
        cache = transaction._update_cache
        self._transaction = transaction
        self._updated = cache._updated[_FAMILY]
        self.deleted: Set[bytes] = cache._deleted[_FAMILY]
        complete = before is not None and before._complete
        self.before = before if complete else None
        if before is not None:
            before.before = None

    @property
    def _complete(self) -> bool:
        return bool(self._transaction._status is PartitionTransactionStatus.COMPLETE)

    def of(self, prefix: bytes) -> Mapping[bytes, bytes]:
        """Keys with their values."""
        found: Mapping[bytes, bytes] = self._updated.get(prefix, {})
        return found

    @classmethod
    def by(cls, transaction: Any) -> _Written:
        """By the open transaction of a partition's store.

        It hangs on the partition, which is another object once it was given away and came back.
        """
        kept = transaction._partition.__dict__
        newest: _Written | None = kept.get(_KEPT)
        if newest is None or newest._transaction is not transaction:
            newest = kept[_KEPT] = cls(transaction, newest)
        return newest


def read_all_again(state_manager: Any) -> None:
    """Nothing of before is known: partitions came, and state may be recovered behind our back."""
    for stores in state_manager.stores.values():
        for store in stores.values():
            for partition in store.partitions.values():
                partition.__dict__.pop(_KEPT, None)


class QuixStore:
    """A store's transaction of the open checkpoint, its keys under a prefix."""

    def __init__(self, transaction: Any, prefix: bytes) -> None:
        self._transaction = transaction
        self._prefix = prefix
        self._before = prefix + SEPARATOR
        cache = self._cache = transaction._update_cache
        # Quix's own ways there cost several times what looking does.
        self._updated = cache._updated[_FAMILY][prefix]
        self._deleted = cache._deleted[_FAMILY]
        self._stored = transaction._partition.get_or_create_column_family(_FAMILY).get
        last = _Written.by(transaction).before
        self._last_updated = last.of(prefix) if last is not None else {}
        self._last_deleted = last.deleted if last is not None else frozenset[bytes]()

    def get(self, key: bytes) -> bytes | None:
        key = self._before + key
        found: bytes | None = self._updated.get(key)
        if found is None and key not in self._deleted:
            found = self._last_updated.get(key)
            if found is None and key not in self._last_deleted:
                found = self._stored(key)
        return found

    def set(self, key: bytes, value: bytes) -> None:
        self._check_open()
        key = self._before + key
        # A copy: what orjson makes holds on to the four kilobytes it was written into.
        self._updated[key] = b"%b" % value
        self._deleted.discard(key)
        self._cache._empty = False

    def delete(self, key: bytes) -> None:
        self._check_open()
        key = self._before + key
        self._updated.pop(key, None)
        self._deleted.add(key)
        self._cache._empty = False

    def _check_open(self) -> None:
        """Whoever writes after the checkpoint was prepared would write nowhere."""
        if self._transaction._status is not PartitionTransactionStatus.STARTED:
            raise RuntimeError("the checkpoint these stores belong to is over")

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything under the prefix; what is written meanwhile may or may not be among it."""
        begin = self._before
        cache = self._transaction._update_cache
        changed = dict(cache.get_updates().get(self._prefix, {}))
        for key, value in list(changed.items()):
            yield key[len(begin) :], value
        for key, value in self._transaction._partition.iter_items(begin, _above(begin)):
            if key not in changed and key not in cache.get_deletes():
                yield key[len(begin) :], value

    def edge(
        self, begin: bytes, end: bytes, *, last: bool = False, but: bytes | None = None
    ) -> tuple[bytes, bytes] | None:
        """See `processors.state.OrderedStore`."""
        before = self._before
        low, high = before + begin, before + end
        hidden = before + but if but is not None else None
        cache = self._transaction._update_cache
        changed, deleted = cache.get_updates().get(self._prefix, {}), cache.get_deletes()
        best = None
        inside = [key for key in changed if low <= key < high and key != hidden]
        if inside:
            key = max(inside) if last else min(inside)
            best = (key, changed[key])
        for key, value in self._transaction._partition.iter_items(low, high, backwards=last):
            if key in changed or key in deleted or key == hidden or not low <= key < high:
                continue
            if best is None or (key > best[0] if last else key < best[0]):
                best = (key, value)
            break
        return (best[0][len(before) :], best[1]) if best is not None else None


class QuixShelf:
    """A store per target key, and the partition's own, within one transaction.

    A target key is a whole JSON object, so none is the beginning of another, nor of `own`.
    """

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction

    def of(self, target_key: bytes) -> QuixStore:
        """Everything kept for one target key."""
        return QuixStore(self._transaction, target_key)

    @property
    def own(self) -> QuixStore:
        """What the partition keeps for itself."""
        return QuixStore(self._transaction, b"own")


def _above(prefix: bytes) -> bytes:
    return prefix + _END * 64
