"""The tree a parser makes of text: what was written, before anybody knows what names mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

ComparisonSign = Literal["=", "<>", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Part:
    """One step of a path: a name, or an index in brackets."""

    value: str | int
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """`dynamodb.NewImage.lines.L[0].M.sku.S`, or the name of a column."""

    parts: tuple[Part, ...]
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Literally:
    """A text, a number, true, false or null."""

    value: str | Decimal | bool | None
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left sign right`."""

    sign: ComparisonSign
    left: Expression
    right: Expression
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Logical:
    """`left and right`, `left or right`."""

    word: Literal["and", "or"]
    left: Expression
    right: Expression
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Negation:
    """`not operand`."""

    operand: Expression
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class NullTest:
    """`operand is null`."""

    operand: Expression
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Membership:
    """`operand in (choices)`."""

    operand: Expression
    choices: tuple[Expression, ...]
    position: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Cast:
    """`cast(operand as target)`; `target` is a type's name as it was written, in lower case."""

    operand: Expression
    target: str
    position: int = field(compare=False)


Expression = Path | Literally | Comparison | Logical | Negation | NullTest | Membership | Cast


@dataclass(frozen=True, slots=True)
class Named:
    """An expression with the name behind `as`, None where there is none."""

    expression: Expression
    alias: str | None
    text: str
