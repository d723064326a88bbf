"""The order rows of a table are sorted in, and the ranges it is sorted by. No I/O.

An order is a list of columns; NULL comes last. A range lies between two cuts, which are values of
the columns: its rows are read by an SQL predicate. Predicates of neighbouring ranges never both
hold and never both fail, NULLs included, so that no row is lost or doubled.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa

from sinks.keys import quoted, sql_text

Value = str | int | dt.date | None
Cut = tuple[Value, ...]
"""A value for each column of the order; of a timestamp its microseconds since 1970."""


def fits_order(of: pa.DataType) -> bool:
    """Whether a column of this type can be sorted by.

    Not doubles, for NaN has no place among them, nor decimals: Delta's bounds of them are rounded.
    """
    known = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
             pa.types.is_int64, pa.types.is_date32, pa.types.is_timestamp)  # fmt: skip
    return any(check(of) for check in known)


def in_order(rows: pa.Table, order: Sequence[str]) -> pa.Table:
    """The rows sorted."""
    return rows.sort_by([(name, "ascending") for name in order])


def cuts_of(sample: pa.Table, order: Sequence[str], ranges: int) -> list[Cut]:
    """Cuts of the sample into about as many equal ranges, ascending, none twice."""
    ordered = in_order(sample.select(list(order)), order)
    size = len(ordered)
    places = [size * number // ranges for number in range(1, ranges)] if size else []
    taken = ordered.take(pa.array(places, pa.int64()))
    columns = [_plain(column).to_pylist() for column in taken.columns]
    return list(dict.fromkeys(zip(*columns, strict=True)))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # Python's datetimes end with the year 9999.
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def between(schema: pa.Schema, order: Sequence[str], low: Cut | None, high: Cut | None) -> str:
    """The predicate for rows from `low` to below `high`, "" for all."""
    parts = []
    if low is not None:
        parts.append(_from(_terms(schema, order, low)))
    if high is not None:
        parts.append(_below(_terms(schema, order, high)))
    return " AND ".join(f"({part})" for part in parts)


Term = tuple[str, str | None]


def _terms(schema: pa.Schema, order: Sequence[str], cut: Cut) -> list[Term]:
    return [
        (quoted(name), None if value is None else _literal(schema.field(name).type, value))
        for name, value in zip(order, cut, strict=True)
    ]


def _from(terms: Sequence[Term]) -> str:
    """At or after the cut. Never NULL."""
    (name, value), *rest = terms
    same = f" AND ({_from(rest)})" if rest else ""
    if value is None:
        return f"{name} IS NULL{same}"
    if not rest:
        return f"{name} IS NULL OR {name} >= {value}"
    return f"{name} IS NULL OR {name} > {value} OR ({name} = {value}{same})"


def _below(terms: Sequence[Term]) -> str:
    """Before the cut: NULL or false wherever `_from` is true, and true wherever it is not."""
    (name, value), *rest = terms
    if value is None:
        return f"{name} IS NOT NULL OR ({_below(rest)})" if rest else f"{name} IS NOT NULL"
    if not rest:
        return f"{name} < {value}"
    return f"{name} < {value} OR ({name} = {value} AND ({_below(rest)}))"


def equal(schema: pa.Schema, name: str, value: object) -> str:
    """The predicate for one value of a partition column."""
    if value is None:
        return f"{quoted(name)} IS NULL"
    return f"{quoted(name)} = {_literal(schema.field(name).type, value)}"


def _literal(of: pa.DataType, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if pa.types.is_timestamp(of):
        return f"to_timestamp_micros({value})"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    return str(value) if isinstance(value, int) else sql_text(str(value))
