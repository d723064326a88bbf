"""What generated functions call: values out of typed attributes, exact or refused.

A refused value is not a fault of the pipeline: its record becomes a dead letter whose cause names
the path and the cast to write.
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, NoReturn

import orjson

from bridge.wire.attributes import canonical_binary, canonical_number
from bridge.wire.errors import TailraceError, WireError

EXACT_INTEGER_DIGITS, _EXACT_SCALE = 20, 18
# So many make an integer of 64 bits whatever they are.
SAFE_INTEGER_DIGITS = 18
_PLAIN_NUMBER = re.compile(
    rf"-?[0-9]{{1,{EXACT_INTEGER_DIGITS}}}(?:\.[0-9]{{1,{_EXACT_SCALE}}})?", re.ASCII
)
# DynamoDB's numbers reach 9.99E+125 with 38 digits; wide enough to round any of them once.
_ROUNDING = Context(prec=200, rounding=ROUND_HALF_UP)
_EXPONENT_MAX = 150
_BIGINT_MIN, _BIGINT_MAX = -(2**63), 2**63 - 1
_TRUTH = {"true": True, "false": False}


class UnfitValueError(TailraceError):
    """A value its column's type can't hold exactly, or that is not what its tag says."""


class Mismatches(Counter[str]):
    """How often an attribute had another type than its path says, by path.

    Args:
        strict: such an attribute is an error.
    """

    def __init__(self, *, strict: bool = False) -> None:
        super().__init__()
        self._strict = strict

    def other_type(self, path: str, typed: Mapping[str, Any]) -> None:
        """Count it; an attribute that is NULL by its own type is not a mismatch.

        Raises:
            UnfitValueError: where mismatches are errors.
        """
        if "NULL" in typed:
            return
        self[path] += 1
        if self._strict:
            raise UnfitValueError(
                f"the attribute is {' or '.join(sorted(typed))[:20]}, not what the path says",
                where=path,
                remedy='Output(…, on_type_mismatch="null") makes it NULL',
            )


def text(value: Any, path: str) -> str:
    """S. Raises: UnfitValueError."""
    if value.__class__ is not str:
        raise UnfitValueError("not a text", where=path)
    return value


def boolean(value: Any, path: str) -> bool:
    """BOOL, NULL. Raises: UnfitValueError."""
    if value.__class__ is not bool:
        raise UnfitValueError("not a boolean", where=path)
    return value


def binary(value: Any, path: str) -> str:
    """B, as base64 text. Raises: UnfitValueError."""
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise UnfitValueError("not base64", where=path) from None
    return text(value, path)


def number(value: Any, path: str) -> Decimal:
    """N, exact, of any size. Raises: UnfitValueError."""
    try:
        found = Decimal(text(value, path))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise UnfitValueError("not a number", where=path)
    return found


def exact_text(value: Any, path: str) -> str:
    """N as the text of a decimal(38,18). Raises: UnfitValueError: it does not fit exactly."""
    if value.__class__ is str and _PLAIN_NUMBER.fullmatch(value):
        return value
    plain = f"{number(value, path).normalize(_ROUNDING):f}"
    if not _PLAIN_NUMBER.fullmatch(plain):
        raise UnfitValueError(
            "a number that decimal(38,18) can't hold exactly",
            where=path,
            remedy=f"Write cast({path} as double), or as string, or as a decimal that fits",
        )
    return plain


def json_text(tag: str, value: Any, path: str) -> str:
    """M, L and sets as plain JSON: names sorted, sets sorted, numbers with all their digits.

    Raises:
        UnfitValueError: malformed content.
    """
    try:
        plain = _PLAIN[tag](value)
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode()
    except (WireError, KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        raise UnfitValueError(f"malformed content of type {tag}", where=path) from None


def _plain(typed: Mapping[str, Any]) -> Any:
    ((tag, content),) = typed.items()
    return _PLAIN[tag](content)


def _json_number(value: str) -> orjson.Fragment:
    return orjson.Fragment(canonical_number(value).encode())


_PLAIN: dict[str, Any] = {
    "S": lambda value: text(value, "S"),
    "N": _json_number,
    "B": canonical_binary,
    "BOOL": lambda value: boolean(value, "BOOL"),
    "NULL": lambda _: None,
    "M": lambda fields: {name: _plain(inner) for name, inner in fields.items()},
    "L": lambda items: [_plain(inner) for inner in items],
    "SS": sorted,
    "NS": lambda values: [_json_number(value) for value in sorted(values, key=Decimal)],
    "BS": lambda values: sorted(canonical_binary(value) for value in values),
}


def elements(value: Any, path: str) -> list[Any]:
    """L, to iterate. Raises: UnfitValueError."""
    if value.__class__ is not list:
        raise UnfitValueError("not a list", where=path)
    return value


def whole(value: Any, path: str) -> int:
    """A plain field of the record that is a number. Raises: UnfitValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitValueError("not a number", where=path)
    return int(value)


