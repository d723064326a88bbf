"""Expressions in Python: what a text says, built of values and operators.

A `Column` is the text it stands for, so both ways have one grammar, one meaning and one place to
point at in a message. Nothing is computed here, and nothing is known of tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NoReturn

from bridge.wire.errors import ConfigurationError
from processors.language import syntax
from processors.language.parser import parse_expression

Value = object
"""A `Column`, or a plain value that `lit` takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """An expression; `name` is that of the column it makes, None where none is given."""

    written: str
    name: str | None = None

    def text(self) -> str:
        """The expression as text."""
        return self.written

    def tree(self) -> syntax.Expression:
        """The syntax tree, the same that the text has.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        return parse_expression(self.written)

    def alias(self, name: str) -> Column:
        """The same under a name: `col("dynamodb.NewImage.total.N").alias("order_total")`."""
        return Column(self.written, name)

    def cast(self, target: str) -> Column:
        """`cast(… as target)`: "decimal(18,2)", "timestamp", …"""
        return Column(f"cast({self.written} as {target})", self.name)

    def try_cast(self, target: str) -> Column:
        """As `cast`; NULL where a value can't be converted."""
        return Column(f"try_cast({self.written} as {target})", self.name)

    def is_null(self) -> Column:
        """`… is null`."""
        return Column(f"({self.written} is null)")

    def is_not_null(self) -> Column:
        """`… is not null`."""
        return Column(f"({self.written} is not null)")

    def isin(self, *choices: Value) -> Column:
        """`… in (choices)`."""
        return Column(f"({self.written} in ({', '.join(map(_written, choices))}))")

    def between(self, low: Value, high: Value) -> Column:
        """`… between low and high`, both included."""
        return Column(f"({self.written} between {_written(low)} and {_written(high)})")

    def like(self, pattern: str, escape: str | None = None) -> Column:
        """`… like pattern`: % is any text, _ one character."""
        behind = "" if escape is None else f" escape {_written(escape)}"
        return Column(f"({self.written} like {_written(pattern)}{behind})")

    def is_distinct_from(self, other: Value) -> Column:
        """`… is distinct from other`: never NULL, two NULLs are the same."""
        return Column(f"({self.written} is distinct from {_written(other)})")

    def concat(self, other: Value) -> Column:
        """`… || other`."""
        return self._joined("||", other)

    def _joined(self, sign: str, other: Value, *, turned: bool = False) -> Column:
        left, right = self.written, _written(other)
        if turned:
            left, right = right, left
        return Column(f"({left} {sign} {right})")

    def __eq__(self, other: object) -> Column:  # type: ignore[override]
        return self._joined("=", other)

    def __ne__(self, other: object) -> Column:  # type: ignore[override]
        return self._joined("<>", other)

    def __lt__(self, other: Value) -> Column:
        return self._joined("<", other)

    def __le__(self, other: Value) -> Column:
        return self._joined("<=", other)

    def __gt__(self, other: Value) -> Column:
        return self._joined(">", other)

    def __ge__(self, other: Value) -> Column:
        return self._joined(">=", other)

    def __add__(self, other: Value) -> Column:
        return self._joined("+", other)

    def __radd__(self, other: Value) -> Column:
        return self._joined("+", other, turned=True)

    def __sub__(self, other: Value) -> Column:
        return self._joined("-", other)

    def __rsub__(self, other: Value) -> Column:
        return self._joined("-", other, turned=True)

    def __mul__(self, other: Value) -> Column:
        return self._joined("*", other)

    def __rmul__(self, other: Value) -> Column:
        return self._joined("*", other, turned=True)

    def __truediv__(self, other: Value) -> Column:
        return self._joined("/", other)

    def __rtruediv__(self, other: Value) -> Column:
        return self._joined("/", other, turned=True)

    def __mod__(self, other: Value) -> Column:
        return self._joined("%", other)

    def __rmod__(self, other: Value) -> Column:
        return self._joined("%", other, turned=True)

    def __neg__(self) -> Column:
        return Column(f"(- {self.written})")

    def __and__(self, other: Value) -> Column:
        return self._joined("and", other)

    def __rand__(self, other: Value) -> Column:
        return self._joined("and", other, turned=True)

    def __or__(self, other: Value) -> Column:
        return self._joined("or", other)

    def __ror__(self, other: Value) -> Column:
        return self._joined("or", other, turned=True)

    def __invert__(self) -> Column:
        return Column(f"(not {self.written})")

    def __bool__(self) -> NoReturn:
        raise ConfigurationError(
            "an expression has no value while a transform is declared",
            where=self.written,
            remedy="Join conditions with & | ~ in brackets: (a > 1) & (b < 2)",
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, eq=False)
class When:
    """`case` up to a condition; `.then(value)` goes on."""

    written: str
    condition: str

    def then(self, value: Value) -> Case:
        """What it is where the condition is true."""
        return Case(f"{self.written} when {self.condition} then {_written(value)}")


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """`case` so far: `.when(condition)` adds to it, `.otherwise(value)` or `.end()` ends it."""

    written: str

    def when(self, condition: Value) -> When:
        """Another condition, tried where those before it are not true."""
        return When(self.written, _written(condition))

    def otherwise(self, value: Value) -> Column:
        """What it is where no condition is true."""
        return Column(f"{self.written} else {_written(value)} end")

    def end(self) -> Column:
        """NULL where no condition is true."""
        return Column(f"{self.written} end")


def col(text: str) -> Column:
    """An expression from text: a path, a column's name, or anything else that can be written.

    Raises:
        ConfigurationError: with the character pointed at.
    """
    tree = parse_expression(text)
    plain = isinstance(tree, syntax.Path | syntax.Cast) and "::" not in text
    return Column(text.strip() if plain else f"({text.strip()})")


def lit(value: object) -> Column:
    """A plain value: text, number, boolean, date, datetime with a time zone, None.

    Raises:
        ConfigurationError: a value of another kind.
    """
    return Column(_literal(value))


def when(condition: Value) -> When:
    """`when(col("total") > 100).then("big").otherwise("small")`."""
    return When("case", _written(condition))


def call(name: str, *arguments: Value) -> Column:
    """A call of a function: `call("lower", col("email"))`, or `functions.lower(…)`."""
    return Column(f"{name}({', '.join(map(_written, arguments))})")


def _written(value: object) -> str:
    return value.written if isinstance(value, Column) else _literal(value)


def _literal(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int | float | Decimal) and Decimal(value).is_finite():
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        return f"(- {abs(exact):f})" if exact < 0 else f"{exact:f}"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return f"timestamp '{value.astimezone(UTC).isoformat(timespec='microseconds')}'"
    if isinstance(value, date) and not isinstance(value, datetime):
        return f"date '{value.isoformat()}'"
    remedy = "Use a text, a number, a boolean, a date, a datetime with a time zone, or None"
    if isinstance(value, Case | When):
        remedy = "End it: .otherwise(value), or .end()"
    raise ConfigurationError(
        f"{type(value).__name__} is no value of an expression", where="lit(…)", remedy=remedy
    )
