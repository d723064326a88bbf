"""Rows to Arrow in exactly the table's types, or not at all.

delta-rs truncates a float into an integer column without a word, so nothing is ever handed to it
that it would have to convert: every value is converted here, exactly, or its row is unfit and goes
to the dead letters with the column and the way on. Whole columns are tried first; only when one
fails are its values looked at one by one.
"""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bridge.wire.schemas import Column, Schema
from sinks.columns import EVENT_TIME, arrow_type, clashing_columns, is_own, partition_of, places
from sinks.layout import OPERATION
from sinks.partitions import partition_values
from sinks.rows import Row, Unfit

_CONVERSION_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError, InvalidOperation)
_EXPONENT_MAX = 200
_JSON_TYPES: dict[str, Callable[[pa.DataType], bool]] = {
    "bigint": pa.types.is_integer,
    "double": lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
    "boolean": pa.types.is_boolean,
}


def convert(
    rows: Sequence[Row],
    schemas: Mapping[str, Schema],
    table: pa.Schema,
    partitioned_by: Sequence[str] = (),
) -> tuple[pa.Table, list[Unfit]]:
    """The rows with the table's columns plus `_op`, and those that don't fit.

    Deletes carry no columns of the transform. Row order is not kept. `partitioned_by` are the
    table's partition columns.
    """
    fields = table
    if OPERATION not in table.names:
        fields = pa.schema([*table, pa.field(OPERATION, pa.string())])
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups["" if row.deleted else row.fingerprint].append(row)
    tables: list[pa.Table] = []
    unfit: list[Unfit] = []
    for fingerprint, group in groups.items():
        schema = schemas[fingerprint] if fingerprint else None
        converted, bad = _Converter(schema, table, partitioned_by).convert(group)
        unfit += bad
        tables.append(pa.table([converted[field.name] for field in fields], schema=fields))
    return (pa.concat_tables(tables) if tables else fields.empty_table()), unfit


class _Converter:
    """Converts rows of one schema; a schema of None means deletes."""

    def __init__(
        self, schema: Schema | None, table: pa.Schema, partitioned_by: Sequence[str]
    ) -> None:
        self._table = table
        self._partitioned_by = partitioned_by
        self._fingerprint = schema.fingerprint if schema else ""
        self._columns = places(schema, table) if schema else {}
        self._clashes = clashing_columns(schema, table) if schema else {}
        self._where = f"schema of dataset {schema.dataset}" if schema else ""

    def convert(self, rows: list[Row]) -> tuple[dict[str, pa.Array], list[Unfit]]:
        reasons = self._clash_reasons(rows)
        arrays: dict[str, pa.Array] = {}
        for field in self._table:
            try:
                arrays[field.name] = self._array(field, rows)
            except _CONVERSION_ERRORS:
                self._find_unfit(field, rows, reasons)
        if not reasons:
            return {**arrays, OPERATION: self._operations(rows)}, []
        fit = [row for number, row in enumerate(rows) if number not in reasons]
        unfit = [
            Unfit(rows[number].message, self._fingerprint, "UnfitValue", reason)
            for number, reason in sorted(reasons.items())
        ]
        again = {field.name: self._array(field, fit) for field in self._table}
        return {**again, OPERATION: self._operations(fit)}, unfit

    def _array(self, field: pa.Field, rows: Iterable[Row]) -> pa.Array:
        name = field.name
        if name == "_key":
            return pa.array([row.key for row in rows], pa.string())
        if name == "_version":
            return pa.array([row.version for row in rows], pa.string())
        if name == "_event_time":
            texts = [row.fields.get("_event_time") for row in rows]
            return pa.array(texts, pa.string()).cast(EVENT_TIME)
        made_of = partition_of(field)
        if made_of is not None:
            return partition_values(made_of, lambda source: self._source(source, rows))
        column = self._columns.get(name)
        if column is None or column.name in self._clashes or is_own(field):
            return pa.nulls(len(list(rows)), field.type)
        values = [row.fields.get(column.name) for row in rows]
        if name in self._partitioned_by and "" in values:
            raise ValueError("Delta reads an empty text in a partition column as NULL")
        return _exactly(_parse(values, column, self._where), field.type)

    def _operations(self, rows: Sequence[Row]) -> pa.Array:
        if OPERATION in self._table.names:  # a log shows them as they came
            return pa.array([row.operation for row in rows], pa.string())
        return pa.array(["delete" if row.deleted else "upsert" for row in rows], pa.string())

    def _source(self, name: str, rows: Iterable[Row]) -> pa.Array:
        """What a partition is made of; nothing where the table has no such column yet."""
        at = self._table.get_field_index(name)
        return pa.nulls(len(list(rows))) if at < 0 else self._array(self._table.field(at), rows)

    def _find_unfit(self, field: pa.Field, rows: list[Row], reasons: dict[int, str]) -> None:
        for number, row in enumerate(rows):
            try:
                self._array(field, [row])
            except _CONVERSION_ERRORS:
                reasons.setdefault(number, self._reason(field))

    def _reason(self, field: pa.Field) -> str:
        if field.name in self._partitioned_by and pa.types.is_string(field.type):
            return (
                f"partition column {field.name!r} can't hold the value: of an empty text Delta "
                "makes NULL. Write NULL in the transform, or another text"
            )
        column = self._columns.get(field.name)
        wire = f" ({column.type} in the transform)" if column else ""
        return (
            f"column {field.name!r} of the table is {field.type}, the value{wire} does not fit "
            f"exactly. Cast it in the transform, or build the table anew: tailrace rebuild"
        )

    def _clash_reasons(self, rows: list[Row]) -> dict[int, str]:
        found: dict[int, str] = {}
        for name, other in self._clashes.items():
            cause = (
                f"differs from the table's {other!r} only in case: Delta tells no capitals apart"
            )
            if name == other:
                cause = "has a name that the table uses itself"
            reason = (
                f"column {name!r} {cause}. Give it another name in the transform: … as {name}_2"
            )
            for number, row in enumerate(rows):
                if row.fields.get(name) is not None:
                    found.setdefault(number, reason)
        return found


