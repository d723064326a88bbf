"""Columns of the table: which Arrow type each wire type is, and which columns a table still lacks.

The table has the transform's columns, then `_event_time`, `_version` and `_key`. Columns only ever
come in: what a newer transform no longer writes stays, NULL in its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa

from bridge.wire.envelope import RESERVED_COLUMNS
from bridge.wire.errors import UnknownVersionError
from bridge.wire.schemas import Column, Schema

EVENT_TIME = pa.timestamp("us", tz="UTC")
OWN_FIELDS = (
    pa.field("_event_time", EVENT_TIME),
    pa.field("_version", pa.string()),
    pa.field("_key", pa.string()),
)
OWN_NAMES = frozenset(field.name for field in OWN_FIELDS)
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


def missing_fields(schemas: Iterable[Schema], table: pa.Schema | None) -> list[pa.Field]:
    """Fields the table needs before rows of these schemas can go in; all of them if it is None.

    Delta compares column names without case, so a name that differs from another only in that can't
    become a column; `clashing_columns` finds it again when its rows are converted.
    """
    taken = {name.lower() for name in table.names} if table is not None else set(OWN_NAMES)
    found: list[pa.Field] = []
    for schema in schemas:
        for column in schema.columns:
            if column.name.lower() not in taken:
                taken.add(column.name.lower())
                kind = arrow_type(column, f"schema of dataset {schema.dataset}")
                found.append(pa.field(column.name, kind))
    return found if table is not None else [*found, *OWN_FIELDS]


def clashing_columns(schema: Schema, table: pa.Schema) -> dict[str, str]:
    """Columns of the schema the table holds under another spelling only: name -> the table's."""
    spelled = {name.lower(): name for name in table.names}
    return {
        column.name: spelled[column.name.lower()]
        for column in schema.columns
        if spelled.get(column.name.lower(), column.name) != column.name
        or column.name in RESERVED_COLUMNS
    }
