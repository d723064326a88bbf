"""Rows in one spelling, so that what was expected and what lies in the table compare as text.

The expected side comes as rows travel (decimals and times as text, bytes as base64), the table's as
Python or Arrow values; both spell the same value the same way here, by the column's type.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

from bridge.wire.attributes import canonical_binary, canonical_number
from bridge.wire.errors import TailraceError
from bridge.wire.schemas import Column


def spell_row(columns: Collection[Column], row: Mapping[str, Any]) -> bytes:
    """The row's columns as canonical JSON; an absent column is null."""
    return orjson.dumps(
        {column.name: spell(column.type, row.get(column.name)) for column in columns},
        option=orjson.OPT_SORT_KEYS,
    )


def spell(column_type: str, value: object) -> object:
    """One value; a value that is none of its type is spelled so that it equals nothing sound."""
    if value is None:
        return None
    try:
        return _SPELLINGS[column_type.partition("(")[0]](value)
    except (KeyError, ValueError, TypeError, ArithmeticError, TailraceError):
        return {"unreadable": str(value)}


def _decimal(value: object) -> str:
    return canonical_number(f"{Decimal(str(value)):f}")


def _binary(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return canonical_binary(str(value))


def _timestamp(value: object) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat()


def _date(value: object) -> str:
    return (value if isinstance(value, date) else date.fromisoformat(str(value))).isoformat()


def _json(value: object) -> str:
    return orjson.dumps(orjson.loads(str(value)), option=orjson.OPT_SORT_KEYS).decode()


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


_SPELLINGS: dict[str, Callable[[Any], object]] = {
    "string": str,
    "bigint": int,
    "double": lambda value: repr(float(value)),
    "boolean": _boolean,
    "decimal": _decimal,
    "binary": _binary,
    "timestamp": _timestamp,
    "date": _date,
    "json": _json,
}
