"""The view of items by target key: what every item contributes, and the row that makes. Pure.

Kept for a target key, in a store of its own:

    =            the group: contributing rows, tallies, and who leads each order
    c <item>     an item's contribution: version, places in the two orders, values of its rows
    x <n> <value> <item>   the items by their least (or greatest) value of argument n, for min, max
    s <place>, u <place>   the items by when they began to contribute, and when they last changed

A change costs a read and a write of the group, of the contribution, and of an entry per order. Only
when the leader of an order goes, one seek finds the next: 100,000 items of one key cost no more
than one. The orders of arrival are this owner's own: versions of different items do not compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from processors.keyed.aggregates import (
    ARRIVALS,
    EXTREMES,
    Aggregate,
    Tally,
    better,
    tallied,
)
from processors.keyed.ordering import sortable, unsigned
from processors.state import OrderedStore

Values = Sequence[Any]
_GROUP = b"="
_END = b"\xff"
_ORDERS = {"first": b"s", "last": b"u"}


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one item gives to one target key: its newest version, its rows' values.

    `since` and `changed` are places in the order of arrival.
    """

    version: str
    since: int
    changed: int
    rows: Sequence[Values]

    def encode(self) -> bytes:
        """Compact JSON."""
        return orjson.dumps([self.version, self.since, self.changed, self.rows])

    @classmethod
    def decode(cls, value: bytes) -> Contribution:
        """What `encode` wrote."""
        return cls(*orjson.loads(value))


@dataclass(frozen=True, slots=True)
class Order:
    """One way the items of a group are kept in order, for the aggregates that need its end."""

    function: Literal["min", "max", "first", "last"]
    argument: int
    argument_type: str

    @property
    def prefix(self) -> bytes:
        """Where its entries lie."""
        mark = _ORDERS.get(self.function)
        return mark if mark is not None else b"x%c" % self.argument

    def entry(self, item: bytes, contribution: Contribution) -> tuple[bytes, Any] | None:
        """An item's key in it and its value there; None where all its values are NULL."""
        if self.function == "first":
            return self.prefix + unsigned(contribution.since), contribution.rows[0]
        if self.function == "last":
            return self.prefix + unsigned(contribution.changed), contribution.rows[-1]
        values = [row[self.argument] for row in contribution.rows]
        spelled = {sortable(v, self.argument_type): v for v in values if v is not None}
        if not spelled:
            return None
        end = min(spelled) if self.function == "min" else max(spelled)
        return self.prefix + self.function.encode() + end + item, spelled[end]

    @property
    def span(self) -> tuple[bytes, bytes]:
        """Where its entries begin and end."""
        of = b"" if self.function in ARRIVALS else self.function.encode()
        return self.prefix + of, self.prefix + of + _END * 8


