"""Casts: which function makes a value of one type a value of another."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec

from processors.language import arithmetic, column_types, moments, runtime
from processors.language.column_types import BINARY, DATE, JSON, STRING, TIMESTAMP
from processors.language.runtime import UnfitValueError

Convert = Callable[[Any, str], Any]


def converter(source: str, target: str) -> Convert | None:
    """`(value, where) -> value`; None where `runtime` has one for values of any type."""
    if source == target and target in (STRING, BINARY, JSON, DATE, TIMESTAMP):
        return _same
    if target == TIMESTAMP:
        return moments.to_timestamp if source == STRING else _midnight
    if target == DATE:
        return moments.to_date if source == STRING else _day
    if target == BINARY:
        return _bytes
    if target == JSON:
        return _json if source == STRING else _text
    if target == STRING and source in (DATE, TIMESTAMP):
        return _date_text if source == DATE else _timestamp_text
    return None


def attempt(convert: Callable[..., Any], *arguments: Any) -> Any:
    """`try_cast`: NULL where the value is refused."""
    try:
        return convert(*arguments)
    except UnfitValueError:
        return None


def exact_column(value: Any, where: str) -> str:
    """A computed number as rows carry a decimal(38,18). Raises: UnfitValueError: too large."""
    return f"{arithmetic.fitted(value, where):f}"


def read_column(text: str, column_type: str) -> Any:
    """A date or a timestamp out of what rows carry."""
    if column_type == DATE:
        return moments.to_date(text, "")
    return moments.to_timestamp(text, "")


def column_text(column_type: str) -> Callable[[Any], str] | None:
    """How rows carry values of the type; None where they carry them as they are."""
    if column_type == TIMESTAMP:
        return moments.timestamp_text
    if column_type == DATE:
        return lambda value: str(value.isoformat())
    return runtime.decimal_text if column_types.decimal_shape(column_type) else None


def _same(value: Any, _: str) -> Any:
    return value


def _midnight(value: Any, _: str) -> Any:
    return moments.midnight(value)


def _day(value: Any, _: str) -> Any:
    return moments.day_of(value)


def _bytes(value: str, _: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _text(value: Any, _: str) -> str:
    return runtime.to_string(value)


def _json(value: str, where: str) -> str:
    try:
        msgspec.json.decode(value, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise UnfitValueError("not JSON", where=where) from None
    return value


def _date_text(value: Any, _: str) -> str:
    return str(value.isoformat())


def _timestamp_text(value: Any, _: str) -> str:
    return moments.timestamp_text(value)
