"""Files of rows that come in order, and the one commit that puts them in the place of others.

They are written here and not by delta-rs, whose writers take a stream's batches in turns: how far
the ranges of its files overlap depends on the machine's cores, and for a table with partitions all
of a partition may wait in memory. The commit says `dataChange: false`: whoever follows the table's
changes sees none.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from sinks.order import fits_order
from sinks.table import SORTED_METADATA, Snapshot

_ROW_GROUP = 128 * 1024
_TEXT_MAX = 64
_SAMPLE = 1024
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

Bound = str | int | dt.date | dt.datetime


@dataclass(slots=True)
class _Bounds:
    """Of one column: lowest and highest value so far, None without any; and its NULLs."""

    low: Bound | None = None
    high: Bound | None = None
    nulls: int = 0

    def add(self, column: pa.ChunkedArray) -> None:
        self.nulls += column.null_count
        found = pc.min_max(column).as_py()
        if found["min"] is not None:
            self.low = found["min"] if self.low is None else min(self.low, found["min"])
            self.high = found["max"] if self.high is None else max(self.high, found["max"])


@dataclass(slots=True)
class _File:
    path: str
    stream: pa.NativeFile
    writer: pq.ParquetWriter
    rows: int = 0
    bounds: dict[str, _Bounds] = field(default_factory=dict)


class SortedFiles:
    """Writes rows into files of at least `target` bytes, one after the other.

    Args:
        snapshot: of the table.
        folder: of the files in it, "" for the table's own.
        values: partition values as Delta writes them.
        measured: columns whose bounds the files are to have.
        target: bytes of a file, which ends with the rows that exceed it.
        data_change: whether the table's rows are others afterwards.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        folder: str,
        values: Mapping[str, str | None],
        measured: Iterable[str],
        target: int,
        *,
        data_change: bool = False,
    ) -> None:
        self._filesystem = snapshot.filesystem
        self._folder = folder
        self._values = dict(values)
        self._schema = snapshot.file_schema
        names = set(self._schema.names)
        self._measured = [
            name for name in measured if name in names and fits_order(self._schema.field(name).type)
        ]
        self._target = target
        self._data_change = data_change
        self._file: _File | None = None
        self.adds: list[AddAction] = []
        self.rows = 0

    @property
    def names(self) -> list[str]:
        """Columns that are in the files."""
        found: list[str] = self._schema.names
        return found

    def write(self, rows: pa.Table) -> None:
        """Rows that follow those before."""
        if not len(rows):
            return
        kept = rows.select(self._schema.names)
        file = self._file or self._begun(kept)
        file.writer.write_table(kept, row_group_size=_ROW_GROUP)
        file.rows += len(kept)
        self.rows += len(kept)
        for name, bounds in file.bounds.items():
            bounds.add(kept[name])
        if file.stream.tell() >= self._target:
            self.end_file()

    def _begun(self, first: pa.Table) -> _File:
        path = str(PurePosixPath(self._folder, f"part-00000-{uuid.uuid4()}-c000.zstd.parquet"))
        stream = self._filesystem.open_output_stream(path)
        writer = pq.ParquetWriter(
            stream,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=_repeating(first),
        )
        bounds = {name: _Bounds() for name in self._measured}
        self._file = _File(path, stream, writer, bounds=bounds)
        return self._file

    def end_file(self) -> None:
        """What comes next goes into another file."""
        file, self._file = self._file, None
        if file is None:
            return
        with closing(file.stream):
            file.writer.close()
            size = file.stream.tell()
        said = _statistics(file.rows, file.bounds)
        now_ms = int(time.time() * 1000)
        self.adds.append(AddAction(file.path, size, self._values, now_ms, self._data_change, said))


def replace_files(
    snapshot: Snapshot,
    gone: pa.Table,
    values: Mapping[str, str | None],
    adds: Iterable[AddAction],
    sorted_by: str,
) -> None:
    """Commit files with the same rows in the place of others. Errors are the Delta library's.

    Args:
        gone: the files they replace, as `Snapshot.files` gives them, of one partition.
        values: of that partition.
        sorted_by: noted in the log.
    """
    pairs = zip(gone["path"].to_pylist(), gone["size_bytes"].to_pylist(), strict=True)
    removes = [removal(path, size, values, data_change=False) for path, size in pairs]
    snapshot.commit_actions([*adds, *removes], {SORTED_METADATA: sorted_by}, {})


def removal(
    path: str, size: int, values: Mapping[str, str | None], *, data_change: bool
) -> RemoveAction:
    """The action that takes a file out now.

    Args:
        path: as `Snapshot.files` gives it.
        values: of its partition, as Delta writes them.
    """
    return RemoveAction(unquote(path), data_change, int(time.time() * 1000), size, dict(values))


def folder_of(path: str) -> str:
    """Where a file of a partition lies: some readers take its values from there.

    Args:
        path: as `Snapshot.files` gives it.
    """
    return str(PurePosixPath(unquote(path)).parent)


def written_value(value: object) -> str | None:
    """A partition value as Delta writes it: of a text, boolean, bigint or date."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _repeating(rows: pa.Table) -> list[str]:
    """Columns worth a dictionary: of others it costs the writer a fifth, and makes files larger."""
    some = rows.slice(0, _SAMPLE)
    plain = (each.name for each in some.schema if not pa.types.is_nested(each.type))
    return [name for name in plain if pc.count_distinct(some[name]).as_py() <= len(some) // 2]


def _statistics(rows: int, bounds: Mapping[str, _Bounds]) -> str:
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    for name, each in bounds.items():
        if each.low is None or each.high is None:
            continue
        low, high = _lowest(each.low), _highest(each.high)
        if high is not None:
            lows[name], highs[name] = low, high
    nulls = {name: each.nulls for name, each in bounds.items()}
    said = {"numRecords": rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}
    return orjson.dumps(said).decode()


def _lowest(value: Bound) -> str | int:
    """A bound at or below the value: texts are cut, moments have milliseconds in Delta."""
    if isinstance(value, str):
        return value[:_TEXT_MAX]
    if isinstance(value, dt.datetime):
        return _milliseconds(value)
    return value.isoformat() if isinstance(value, dt.date) else value


def _highest(value: Bound) -> str | int | None:
    """A bound at or above the value; None where there is none."""
    if isinstance(value, str):
        return _cut_above(value)
    if isinstance(value, dt.datetime):
        above = dt.timedelta(microseconds=-value.microsecond % 1000)
        end = dt.datetime.max.replace(tzinfo=value.tzinfo) - above
        return _milliseconds(value + above) if value <= end else None
    return value.isoformat() if isinstance(value, dt.date) else value


def _cut_above(text: str) -> str | None:
    if len(text) <= _TEXT_MAX:
        return text
    kept = text[:_TEXT_MAX].rstrip(chr(_LAST_CHARACTER))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return kept[:-1] + chr(following)


def _milliseconds(moment: dt.datetime) -> str:
    utc = moment.astimezone(dt.UTC)
    return utc.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