def decimal_text(value: Decimal) -> str:
    """Plain notation."""
    return f"{value:f}"


def to_decimal(value: Any, precision: int, scale: int, path: str) -> Decimal:
    """Rounds half up. Raises: UnfitValueError: integer digits that do not fit, or no number."""
    # What is nearly always there is finite and of a size that can be rounded.
    plain = value.__class__ is str and _PLAIN_NUMBER.fullmatch(value)
    found = Decimal(value) if plain else _decimal(value, path)
    rounded = found.quantize(_unit(scale), context=_ROUNDING)
    if rounded and rounded.adjusted() >= precision - scale:
        raise UnfitValueError(
            f"a number with more than {precision - scale} integer digits",
            where=path,
            remedy=f"Cast to a wider type than decimal({precision},{scale})",
        )
    return rounded


@functools.cache
def decimal_column(precision: int, scale: int) -> Callable[[Any, str], str]:
    """`decimal_text` of `to_decimal`; digits that are as the type has them are not computed with.

    What is returned raises UnfitValueError as `to_decimal` does.
    """
    digits = precision - scale
    whole = rf"(?:0|[1-9][0-9]{{0,{digits - 1}}})" if digits else "(?!)"
    decimals = rf"(?:\.[0-9]{{1,{scale}}})?" if scale else ""
    fits = re.compile(f"-?{whole}{decimals}", re.ASCII).fullmatch
    # By how many decimals are there.
    missing = ["0" * (scale - there) for there in range(scale + 1)]
    point = "." if scale else ""

    def column(value: Any, path: str) -> str:
        # Nearly all are plain integers, which this tells sooner.
        plain = value.__class__ is str and value.isdecimal() and value.isascii()
        if plain and len(value) <= digits and (value[0] != "0" or len(value) == 1):
            return f"{value}{point}{missing[0]}"
        if value.__class__ is str and fits(value):
            at = value.find(".")
            return f"{value}{missing[len(value) - at - 1] if at > 0 else point + missing[0]}"
        return decimal_text(to_decimal(value, precision, scale, path))

    return column


@functools.cache
def _unit(scale: int) -> Decimal:
    return Decimal(1).scaleb(-scale)


def to_bigint(value: Any, path: str) -> int:
    """Rounds half up. Raises: UnfitValueError: beyond 64 bits, or no number."""
    if (
        value.__class__ is str
        and value.isdecimal()
        and value.isascii()
        and len(value) <= SAFE_INTEGER_DIGITS
    ):
        return int(value)
    whole_number = int(_decimal(value, path).quantize(Decimal(1), context=_ROUNDING))
    if not _BIGINT_MIN <= whole_number <= _BIGINT_MAX:
        raise UnfitValueError("a number beyond 64 bits", where=path)
    return whole_number


def to_double(value: Any, path: str) -> float:
    """The nearest double. Raises: UnfitValueError: no number."""
    if isinstance(value, int | float):
        return float(value)
    found = float(_number_of(value, path))
    if not math.isfinite(found):
        raise UnfitValueError("a number beyond what a double can hold", where=path)
    return found


def to_boolean(value: Any, path: str) -> bool:
    """`true` and `false` in any case; a number is true unless 0. Raises: UnfitValueError."""
    if isinstance(value, str):
        if (found := _TRUTH.get(value.strip().lower())) is None:
            raise UnfitValueError("neither true nor false", where=path)
        return found
    return bool(value)


def to_string(value: Any) -> str:
    """Numbers in plain notation without needless zeros; booleans as true, false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return canonical_number(f"{value:f}") if isinstance(value, Decimal) else str(value)


def _decimal(value: Any, path: str) -> Decimal:
    found = _number_of(value, path)
    if not -_EXPONENT_MAX <= found.adjusted() <= _EXPONENT_MAX:
        if found.adjusted() < 0:
            return Decimal(0)
        raise UnfitValueError("a number too large for a decimal", where=path)
    return found


def _number_of(value: Any, path: str) -> Decimal:
    try:
        found = Decimal(repr(value) if value.__class__ is float else value)
    except (InvalidOperation, TypeError, ValueError):
        found = Decimal("NaN")
    if not found.is_finite():
        raise UnfitValueError("not a number", where=path)
    return found


def one_of(value: Any, choices: tuple[Any, ...]) -> bool | None:
    """SQL in, of a value that is not NULL."""
    if any(choice is not None and choice == value for choice in choices):
        return True
    return None if None in choices else False


def null_key(column: str) -> NoReturn:
    """Raises: UnfitValueError."""
    raise UnfitValueError("a key column is null", where=f"column {column}")


def number_key(value: Any) -> str:
    """A number of a row as a key has it."""
    return canonical_number(value if value.__class__ is str else str(value))
