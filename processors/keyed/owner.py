"""The second step: the one owner of a target key turns contributions into rows. Pure.

Rows are stamped `epoch.counter` from the state they come from: the counter rises with every row of
the partition, the epoch is the newest seen in it. So versions of one target key rise, and a row of
a key that anybody contributes to in the newest epoch carries that epoch: a sealed epoch takes none
of them out of the table. What vanished from the source is retracted before a seal is passed on, by
the first step; the seal goes on once it has come from every partition of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import orjson

from bridge.wire.envelope import Sealed
from bridge.wire.version import decode_version, encode_version
from processors.keyed.contribution import Contributed, Place
from processors.keyed.groups import Groups
from processors.keyed.plan import KeyedPlan
from processors.keyed.windows import Windows
from processors.state import OrderedStore, Shelf

_STAMP, _SEALED, _FLOOR = b"stamp", b"sealed", b"floor"
_Dropped = Literal["repeated", "stale", "late"]


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A row to write; `columns` None deletes it."""

    key: str
    version: str
    event_time: str | None
    columns: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a contribution causes: a row, or why there is none (None: it changes nothing)."""

    row: TargetRow | None = None
    dropped: _Dropped | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where versions of a partition stand."""

    epoch: int = 1
    counter: int = 0

    @classmethod
    def read(cls, own: OrderedStore) -> Stamp:
        """As kept."""
        found = own.get(_STAMP)
        return cls(*orjson.loads(found)) if found is not None else cls()

    def write(self, own: OrderedStore) -> None:
        """Keep it."""
        own.set(_STAMP, orjson.dumps([self.epoch, self.counter]))

    @property
    def version(self) -> str:
        """As rows carry it."""
        return encode_version(self.epoch, self.counter)


class Owner:
    """Applies contributions to the state of one partition at a time.

    Args:
        plan: what to keep.
    """

    def __init__(self, plan: KeyedPlan) -> None:
        self._plan = plan
        self._groups = Groups(plan.aggregates)
        window = plan.window
        self._windows = (
            Windows(plan.aggregates, window.size_ms, window.grace_ms) if window else None
        )

    def apply(self, key: str, contributed: Contributed, shelf: Shelf) -> Effect:
        """What a contribution to `key` causes. State is written only if nothing fails.

        Raises:
            UnfitValueError: a result does not fit its column.
        """
        own = shelf.own
        if self._seen(own, contributed.place):
            return Effect(dropped="repeated")
        epoch, _ = decode_version(contributed.version)
        if epoch < int(own.get(_FLOOR) or 0):
            self._note(own, contributed.place)
            return Effect(dropped="stale")
        known = Stamp.read(own)
        stamp = replace(known, epoch=max(known.epoch, epoch), counter=known.counter + 1)
        effect = (
            self._event(key, contributed, shelf, stamp)
            if self._windows is not None
            else self._item(key, contributed, shelf, stamp)
        )
        if effect.row is not None:
            stamp.write(own)
        self._note(own, contributed.place)
        return effect

    def pass_over(self, contributed: Contributed, shelf: Shelf) -> None:
        """A contribution was set aside: it was seen all the same."""
        self._note(shelf.own, contributed.place)

    def seal(self, sealed: Sealed, partition: int, partitions: int, shelf: Shelf) -> Sealed | None:
        """A source partition's seal has come; the partition's own, once all have.

        `partition` of `partitions` is that of this topic and of the rows.
        """
        own = shelf.own
        seen = b"seal|%d" % sealed.partition
        if int(own.get(seen) or 0) < sealed.epoch:
            own.set(seen, b"%d" % sealed.epoch)
        complete = min(int(own.get(b"seal|%d" % number) or 0) for number in range(sealed.of))
        if complete <= int(own.get(_SEALED) or 0):
            return None
        own.set(_SEALED, b"%d" % complete)
        if sealed.scanned:
            own.set(_FLOOR, b"%d" % complete)
        stamp = Stamp.read(own)
        if stamp.epoch < complete:
            replace(stamp, epoch=complete).write(own)
        return Sealed(sealed.table, complete, partition, partitions, sealed.scanned)

    def _item(self, key: str, contributed: Contributed, shelf: Shelf, stamp: Stamp) -> Effect:
        item, store = contributed.item.encode(), shelf.of(key.encode())
        version, rows = contributed.version, contributed.rows
        changed = (
            self._groups.put(store, item, version, rows, stamp.counter)
            if rows
            else self._groups.retract(store, item, version)
        )
        if changed is None:
            return Effect(dropped="stale" if rows else None)
        columns = changed.columns
        if columns is not None:
            columns = {**self._plan.key_columns(key), **columns}
        return Effect(TargetRow(key, stamp.version, contributed.event_time, columns))

    def _event(self, key: str, contributed: Contributed, shelf: Shelf, stamp: Stamp) -> Effect:
        assert self._windows is not None
        at_ms = contributed.at_ms
        if at_ms is None or not contributed.rows:
            return Effect()
        windowed = self._plan.windowed_key(key, at_ms)
        columns = self._windows.add(
            shelf,
            windowed.encode(),
            contributed.rows,
            at_ms=at_ms,
            changed_ms=_milliseconds(contributed.event_time),
            place=stamp.counter,
        )
        if columns is None:
            return Effect(dropped="late")
        columns = {**self._plan.key_columns(key, at_ms), **columns}
        return Effect(TargetRow(windowed, stamp.version, contributed.event_time, columns))

    @staticmethod
    def _seen(own: OrderedStore, place: Place | None) -> bool:
        if place is None:
            return False
        known = own.get(b"from|%d" % place.partition)
        return known is not None and [place.offset, place.number] <= orjson.loads(known)

    @staticmethod
    def _note(own: OrderedStore, place: Place | None) -> None:
        if place is not None:
            own.set(b"from|%d" % place.partition, orjson.dumps([place.offset, place.number]))


def _milliseconds(event_time: str | None) -> int | None:
    if event_time is None:
        return None
    return round(datetime.fromisoformat(event_time).timestamp() * 1_000)


def rows_by_key(plan: KeyedPlan, rows: Sequence[tuple[str, Any]]) -> dict[str, list[list[Any]]]:
    """What the rows of one item contribute, by target key."""
    found: dict[str, list[list[Any]]] = {}
    for key, row in rows:
        found.setdefault(key, []).append(plan.values(row))
    return found
