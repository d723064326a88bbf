"""Files of a table read in small parts: the few columns that tell which rows change, then the rest.

delta-rs's MERGE and DELETE take eight thousand whole rows at a time and keep what they write in
memory: of items of 400 KB that is gigabytes to change one of them. Here a part has so many rows as
make a few megabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sinks.table import Snapshot

PART_BYTES = 16 * 1024 * 1024
PART_ROWS = 128 * 1024
_PROBE_ROWS = 16
_LONG_BYTES = 64 * 1024

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(slots=True)
class Changed:
    """What becomes of the rows of one file, or of a part of it.

    `stays`: by row, whether it is still there afterwards. `flags`: by row, the change that flags
    it, -1 for none; None where none is flagged at all. Of the changes, by their places: `found`
    have a row here, `updated` take the place of one.
    """

    stays: Mask
    found: Places
    updated: Places
    deleted: int = 0
    flags: Places | None = None

    @property
    def any(self) -> bool:
        """Whether the file can't stay as it is."""
        return self.flags is not None or not bool(self.stays.all())


Decide = Callable[[pa.Table], Changed]
"""From the asked columns of a part to what becomes of its rows."""
NOWHERE = np.empty(0, np.int64)


def mask_of(column: pa.Array | pa.ChunkedArray) -> Mask:
    """A column of booleans, NULL for false; a copy."""
    filled = pc.fill_null(column, fill_value=False)
    return np.array(filled.to_numpy(zero_copy_only=False), np.bool_)


def nothing(rows: int) -> Changed:
    """All of a part stays."""
    return Changed(np.ones(rows, np.bool_), NOWHERE, NOWHERE)


class TableFiles:
    """Reads the data files of a snapshot; safe for several threads."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._filesystem = snapshot.filesystem
        self._schema = snapshot.file_schema

    def look(self, path: str, columns: Sequence[str], decide: Decide) -> Changed:
        """What becomes of a file's rows, from these columns alone. Errors are Arrow's.

        Args:
            path: as `Snapshot.files` gives it.
        """
        schema = pa.schema([self._schema.field(name) for name in columns])
        found = [decide(part) for part in self._parts(path, schema, PART_ROWS)]
        return _joined(found)

    def rows(self, path: str) -> Iterator[pa.Table]:
        """A file's rows in the table's types, without partition columns, in parts."""
        return self._parts(path, self._schema, None)

    def _parts(self, path: str, schema: pa.Schema, rows: int | None) -> Iterator[pa.Table]:
        with self._opened(path) as file:
            there = set(file.schema_arrow.names)
            names = [name for name in schema.names if name in there]
            for part in file.iter_batches(rows or _rows_of_a_part(file), columns=names):
                yield _in_types(part, schema)

    @contextmanager
    def _opened(self, path: str) -> Iterator[pq.ParquetFile]:
        with (
            self._filesystem.open_input_file(unquote(path)) as source,
            pq.ParquetFile(source) as file,
        ):
            yield file


def _rows_of_a_part(file: pq.ParquetFile) -> int:
    """Rows that make PART_BYTES in memory, as far as the footer and the first ones tell."""
    footer = file.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    each = max((g.total_byte_size // max(g.num_rows, 1) for g in groups), default=0)
    repeating = _dictionaries(groups)
    if repeating:
        # Texts that repeat take little in a file, and all of it in memory.
        first = next(file.iter_batches(_PROBE_ROWS, columns=sorted(repeating)), None)
        if first is not None and first.num_rows:
            each += first.nbytes // first.num_rows
    return min(max(PART_BYTES // max(each, 1), 1), PART_ROWS)


def _dictionaries(groups: Sequence[pq.RowGroupMetaData]) -> set[str]:
    """Columns of texts that may be long and are there once for many rows."""
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return {
        column.path_in_schema
        for column in columns
        if column.physical_type == "BYTE_ARRAY"
        and column.has_dictionary_page
        and column.total_uncompressed_size >= _LONG_BYTES
    }


def _in_types(part: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Files lack columns that came later, and may hold texts as views, which can't be filtered."""
    columns: list[Any] = []
    for field in schema:
        at = part.schema.get_field_index(field.name)
        if at < 0:
            columns.append(pa.nulls(part.num_rows, field.type))
            continue
        column = part.column(at)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.table(columns, schema=schema)


def _joined(parts: Sequence[Changed]) -> Changed:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return nothing(0)
    flags = None
    if any(part.flags is not None for part in parts):
        none = [np.full(len(part.stays), -1, np.int64) for part in parts]
        given = [n if p.flags is None else p.flags for p, n in zip(parts, none, strict=True)]
        flags = np.concatenate(given)
    return Changed(
        np.concatenate([part.stays for part in parts]),
        np.concatenate([part.found for part in parts]),
        np.concatenate([part.updated for part in parts]),
        sum(part.deleted for part in parts),
        flags,
    )
