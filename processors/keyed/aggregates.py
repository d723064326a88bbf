"""Aggregate functions: what they return, and how a value comes in and goes out again. Pure.

Sums are exact, of doubles too (as fractions), so whatever was added can be taken back without a
trace and the order of changes leaves none. NULL arguments are passed over, as SQL has it; `first`
and `last` return whatever their row holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact
from fractions import Fraction
from typing import Any, Literal

from processors.keyed.ordering import sortable
from processors.language import column_types, runtime
from processors.language.runtime import UnfitValueError

Function = Literal["count", "sum", "avg", "min", "max", "first", "last"]
FUNCTIONS: tuple[Function, ...] = ("count", "sum", "avg", "min", "max", "first", "last")
EXTREMES = frozenset({"min", "max"})
ARRIVALS = frozenset({"first", "last"})

# Sums of what rows can carry never need more digits; one that did would raise, not round.
_EXACT = Context(prec=400, traps=[Inexact])
_DIVISION = Context(prec=80, rounding=ROUND_HALF_UP)
_AVERAGE_SCALE_MIN, _AVERAGE_SCALE_MAX = 6, 18
_UNORDERED = frozenset({column_types.JSON})

Total = Decimal | Fraction


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A column of a group: `argument` is a position among the contributed values, None in count().

    `type` is the column's type, `argument_type` the argument's.
    """

    name: str
    function: Function
    argument: int | None
    argument_type: str
    type: str

    def spelled(self) -> str:
        """For a transform's description."""
        at = "" if self.argument is None else f"${self.argument}"
        return f"{self.function}({at}) {self.type}"


def result_type(function: Function, argument_type: str) -> str | None:
    """The type of `function` over a column; None where it can't be applied to one."""
    if function == "count":
        return column_types.BIGINT
    if function in ARRIVALS:
        return argument_type
    if function in EXTREMES:
        return None if argument_type in _UNORDERED else argument_type
    if not column_types.is_number(argument_type):
        return None
    if argument_type == column_types.DOUBLE:
        return column_types.DOUBLE
    shape = column_types.decimal_shape(argument_type)
    scale = shape[1] if shape else 0
    if function == "sum":
        return f"decimal(38,{scale})" if shape else column_types.BIGINT
    return f"decimal(38,{min(max(scale, _AVERAGE_SCALE_MIN), _AVERAGE_SCALE_MAX)})"


@dataclass(slots=True)
class Tally:
    """A running count or sum: how many values that are not NULL, and their exact total."""

    count: int = 0
    total: str = "0"

    def moved(self, aggregate: Aggregate, value: Any, sign: Literal[1, -1]) -> Tally:
        """With `value` added, or taken back."""
        if aggregate.argument is not None and value is None:
            return self
        count = self.count + sign
        if aggregate.function == "count":
            return Tally(count)
        total: Total
        if aggregate.argument_type == column_types.DOUBLE:
            total = Fraction(self.total) + sign * Fraction(value)
        else:
            moved = Decimal(value) if sign == 1 else -Decimal(value)
            total = _EXACT.add(Decimal(self.total), moved)
        return Tally(count, str(total) if isinstance(total, Fraction) else f"{total:f}")


def tallied(aggregate: Aggregate, tally: Tally) -> Any:
    """The column of a count, sum or avg, as rows carry it.

    Raises:
        UnfitValueError: the result does not fit its type.
    """
    if aggregate.function == "count":
        return tally.count
    if not tally.count:
        return None
    if aggregate.type == column_types.DOUBLE:
        total = Fraction(tally.total)
        try:
            return float(total if aggregate.function == "sum" else total / tally.count)
        except OverflowError:
            raise UnfitValueError(
                "a sum beyond what a double holds", where=f"column {aggregate.name}"
            ) from None
    exact = Decimal(tally.total)
    if aggregate.function == "avg":
        exact = _DIVISION.divide(exact, Decimal(tally.count))
    where = f"column {aggregate.name}"
    shape = column_types.decimal_shape(aggregate.type)
    if shape is None:
        return runtime.to_bigint(exact, where)
    return runtime.decimal_text(runtime.to_decimal(exact, *shape, where))


def better(function: str) -> Callable[[bytes, bytes], bool]:
    """Whether the first of two sortable texts is the one `min` or `max` looks for."""
    return bytes.__lt__ if function in ("min", "first") else bytes.__gt__


def is_better(aggregate: Aggregate, value: Any, known: Any) -> bool:
    """Whether `value`, not NULL, takes the place of `known` under min or max."""
    if known is None:
        return True
    of = aggregate.argument_type
    return better(aggregate.function)(sortable(value, of), sortable(known, of))