@dataclass(slots=True)
class Group:
    """A group's summary. `leaders` hold per order the key of its first entry and the value."""

    rows: int
    tallies: list[Tally]
    leaders: list[tuple[bytes, Any] | None]

    def encode(self) -> bytes:
        """Compact JSON."""
        return orjson.dumps(
            [
                self.rows,
                [[tally.count, tally.total] for tally in self.tallies],
                [lead and [lead[0].decode("latin-1"), lead[1]] for lead in self.leaders],
            ]
        )

    @classmethod
    def decode(cls, value: bytes) -> Group:
        """What `encode` wrote."""
        rows, tallies, leaders = orjson.loads(value)
        return cls(
            rows,
            [Tally(*tally) for tally in tallies],
            [lead and (lead[0].encode("latin-1"), lead[1]) for lead in leaders],
        )


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change makes of a group: its columns, None where no item contributes any more."""

    columns: dict[str, Any] | None


class Groups:
    """Applies contributions to groups.

    Args:
        aggregates: the columns of a group.
    """

    def __init__(self, aggregates: Sequence[Aggregate]) -> None:
        self._aggregates = aggregates
        self._tallied = [a for a in aggregates if a.function in ("count", "sum", "avg")]
        self._orders = orders_of(aggregates)

    def put(
        self, store: OrderedStore, item: bytes, version: str, rows: Sequence[Values], place: int
    ) -> Changed | None:
        """An item contributes these rows (at least one); None if it is known to be newer.

        `place` is its place in the order of arrival, should it need one.

        Raises:
            UnfitValueError: a result does not fit; nothing was changed.
        """
        old = self._contribution(store, item)
        if old is not None and version <= old.version:
            return None
        same = old is not None and old.rows == list(map(list, rows))
        new = Contribution(
            version,
            place if old is None else old.since,
            old.changed if old is not None and same else place,
            [list(row) for row in rows],
        )
        return self._change(store, item, old, new)

    def retract(self, store: OrderedStore, item: bytes, version: str) -> Changed | None:
        """An item does not contribute any more; None if it never did, or is known to be newer.

        Raises:
            UnfitValueError: a result does not fit; nothing was changed.
        """
        old = self._contribution(store, item)
        if old is None or version <= old.version:
            return None
        return self._change(store, item, old, None)

    @staticmethod
    def _contribution(store: OrderedStore, item: bytes) -> Contribution | None:
        found = store.get(b"c" + item)
        return Contribution.decode(found) if found is not None else None

    def _change(
        self,
        store: OrderedStore,
        item: bytes,
        old: Contribution | None,
        new: Contribution | None,
    ) -> Changed:
        known = store.get(_GROUP)
        group = Group.decode(known) if known is not None else self._empty()
        gone = old.rows if old is not None else ()
        come = new.rows if new is not None else ()
        group.rows += len(come) - len(gone)
        group.tallies = [
            self._moved(aggregate, tally, gone, come)
            for aggregate, tally in zip(self._tallied, group.tallies, strict=True)
        ]
        entries = []
        for number, order in enumerate(self._orders):
            before = order.entry(item, old) if old is not None else None
            after = order.entry(item, new) if new is not None else None
            entries.append((before, after))
            group.leaders[number] = _leader(store, order, group.leaders[number], before, after)
        columns = self._columns(group) if group.rows else None
        # From here on nothing can fail but the store itself.
        for before, after in entries:
            if before is not None and (after is None or after[0] != before[0]):
                store.delete(before[0])
            if after is not None and after != before:
                store.set(after[0], orjson.dumps(after[1]))
        self._keep(store, item, group, new)
        return Changed(columns)

    @staticmethod
    def _keep(store: OrderedStore, item: bytes, group: Group, new: Contribution | None) -> None:
        if new is None:
            store.delete(b"c" + item)
        else:
            store.set(b"c" + item, new.encode())
        if group.rows:
            store.set(_GROUP, group.encode())
        else:
            store.delete(_GROUP)

    def _empty(self) -> Group:
        return Group(0, [Tally() for _ in self._tallied], [None] * len(self._orders))

    @staticmethod
    def _moved(
        aggregate: Aggregate, tally: Tally, gone: Sequence[Values], come: Sequence[Values]
    ) -> Tally:
        if gone == come:
            return tally
        at = aggregate.argument
        for row in gone:
            tally = tally.moved(aggregate, row[at] if at is not None else None, -1)
        for row in come:
            tally = tally.moved(aggregate, row[at] if at is not None else None, 1)
        return tally

    def _columns(self, group: Group) -> dict[str, Any]:
        tallies, columns = iter(group.tallies), {}
        leaders = dict(zip(self._orders, group.leaders, strict=True))
        for aggregate in self._aggregates:
            if aggregate.function in EXTREMES:
                leader = leaders[_order(aggregate)]
                columns[aggregate.name] = leader[1] if leader is not None else None
            elif aggregate.function in ARRIVALS:
                leader = leaders[_order(aggregate)]
                assert leader is not None
                assert aggregate.argument is not None
                columns[aggregate.name] = leader[1][aggregate.argument]
            else:
                columns[aggregate.name] = tallied(aggregate, next(tallies))
        return columns


def orders_of(aggregates: Sequence[Aggregate]) -> list[Order]:
    """The orders these aggregates need, each once."""
    needed = EXTREMES | ARRIVALS
    return list(dict.fromkeys(_order(a) for a in aggregates if a.function in needed))


def _order(aggregate: Aggregate) -> Order:
    function = aggregate.function
    assert function in ("min", "max", "first", "last")
    assert aggregate.argument is not None
    if function in ARRIVALS:
        return Order(function, 0, "")
    return Order(function, aggregate.argument, aggregate.argument_type)


def _leader(
    store: OrderedStore,
    order: Order,
    lead: tuple[bytes, Any] | None,
    before: tuple[bytes, Any] | None,
    after: tuple[bytes, Any] | None,
) -> tuple[bytes, Any] | None:
    """Who leads the order once `before` has gone and `after` has come."""
    ahead = better(order.function)
    if after is not None and (lead is None or after[0] == lead[0] or ahead(after[0], lead[0])):
        return after
    if before is None or lead is None or before[0] != lead[0]:
        return lead
    found = store.edge(*order.span, last=order.function in ("max", "last"), but=before[0])
    next_one = (found[0], orjson.loads(found[1])) if found is not None else None
    if after is not None and (next_one is None or ahead(after[0], next_one[0])):
        return after
    return next_one
