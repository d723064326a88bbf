"""Arithmetic: exact numbers stay exact, doubles stay doubles, what does not fit is refused.

Operands may have any size. A result of exact numbers is a decimal(38,18): rounded half up beyond
18 decimals, refused beyond 20 integer digits. Division by zero is NULL.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

from processors.language.runtime import UnfitValueError

_WIDE = Context(prec=200, rounding=ROUND_HALF_UP, Emax=100_000, Emin=-100_000)
_SCALE = Decimal(1).scaleb(-18)
_INTEGER_DIGITS_MAX = 20
_BIGINT_MIN, _BIGINT_MAX = -(2**63), 2**63 - 1
_POWER_MAX = 1_000

Number = Any


def fitted(value: Decimal, where: str) -> Decimal:
    """As a decimal(38,18). Raises: UnfitValueError: more than 20 integer digits."""
    if value and value.adjusted() >= _INTEGER_DIGITS_MAX:
        raise UnfitValueError(
            "a number with more than 20 integer digits",
            where=where,
            remedy="Cast the operands to double",
        )
    rounded = value.quantize(_SCALE, context=_WIDE)
    return value if rounded == value and value.as_tuple().exponent >= -18 else rounded  # type: ignore[operator]


def whole(value: int, where: str) -> int:
    """As a bigint. Raises: UnfitValueError: beyond 64 bits."""
    if not _BIGINT_MIN <= value <= _BIGINT_MAX:
        raise UnfitValueError(
            "a number beyond 64 bits", where=where, remedy="Cast an operand to decimal(38,0)"
        )
    return value


def real(value: float, where: str) -> float:
    """As a double. Raises: UnfitValueError: infinite, or no number."""
    if not math.isfinite(value):
        raise UnfitValueError("a number beyond what a double can hold", where=where)
    return value


def exactly(operation: Callable[[Decimal, Decimal], Decimal]) -> Callable[..., Decimal]:
    """An operation on exact numbers, fitted."""
    return lambda left, right, where: fitted(operation(Decimal(left), Decimal(right)), where)


def wholly(operation: Callable[[int, int], int]) -> Callable[..., int]:
    """An operation on whole numbers, checked."""
    return lambda left, right, where: whole(operation(left, right), where)


def really(operation: Callable[[float, float], float]) -> Callable[..., float]:
    """An operation on doubles, checked."""

    def compute(left: Number, right: Number, where: str) -> float:
        try:
            return real(operation(float(left), float(right)), where)
        except OverflowError:
            return real(math.inf, where)

    return compute


add, subtract, multiply = _WIDE.add, _WIDE.subtract, _WIDE.multiply


def divide(left: Number, right: Number, where: str) -> Decimal | None:
    """Rounded half up to 18 decimals; NULL where `right` is 0. Raises: UnfitValueError."""
    return fitted(_WIDE.divide(Decimal(left), Decimal(right)), where) if right else None


def divide_doubles(left: Number, right: Number, where: str) -> float | None:
    """NULL where `right` is 0. Raises: UnfitValueError."""
    divisor = float(right)
    return real(float(left) / divisor, where) if divisor else None


def remainder(left: Number, right: Number, where: str) -> Decimal | None:
    """With the sign of `left`; NULL where `right` is 0. Raises: UnfitValueError."""
    if not right:
        return None
    one, other = Decimal(left), Decimal(right)
    if one.adjusted() - other.adjusted() > 190:
        raise UnfitValueError("numbers too far apart for a remainder", where=where)
    return fitted(_WIDE.remainder(one, other), where)


def whole_remainder(left: int, right: int) -> int | None:
    """With the sign of `left`; NULL where `right` is 0."""
    if not right:
        return None
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def remainder_doubles(left: Number, right: Number, where: str) -> float | None:
    """With the sign of `left`; NULL where `right` is 0. Raises: UnfitValueError."""
    divisor = float(right)
    return real(math.fmod(float(left), divisor), where) if divisor else None


def power(base: Number, exponent: Number, where: str) -> float:
    """As a double. Raises: UnfitValueError: no real number, or too large."""
    try:
        return real(math.pow(float(base), float(exponent)), where)
    except (OverflowError, ValueError):
        raise UnfitValueError("no number that a double can hold", where=where) from None


def rounded(value: Number, digits: int = 0) -> Decimal:
    """Half up, away from zero; negative digits round before the point."""
    exact = Decimal(value)
    if digits >= 0 and exact.as_tuple().exponent >= -digits:  # type: ignore[operator]
        return exact
    return exact.quantize(Decimal(1).scaleb(-max(min(digits, 150), -150)), context=_WIDE)


def rounded_double(value: float, digits: int = 0) -> float:
    """As `rounded`, of the decimal digits a double is written with."""
    return float(rounded(Decimal(repr(float(value))), digits))


def floor(value: Number) -> Decimal:
    """The next whole number below."""
    return Decimal(value).to_integral_value(ROUND_FLOOR)


def ceil(value: Number) -> Decimal:
    """The next whole number above."""
    return Decimal(value).to_integral_value(ROUND_CEILING)


def sign(value: Number) -> int:
    """-1, 0 or 1."""
    return 1 if value > 0 else -1 if value < 0 else 0


def negative(value: Number) -> Number:
    """With the other sign, never -0, all digits kept."""
    return (value.copy_negate() if value else value) if isinstance(value, Decimal) else -value
