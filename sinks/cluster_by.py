"""Tables in an order of one's choice (`Dataset(cluster_by=…)`): what is unsorted, and sorting it.

Merges find rows by key, so whatever they rewrite leaves the chosen order; new rows come in the
order of their changes. A partition (or a table without) is sorted again once a quarter of its bytes
is newer than the last time, and sorting takes the writer a tenth of its time at most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from sinks.clustering import BY_KEY, Part, parts_of, sample_cuts, sort_part
from sinks.order import fits_order
from sinks.properties import CLUSTER_PROPERTY
from sinks.table import Snapshot
from sinks.upkeep import CLUSTER_MOST, MEDIUM_TARGET, files_of_value, in_ranges

_CLUSTERED_TRANSACTION = "tailrace:clustered"
# Below it a part is a file or two.
CHOSEN_LEAST = 2 * MEDIUM_TARGET
_NEWER = 0.25
_TIME_SHARE = 0.1


def chosen_columns(snapshot: Snapshot) -> tuple[str, ...]:
    """The columns its dataset chose; one that the table does not have yet ends the list."""
    try:
        chosen = json.loads(snapshot.properties.get(CLUSTER_PROPERTY, "[]"))
    except ValueError:
        chosen = []
    schema, found = snapshot.schema, []
    for name in chosen:
        if name not in schema.names or not fits_order(schema.field(name).type):
            break
        found.append(name)
    return tuple(found)


def order_of(snapshot: Snapshot) -> tuple[str, ...]:
    """The columns the table is sorted by, `_key` the last; `_key` alone where none are chosen."""
    return tuple(dict.fromkeys([*chosen_columns(snapshot), *BY_KEY]))


def sorted_at_ms(snapshot: Snapshot) -> int:
    """When the table was last sorted in the order it is to have, 0 for never.

    Milliseconds since 1970. Each order has an app transaction of its own: after another one was
    chosen all files count as new, and where the former comes back, those written since do.
    """
    return snapshot.transaction(_transaction(order_of(snapshot))) or 0


def _transaction(order: Sequence[str]) -> str:
    return f"{_CLUSTERED_TRANSACTION}:{json.dumps(order)}"


def newer_bytes(part: Part, sorted_at_ms: int) -> int:
    """Of files written after the table was last sorted (milliseconds since 1970, 0 for never)."""
    pairs = zip(
        part.files["modification_time"].to_pylist(),
        part.files["size_bytes"].to_pylist(),
        strict=True,
    )
    return sum(size for at, size in pairs if at > sorted_at_ms)


def out_of_order(part: Part, column: str, sorted_at_ms: int) -> bool:
    """Whether sorting the part pays: enough of it is new, and not in order by itself."""
    size = part.bytes
    if size < CHOSEN_LEAST or newer_bytes(part, sorted_at_ms) < size * _NEWER:
        return False
    return not in_ranges(part.files.num_rows, files_of_value(part.files, column))


class ChosenOrder:
    """Keeps a table in its chosen order.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sorted: set[tuple[tuple[str, ...], str]] = set()
        self._left = False
        self._rests_until_s = 0.0

    def due(self, snapshot: Snapshot) -> list[str]:
        """Predicates of the parts that are to be sorted now: up to 512 MB of them."""
        chosen = chosen_columns(snapshot)
        if not chosen or self._clock() < self._rests_until_s:
            return []
        at_ms, order = sorted_at_ms(snapshot), order_of(snapshot)
        found, size, self._left = [], 0, False
        for part in parts_of(snapshot):
            passed = part.bytes > CLUSTER_MOST or (order, part.predicate) in self._sorted
            if passed or not out_of_order(part, chosen[0], at_ms):
                continue
            if size + part.bytes > CLUSTER_MOST:
                self._left = True
                continue
            found.append(part.predicate)
            size += part.bytes
        return found

    def sort(
        self,
        predicates: Sequence[str],
        fresh: Callable[[], Snapshot | None],
        goes_on: Callable[[], bool],
    ) -> None:
        """Sort these parts, each in a commit of its own.

        Raises:
            TableError: as every commit.
        """
        begun_s = self._clock()
        for predicate in predicates:
            snapshot = fresh()
            if snapshot is not None:
                sort_one(snapshot, predicate, goes_on)
                self._sorted.add((order_of(snapshot), predicate))
        ended_s = self._clock()
        self._rests_until_s = ended_s + (ended_s - begun_s) / _TIME_SHARE
        snapshot = None if self._left else fresh()
        if snapshot is not None:
            self._sorted.clear()
            note_sorted(snapshot, ended_s)


def sort_one(snapshot: Snapshot, predicate: str, goes_on: Callable[[], bool]) -> None:
    """Sort the part of this predicate, if it is there, in the table's order.

    Raises:
        TableError: as every commit.
    """
    order = order_of(snapshot)
    for part in parts_of(snapshot):
        if part.predicate == predicate:
            sort_part(snapshot, order, part, sample_cuts(snapshot, order, part), goes_on)


def note_sorted(snapshot: Snapshot, now_s: float) -> None:
    """Remember in the table when it was last sorted in its order.

    Raises:
        TableError: as every commit.
    """
    snapshot.commit_transactions({_transaction(order_of(snapshot)): int(now_s * 1000)})
