"""Rows changed by copying the files they lie in, into one commit of our own.

Which files those are is told by the few columns a change is found by; all others are left alone.
Small files that lie next to each other become one on the way. A row that takes another's place goes
where that one was, so ranges of keys stay ranges.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.transaction import AddAction

from sinks.key_ranges import Partition, Ranges, highs_of, lows_of, partitions_of
from sinks.layout import DELETED, DELETED_AT, VALID_FROM, VALID_TO
from sinks.looking import NOWHERE, PART_BYTES, PART_ROWS, Decide, Places, TableFiles
from sinks.sorted_files import SortedFiles, folder_of, removal, written_value
from sinks.table import Snapshot
from sinks.upkeep import LARGE_TARGET, MEDIUM_TARGET

# Files that are worked on at once: where they are small that waits for the storage, where they are
# large it takes memory.
_LEAST, _MOST, _AT_ONCE_BYTES = 2, 8, 64 * 1024 * 1024
_MEASURED = ("_key", "_version", "_event_time", VALID_FROM, VALID_TO)
# Of files: less is read before a thread begins.
_AHEAD_BYTES = 1024 * 1024
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
# Whatever else a protocol asks for is left to the library that knows it.
_FEATURES = frozenset({"appendOnly", "invariants", "timestampNtz"})
_OF_LIBRARY = ("delta.constraints.", "delta.enableChangeDataFeed", "delta.columnMapping.mode")

T = TypeVar("T")
R = TypeVar("R")


def copies(snapshot: Snapshot) -> bool:
    """Whether the table's files are all there is to it: no deletion vectors, constraints, feeds."""
    protocol = snapshot.delta.protocol()
    asked = {*(protocol.reader_features or ()), *(protocol.writer_features or ())}
    properties = snapshot.properties
    named = any(name.startswith(_OF_LIBRARY) for name in properties)
    return asked <= _FEATURES and not named


@dataclass(slots=True, eq=False)
class _Group:
    """Files of one partition that become one, in order, and the changes whose rows go with them.

    `low` and `high`: the bounds of their keys.
    """

    partition: Partition
    low: str = ""
    high: str = ""
    files: list[int] = field(default_factory=list)
    changes: list[Places] = field(default_factory=list)