def _parse(values: list[Any], column: Column, where: str) -> pa.Array:
    """Wire values in the column's own type. Raises one of `_CONVERSION_ERRORS`."""
    kind = arrow_type(column, where)
    is_json_type = _JSON_TYPES.get(column.type)
    if is_json_type is not None:
        found = pa.array(values)
        if column.type == "double" and any(type(value) is bool for value in values):
            raise pa.ArrowTypeError("a boolean where double is declared")  # Arrow makes it 1.0
        if not (pa.types.is_null(found.type) or is_json_type(found.type)):
            raise pa.ArrowTypeError(f"{found.type} where {column.type} is declared")
        return found.cast(kind)
    if column.type == "binary":
        return pa.array([None if text is None else _decode(text) for text in values], kind)
    texts = pa.array(values, pa.string())
    return _decimals(texts, kind) if pa.types.is_decimal(kind) else texts.cast(kind)


def _decimals(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Numbers as text, exactly.

    Arrow's own parser is not exact outside the type's range: it wraps 35 digits into a
    decimal(38,18), reads "1E-57" as 0 and dies of "1E-999999999". It gets nothing but plain
    notation that fits.
    """
    whole, fraction = kind.precision - kind.scale, kind.scale
    fits = f"^-?[0-9]{{1,{whole}}}" + (f"(\\.[0-9]{{1,{fraction}}})?$" if fraction else "$")
    if not (whole and pc.all(pc.match_substring_regex(texts, fits)).as_py() is True):
        fitting = [None if t is None else _fitting(t, whole, fraction) for t in texts.to_pylist()]
        texts = pa.array(fitting, pa.string())
    return texts.cast(kind)


def _fitting(text: str, whole: int, fraction: int) -> str:
    """A number in plain notation. Raises: ValueError: it has more digits than there is room."""
    number = Decimal(text) if text.isascii() and text.strip() == text else Decimal("NaN")
    if number.is_finite() and not number:
        return "0"
    if not number.is_finite() or abs(number.adjusted()) > _EXPONENT_MAX:
        raise ValueError("not a number a decimal can hold")
    sign = "-" if number < 0 else ""
    before, _, after = f"{number.copy_abs():f}".partition(".")
    before, after = before.lstrip("0"), after.rstrip("0")
    if len(before) > whole or len(after) > fraction:
        raise ValueError("more digits than the decimal has room for")
    return f"{sign}{before or '0'}.{after}" if after else f"{sign}{before or '0'}"


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _exactly(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The array in another type, every value unchanged. Raises one of `_CONVERSION_ERRORS`."""
    if array.type == kind:
        return array
    if array.null_count == len(array):
        return pa.nulls(len(array), kind)
    if pa.types.is_binary(array.type) or pa.types.is_binary(kind):
        raise pa.ArrowTypeError("binary and text are not the same")
    converted = array.cast(kind)
    if not converted.cast(array.type).equals(array):
        raise pa.ArrowInvalid("the value would change")
    return converted
