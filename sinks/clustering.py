"""Rows put in order: a table rewritten so that each file holds a narrow range of keys, or of the
columns it is clustered by.

A query of such a range, and by key a merge, then reads only the files it lies in. delta-rs's
z-order is no help here: it compares the first bytes of a text, which all keys share. So ranges are
read, sorted and written one after the other, in one commit; memory is that of one range. Each
partition is put in order by itself, in a commit of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from sinks.order import Cut, between, cuts_of, equal, in_order
from sinks.sorted_files import SortedFiles, folder_of, replace_files, written_value
from sinks.table import Snapshot, TableError, compact_copy, lake_errors
from sinks.upkeep import MEDIUM_TARGET, ranges_of

BY_KEY = ("_key",)
_SAMPLE_EVERY = 64
_SAMPLE_ALL = 4096


@dataclass(frozen=True, slots=True)
class Part:
    """What is sorted in one commit: a partition, or a table without partitions.

    Args:
        predicate: of its rows, "" for all.
        files: as `Snapshot.files` gives them.
        values: of a partition, by column, as Delta writes them.
    """

    predicate: str
    files: pa.Table
    values: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def measured(self) -> list[str]:
        """Columns its files have bounds of."""
        names = self.files.column_names
        return [name.removeprefix("min.") for name in names if name.startswith("min.")]

    @property
    def bytes(self) -> int:
        """Of its files."""
        return sum(self.files["size_bytes"].to_pylist())

    @property
    def rows(self) -> int | None:
        """Of its files, None where one does not say."""
        counts = self.files["num_records"].to_pylist()
        return None if None in counts else sum(counts)


def parts_of(snapshot: Snapshot) -> list[Part]:
    """The table's partitions, or the one part that a table without is.

    Raises:
        TableError: the lake does not answer.
    """
    files, names = snapshot.files(), snapshot.partitioned_by
    if not names:
        return [Part("", files)]
    values = zip(*(files[f"partition.{name}"].to_pylist() for name in names), strict=True)
    places: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, part in enumerate(values):
        places[part].append(place)
    schema = snapshot.schema
    return [
        Part(
            " AND ".join(equal(schema, *each) for each in zip(names, part, strict=True)),
            files.take(pa.array(found, pa.int64())),
            dict(zip(names, map(written_value, part), strict=True)),
        )
        for part, found in places.items()
    ]


def sample_cuts(snapshot: Snapshot, order: Sequence[str], part: Part) -> list[Cut]:
    """Where to cut a part into ranges of about equal size, from a sample of its rows.

    Raises:
        TableError: it can't be read.
    """
    found: list[pa.RecordBatch] = []
    seen, wanted = 0, pa.schema([snapshot.schema.field(name) for name in order])
    with lake_errors(snapshot.uri):
        for batch in snapshot.reader(order, part.predicate or None):
            step = 1 if seen < _SAMPLE_ALL else _SAMPLE_EVERY
            found.append(compact_copy(batch, wanted, step))
            seen += len(batch)
    return cuts_of(pa.Table.from_batches(found, wanted), order, ranges_of(part.bytes))


def sort_part(
    snapshot: Snapshot,
    order: Sequence[str],
    part: Part,
    cuts: Sequence[Cut],
    goes_on: Callable[[], bool],
) -> None:
    """Rewrite a part sorted, in one commit onto this snapshot.

    Args:
        order: columns, the most important one first.
        cuts: of the ranges.
        goes_on: asked before each range; where it says no, nothing is committed.

    Raises:
        TableError: it failed, was given up, or may have failed; a fresh snapshot tells.
    """
    schema, lows, highs = snapshot.schema, [None, *cuts], [*cuts, None]
    measured = dict.fromkeys([*order, *part.measured])
    with lake_errors(snapshot.uri):
        folder = folder_of(part.files["path"][0].as_py())
        files = SortedFiles(snapshot, folder, part.values, measured, MEDIUM_TARGET)
        for low, high in zip(lows, highs, strict=True):
            if not goes_on():
                raise TableError("sorting was given up", where=snapshot.uri)
            limits = filter(None, (part.predicate, between(schema, order, low, high)))
            files.write(in_order(snapshot.rows_where(" AND ".join(limits)), order))
        files.end_file()
        # What ranges of rows lost or doubled must never become the table.
        if part.rows is not None and files.rows != part.rows:
            raise TableError(
                f"sorting found {files.rows} rows where the table has {part.rows}",
                where=snapshot.uri,
            )
        replace_files(snapshot, part.files, part.values, files.adds, ",".join(order))