class Copying:
    """One pass over a snapshot.

    Args:
        snapshot: of the table.
        files: as `Snapshot.files` gives them.
        looked_at: by file, whether it may hold rows that change.
        columns: which tell what becomes of a row.
        decide: tells it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        files: pa.Table,
        looked_at: Sequence[bool],
        columns: Sequence[str],
        decide: Decide,
    ) -> None:
        self._snapshot = snapshot
        self._names = snapshot.partitioned_by
        names = [f"partition.{name}" for name in self._names]
        self._ranges = Ranges(files, partitions_of(files, names))
        self._files = files = files.filter(pa.array(looked_at, pa.bool_()))
        self._paths: list[str] = files["path"].to_pylist()
        self._sizes: list[int] = files["size_bytes"].to_pylist()
        self._source = TableFiles(snapshot)
        self._partitions = partitions_of(files, names)
        self._looks = _each(
            lambda path: self._source.look(path, columns, decide), self._paths, self._sizes
        )
        self._touched = [place for place, look in enumerate(self._looks) if look.any]

    @property
    def files(self) -> int:
        """Those that are copied."""
        return len(self._touched)

    @property
    def found(self) -> Places:
        """Places of the changes that found a row."""
        return _all(look.found for look in self._looks)

    @property
    def replaced(self) -> int:
        """Rows that make place for a change, or are flagged by one."""
        return sum(
            len(look.updated) + (0 if look.flags is None else int((look.flags >= 0).sum()))
            for look in self._looks
        )

    @property
    def deleted(self) -> int:
        """Rows that go out."""
        return sum(look.deleted for look in self._looks)

    def commit(
        self,
        transactions: Mapping[str, int],
        changes: pa.Table | None = None,
        inserted: Places = NOWHERE,
        said: Mapping[str, str] | None = None,
    ) -> bool:
        """Copy what is touched, put in what comes, commit; whether there was anything to do.

        Args:
            transactions: app transactions of the commit.
            changes: what the looks speak of, with all of the table's columns.
            inserted: places of the changes that are put in though they found no row.
            said: stands beside the commit in the log.
        """
        groups = self._groups(changes, inserted)
        if not groups:
            return False
        sizes = list(map(self._bytes, groups))
        adds = _each(lambda group: self._copied(group, changes), groups, sizes)
        removes = [
            removal(
                self._paths[place],
                self._sizes[place],
                self._written(self._partitions[place]),
                data_change=True,
            )
            for place in self._touched
        ]
        actions = [*(add for made in adds for add in made), *removes]
        self._snapshot.commit_actions(actions, said, transactions)
        return True

    def _groups(self, changes: pa.Table | None, inserted: Places) -> list[_Group]:
        groups = self._touched_groups()
        if changes is None:
            return groups
        partitions = partitions_of(changes, self._names)
        left = np.zeros(len(changes), np.bool_)
        left[inserted] = True
        placed = np.zeros(len(changes), np.bool_)
        for group in groups:
            updated = _all(self._looks[place].updated for place in group.files)
            # A change whose rows are in two files is put in once.
            updated = np.unique(updated[~placed[updated]])
            stays = np.ones(len(updated), np.bool_)
            if self._names:
                same = (partitions[at] == group.partition for at in updated)
                stays = np.fromiter(same, np.bool_, len(updated))
            placed[updated] = True
            left[updated[~stays]] = True
            group.changes.append(updated[stays])
        self._place(groups, np.flatnonzero(left), partitions, changes)
        return groups

    def _touched_groups(self) -> list[_Group]:
        """Files that change, by partition and in the order of keys, small neighbours as one."""
        lows, highs = lows_of(self._files), highs_of(self._files)
        by_partition: dict[Partition, list[int]] = defaultdict(list)
        for place in sorted(self._touched, key=lows.__getitem__):
            by_partition[self._partitions[place]].append(place)
        groups: list[_Group] = []
        for partition, places in by_partition.items():
            size = MEDIUM_TARGET
            for place in places:
                size += self._sizes[place]
                if size > MEDIUM_TARGET or not self._ranges.free(
                    partition, groups[-1].high, lows[place], inclusive=False
                ):
                    groups.append(_Group(partition, lows[place]))
                    size = self._sizes[place]
                groups[-1].files.append(place)
                groups[-1].high = max(groups[-1].high, highs[place])
        return groups

    def _place(
        self,
        groups: list[_Group],
        left: Places,
        partitions: Sequence[Partition],
        changes: pa.Table,
    ) -> None:
        """Where rows go that take the place of none there: where no file's range comes to lie over
        another's by that, or into a new file."""
        if not len(left):
            return
        by_partition: dict[Partition, list[_Group]] = defaultdict(list)
        for group in groups:
            by_partition[group.partition].append(group)
        keys = changes["_key"].to_pylist()
        into: dict[_Group, list[int]] = defaultdict(list)
        new: dict[Partition, _Group] = {}
        for at in left.tolist():
            partition, key = partitions[at], keys[at]
            own = by_partition.get(partition, [])
            number = bisect_right(own, key, key=lambda group: group.low) - 1
            if number >= 0 and self._ranges.free(partition, own[number].high, key):
                into[own[number]].append(at)
            else:
                into[new.setdefault(partition, _Group(partition))].append(at)
        groups += new.values()
        for group, places in into.items():
            group.changes.append(np.array(places, np.int64))

    def _copied(self, group: _Group, changes: pa.Table | None) -> list[AddAction]:
        """The files a group becomes."""
        values = self._written(group.partition)
        files = SortedFiles(
            self._snapshot,
            self._folder(group, values),
            values,
            self._measured(),
            LARGE_TARGET,
            data_change=True,
        )
        rows = self._kept(group, changes)
        if changes is not None:
            rows = chain(rows, _taken(changes, _all(group.changes)))
        parts = _in_parts(rows, files.names)
        for part in _ahead(parts) if self._bytes(group) > _AHEAD_BYTES else parts:
            files.write(part)
        files.end_file()
        return files.adds

    def _bytes(self, group: _Group) -> int:
        return sum(self._sizes[place] for place in group.files)

    def _kept(self, group: _Group, changes: pa.Table | None) -> Iterator[pa.Table]:
        """What stays of a group's files, flagged where a change says so."""
        for place in group.files:
            look, begin = self._looks[place], 0
            for rows in self._source.rows(self._paths[place]):
                here = slice(begin, begin + len(rows))
                begin += len(rows)
                if look.flags is not None and changes is not None:
                    rows = _flagged(rows, look.flags[here], changes)  # noqa: PLW2901
                stays = look.stays[here]
                yield rows if stays.all() else rows.filter(pa.array(stays))

    def _written(self, partition: Partition) -> dict[str, str | None]:
        return dict(zip(self._names, map(written_value, partition), strict=True))

    def _folder(self, group: _Group, values: Mapping[str, str | None]) -> str:
        """Some readers take a partition's values from there."""
        if group.files:
            return folder_of(self._paths[group.files[0]])
        return "/".join(
            f"{quote(name, safe='')}={_NO_VALUE if value is None else quote(value, safe='')}"
            for name, value in values.items()
        )

    def _measured(self) -> list[str]:
        """Columns that files have bounds of."""
        names = self._files.column_names
        there = [name.removeprefix("min.") for name in names if name.startswith("min.")]
        return list(dict.fromkeys([*_MEASURED, *there]))


