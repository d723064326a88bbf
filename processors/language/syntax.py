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
    """A text, a number, true, false or null; with `type`, `date '…'` and `timestamp '…'`."""

    value: str | Decimal | bool | None
    position: int = field(compare=False)
    type: Literal["date", "timestamp"] | None = None


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
    """`cast(operand as target)`; `target` is a type's name as it was written, in lower case.

    `lenient`: `try_cast`, NULL where a value can't be converted.
    """

    operand: Expression
    target: str
    position: int = field(compare=False)
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`, the name in lower case; an operator such as `a + b` is a call of `+`.

    `star`: `name(*)`.
    """

    name: str
    args: tuple[Expression, ...]
    position: int = field(compare=False)
    star: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """`case when condition then value … else otherwise end`; the first condition that is true."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None
    position: int = field(compare=False)


Expression = (
    Path | Literally | Comparison | Logical | Negation | NullTest | Membership | Cast | Call | Case
)


@dataclass(frozen=True, slots=True)
class Named:
    """An expression with the name behind `as`, None where there is none."""

    expression: Expression
    alias: str | None
    text: str
