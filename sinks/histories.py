"""A table of intervals: the rows of the keys in a batch are worked out anew on the snapshot.

See `sinks.history` for what they are. Everything needed is in the snapshot and the tombstones, and
what differs from the snapshot goes into it by key and version, in the commit of the batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from bridge.wire.version import epoch_floor
from sinks.columns import EVENT_TIME, is_own
from sinks.engine import MergeEngine
from sinks.history import Floor, Interval, Member, intervals, read_merged
from sinks.keys import older_rows, sql_text, table_of
from sinks.layout import IS_CURRENT, MERGED, OPERATION, VALID_FROM, VALID_TO, Layout
from sinks.ledger import Ledger
from sinks.moments import epoch_moment, moment_of
from sinks.rules import EXACT, Merged
from sinks.table import Snapshot, lake_errors
from sinks.tombstones import Tombstones

_KEYS_IN_PREDICATE = 200


class HistoryTable:
    """Keeps intervals; the interface is `sinks.keeping.Keeping`.

    Args:
        engine: puts rows in and takes them out by key and version.
        layout: of the table.
        tables: that feed it.
        tombstones: of every delete.
    """

    def __init__(
        self,
        engine: MergeEngine,
        layout: Layout,
        tables: Sequence[str],
        tombstones: Tombstones,
    ) -> None:
        self._engine = engine
        self._rule = EXACT.pruned_by(layout.stable_partitions)
        self._tables = tables
        self._tombstones = tombstones

    def apply(
        self,
        snapshot: Snapshot,
        changes: pa.Table,
        transactions: Mapping[str, int],
        ledger: Ledger,
    ) -> Merged:
        """See `Keeping`."""
        upserts = changes.filter(pc.not_equal(changes[OPERATION], "delete"))
        floors = {
            table: Floor(feed.floor, epoch_moment(feed.sealed))
            for table, feed in ledger.feeds.items()
            if feed.sealed
        }
        keys = set(changes["_key"].to_pylist())
        stored = _rows_of(snapshot, keys)
        taken = _Recomputed(stored, upserts, self._tombstones, lambda key: self._floor(key, floors))
        rows = taken.rows(keys)
        merged = Merged(committed=False)
        if rows.num_rows:
            merged = self._engine.apply(snapshot, rows, transactions, self._rule)
        deletes = changes.num_rows - upserts.num_rows
        return Merged(merged.committed, taken.new_upserts, deletes, merged.appended)

    def seal(
        self, snapshot: Snapshot, table: str, epoch: int, transactions: Mapping[str, int]
    ) -> bool:
        """See `Keeping`: what older epochs left ends when this one began."""
        at = epoch_moment(epoch)
        predicate = (
            f"{older_rows(table, self._tables, epoch)} "
            f"AND ({VALID_TO} IS NULL OR {VALID_TO} > to_timestamp_micros({at}))"
        )
        keys = set(snapshot.rows_where(predicate, ["_key"])["_key"].to_pylist())
        if not keys:
            return False
        floor = Floor(epoch_floor(epoch), at)
        stored = _rows_of(snapshot, keys)
        rows = _Recomputed(stored, None, self._tombstones, lambda _: floor).rows(keys)
        if not rows.num_rows:
            return False
        return self._engine.apply(snapshot, rows, transactions, self._rule).committed

    def _floor(self, key: str, floors: Mapping[str, Floor]) -> Floor | None:
        return floors.get(table_of(key, self._tables) or "")


class _Recomputed:
    """The rows of some keys, from what is stored of them and what comes."""

    def __init__(
        self,
        stored: pa.Table,
        upserts: pa.Table | None,
        tombstones: Tombstones,
        floor_of: Callable[[str], Floor | None],
    ) -> None:
        self._stored = stored
        self._tombstones = tombstones
        self._floor_of = floor_of
        both = [stored] if upserts is None else [stored, upserts.select(stored.column_names)]
        self._all = pa.concat_tables(both).combine_chunks()
        names = [field.name for field in stored.schema if not is_own(field)]
        columns = [self._all[name].to_pylist() for name in names]
        self._contents = list(zip(*columns, strict=True)) or [()] * self._all.num_rows
        self._versions = self._all["_version"].to_pylist()
        self._moments = _micros(self._all["_event_time"])
        self._begins = _micros(self._all[VALID_FROM])
        self._ends = _micros(self._all[VALID_TO])
        self._merged = self._all[MERGED].to_pylist()
        self._by_key: dict[str, list[int]] = defaultdict(list)
        for number, key in enumerate(self._all["_key"].to_pylist()):
            self._by_key[key].append(number)
        self.new_upserts = 0

    def rows(self, keys: Iterable[str]) -> pa.Table:
        """What of these keys differs from the snapshot: upserts, and deletes of rows there are."""
        put: list[tuple[int, Interval]] = []
        gone: list[int] = []
        for key in keys:
            self._key(key, put, gone)
        return self._as_changes(put, gone)

    def _key(self, key: str, put: list[tuple[int, Interval]], gone: list[int]) -> None:
        members: list[Member] = []
        ends: dict[str, int] = {}
        stored: dict[str, int] = {}
        known: set[str] = set()
        for number in self._by_key.get(key, ()):
            version = self._versions[number]
            at = moment_of(self._moments[number], version)
            if number >= self._stored.num_rows:
                self.new_upserts += version not in known
            else:
                stored[version] = number
                older = read_merged(self._merged[number], number)
                members += older
                known.update(member.version for member in older)
                known.add(version)
                end = self._ends[number]
                if end is not None:
                    ends[version] = end
            members.append(Member(version, at, number))
        deletes = self._tombstones.all_of(key).items()
        members += [Member(version, at, None) for version, at in deletes]
        found = intervals(members, ends, self._floor_of(key), self._same)
        for interval in found:
            before = stored.pop(interval.newest.version, None)
            if before is None or self._differs(before, interval):
                assert interval.newest.content is not None
                put.append((interval.newest.content, interval))
        gone += stored.values()

    def _same(self, one: int, other: int) -> bool:
        return one == other or self._contents[one] == self._contents[other]

    def _differs(self, number: int, interval: Interval) -> bool:
        shown = (self._begins[number], self._ends[number], self._merged[number])
        return shown != (interval.begin, interval.end, interval.merged)

    def _as_changes(self, put: Sequence[tuple[int, Interval]], gone: Sequence[int]) -> pa.Table:
        rows = self._all.take(pa.array([number for number, _ in put], pa.int64()))
        columns: dict[str, pa.Array] = {
            "_version": pa.array([i.newest.version for _, i in put], pa.string()),
            "_event_time": _times([i.newest.at for _, i in put]),
            VALID_FROM: _times([i.begin for _, i in put]),
            VALID_TO: _times([i.end for _, i in put]),
            IS_CURRENT: pa.array([i.end is None for _, i in put], pa.bool_()),
            MERGED: pa.array([i.merged for _, i in put], pa.string()),
        }
        for name, values in columns.items():
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, rows.schema.field(at), values)
        operations = ["upsert"] * len(put) + ["delete"] * len(gone)
        both = pa.concat_tables([rows, self._all.take(pa.array(gone, pa.int64()))])
        return both.append_column(OPERATION, pa.array(operations, pa.string()))


def _rows_of(snapshot: Snapshot, keys: set[str]) -> pa.Table:
    """The rows of these keys; files that can't hold any are not read, nor are others kept."""
    wanted, schema = sorted(keys), snapshot.schema
    if not wanted:
        return schema.empty_table()
    if len(wanted) <= _KEYS_IN_PREDICATE:
        return snapshot.rows_where(f"_key IN ({', '.join(map(sql_text, wanted))})")
    # The engine reads texts as views, which can't be filtered: all rows get the table's own types.
    low, high = sql_text(wanted[0]), sql_text(wanted[-1])
    among, parts = pa.array(wanted, pa.string()), [schema.empty_table()]
    with lake_errors(snapshot.uri):
        for batch in snapshot.reader(predicate=f"_key >= {low} AND _key <= {high}"):
            part = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
            parts.append(part.filter(pc.is_in(part["_key"], among)))
    return pa.concat_tables(parts)


def _micros(times: pa.ChunkedArray) -> list[int | None]:
    found: list[int | None] = times.cast(EVENT_TIME).cast(pa.int64()).to_pylist()
    return found


def _times(moments: Sequence[int | None]) -> pa.Array:
    return pa.array(moments, pa.int64()).cast(EVENT_TIME)