def _each(do: Callable[[T], R], items: Sequence[T], sizes: Sequence[int]) -> list[R]:
    """The same as `map`, in threads, for files of these bytes."""
    if len(items) < 2:
        return list(map(do, items))
    workers = min(max(_AT_ONCE_BYTES // max(*sizes, 1), _LEAST), _MOST, len(items))
    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(do, items))


def _ahead(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same; the next one is read while this one is written."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = reader.submit(next, parts, None)
            yield part


def _all(parts: Iterable[Places]) -> Places:
    found = list(parts)
    return np.concatenate(found) if found else NOWHERE


def _taken(changes: pa.Table, places: Places) -> Iterator[pa.Table]:
    """Rows of changes in the order of their keys, in parts."""
    ordered = pc.sort_indices(changes["_key"].take(pa.array(places))).to_numpy()
    each = max(changes.nbytes // max(len(changes), 1), 1)
    step = max(PART_BYTES // each, 1)
    for begin in range(0, len(places), step):
        yield changes.take(pa.array(places[ordered[begin : begin + step]]))


def _in_parts(tables: Iterable[pa.Table], names: Sequence[str]) -> Iterator[pa.Table]:
    """The same rows and these columns, in parts worth a row group of their own."""
    held: list[pa.Table] = []
    size = rows = 0
    for table in tables:
        held.append(table.select(names))
        size, rows = size + table.nbytes, rows + len(table)
        if size >= PART_BYTES or rows >= PART_ROWS:
            yield pa.concat_tables(held)
            held, size, rows = [], 0, 0
    if rows:
        yield pa.concat_tables(held)


def _flagged(rows: pa.Table, flags: Places, changes: pa.Table) -> pa.Table:
    """The rows with what the changes at these places say of their deletion; -1 says nothing."""
    hit = flags >= 0
    if not hit.any():
        return rows
    moments = changes[DELETED_AT].take(pa.array(flags[hit])).combine_chunks()
    values = {DELETED: pa.array([True] * len(moments)), DELETED_AT: moments}
    for name, given in values.items():
        at = rows.schema.get_field_index(name)
        column = pc.replace_with_mask(rows[name].combine_chunks(), pa.array(hit), given)
        rows = rows.set_column(at, rows.schema.field(at), column)
    return rows
