"""Columns of the table: which Arrow type each wire type is, and which columns a table still lacks.

The table has the transform's columns, then those of its layout, then `_event_time`, `_version` and
`_key`. Columns only ever come in: what a newer transform no longer writes stays, NULL in its rows.
A column that was found in items, not declared, carries its DynamoDB type in the field's metadata:
`bridge.wire.discovered`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pyarrow as pa

from bridge.wire.discovered import ATTRIBUTE_TYPES, Taken, assign, by_name, stem_of_column
from bridge.wire.envelope import RESERVED_COLUMNS
from bridge.wire.errors import UnknownVersionError
from bridge.wire.schemas import Column, Schema
from sinks.layout import Layout

EVENT_TIME = pa.timestamp("us", tz="UTC")
OWN_FIELDS = (
    pa.field("_event_time", EVENT_TIME),
    pa.field("_version", pa.string()),
    pa.field("_key", pa.string()),
)
OWN_NAMES = frozenset(field.name for field in OWN_FIELDS)
TAG = b"tailrace.attribute_type"
OWN = b"tailrace.own"
PARTITION = b"tailrace.partition"
_OWN_TAG = "own"  # no attribute's type: nothing found in items is ever put into such a column
_DECIMAL = re.compile(r"decimal\((\d{1,2}),\s*(\d{1,2})\)")
_TYPES = {
    "string": pa.string(),
    "json": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": EVENT_TIME,
}


def arrow_type(column: Column, where: str) -> pa.DataType:
    """The type of a column in the table.

    Raises:
        UnknownVersionError: a wire type this release does not know.
    """
    found = _TYPES.get(column.type)
    if found is not None:
        return found
    match = _DECIMAL.fullmatch(column.type)
    if match and 1 <= int(match[1]) <= 38 and int(match[2]) <= int(match[1]):
        return pa.decimal128(int(match[1]), int(match[2]))
    raise UnknownVersionError(
        f"column {column.name!r} has the unknown type {column.type[:40]!r}",
        where=where,
        remedy="Upgrade the sink to the release of the processor that writes these rows",
    )


def layout_fields(layout: Layout) -> list[pa.Field]:
    """The columns a layout adds; those of partitions say what they are made of."""
    made_of = {part.name: part.text for part in layout.partitions if part.kind != "column"}
    return [
        pa.field(
            name,
            _TYPES[kind],
            metadata={OWN: b"1"} | ({PARTITION: made_of[name]} if name in made_of else {}),
        )
        for name, kind in layout.own_columns.items()
    ]


def is_own(field: pa.Field) -> bool:
    """Whether a column of the table is the sink's, not the transform's."""
    return field.name in OWN_NAMES or OWN in (field.metadata or {})


def partition_of(field: pa.Field) -> str | None:
    """What a partition column is made of, as it was declared; None if it is no such column."""
    found = (field.metadata or {}).get(PARTITION)
    return found.decode() if found else None


def missing_fields(
    schemas: Iterable[Schema], table: pa.Schema | None, layout: Layout | None = None
) -> list[pa.Field]:
    """Fields the table needs before rows of these schemas can go in; all of them if it is None.

    Delta compares column names without case, so a name that differs from another only in that can't
    become a column; `clashing_columns` finds it again when its rows are converted.
    """
    own = [*layout_fields(layout or Layout()), *OWN_FIELDS]
    taken = _taken(table if table is not None else own)
    found: list[pa.Field] = []
    for schema in schemas:
        for column in schema.columns:
            name, kind = _place(column, taken)
            if name is not None and name.lower() not in taken:
                taken[name.lower()] = Taken(name, column.tag, kind)
                metadata = {TAG: column.tag} if column.tag else None
                found.append(pa.field(name, kind, metadata=metadata))
    return found if table is not None else [*found, *own]


def places(schema: Schema, table: pa.Schema) -> dict[str, Column]:
    """Which column of the schema goes into which of the table; what clashes is left out."""
    taken = _taken(table)
    placed = ((_place(column, taken)[0], column) for column in schema.columns)
    return {
        name: column
        for name, column in placed
        if name and _is_there(name, taken) and taken[name.lower()].tag != _OWN_TAG
    }


def clashing_columns(schema: Schema, table: pa.Schema) -> dict[str, str]:
    """Columns of the schema the table holds under another spelling only: name -> the table's."""
    taken, clashing = _taken(table), {}
    for column in schema.columns:
        name, _ = _place(column, taken)
        known = taken.get(column.name.lower())
        ours = known is not None and known.tag == _OWN_TAG and not column.tag
        if not _is_there(name, taken) or column.name in RESERVED_COLUMNS or ours:
            clashing[column.name] = known.name if known is not None else column.name
    return clashing


def found_columns(table: pa.Schema) -> list[Column]:
    """The columns of the table that were found in items, not declared."""
    return [
        Column(column.name, ATTRIBUTE_TYPES[column.tag], column.tag)
        for column in _taken(table).values()
        if column.tag in ATTRIBUTE_TYPES
    ]


def _taken(fields: Iterable[pa.Field]) -> dict[str, Taken]:
    return by_name(Taken(field.name, _tag_of(field), field.type) for field in fields)


def _tag_of(field: pa.Field) -> str:
    metadata = field.metadata or {}
    return _OWN_TAG if OWN in metadata else (metadata.get(TAG) or b"").decode()


def _place(column: Column, taken: Mapping[str, Taken]) -> tuple[str | None, pa.DataType]:
    """The table's name for a column, None where there is none to have; and its type."""
    kind = arrow_type(column, f"column {column.name}")
    if column.tag:
        return assign(stem_of_column(column.name, column.tag), column.tag, kind, taken), kind
    return column.name, kind


def _is_there(name: str | None, taken: Mapping[str, Taken]) -> bool:
    found = taken.get(name.lower()) if name is not None else None
    return found is not None and found.name == name
