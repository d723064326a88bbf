"""What a transform's author writes: where data comes from, where it goes, and the chain between.

`Stream`, `Input` and `Output` are plain declarations. A transform's function is called once, with a
`Chain` per input; each of its methods reads its text at once, so a mistake points at the author's
own line, and returns a new chain. Nothing runs here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from bridge.wire.envelope import RESERVED_COLUMNS
from bridge.wire.errors import ConfigurationError
from processors.language import column_types, nodes, problems, syntax
from processors.language.parser import parse_expression, parse_named
from processors.language.resolve import Scope, default_name, resolve, resolve_condition

# What Parquet and Delta refuse in a column's name without column mapping.
_REFUSED_CHARACTERS = frozenset(" ,;{}()\n\t=")


class Source(Protocol):
    """A table whose changes are read; `bridge.DynamoDBSource` is one."""

    @property
    def table_name(self) -> str:
        """The table's name."""


class Target(Protocol):
    """A table that is kept; `sinks.Dataset` is one."""

    @property
    def id(self) -> str:
        """The table's name."""

    @property
    def key(self) -> Sequence[str]:
        """Columns that identify a row; empty: the item's own key does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The changes of a source.

    Raises:
        ConfigurationError: `source` is not a source.
    """

    source: Source

    def __post_init__(self) -> None:
        if not isinstance(getattr(self.source, "table_name", None), str):
            raise ConfigurationError(
                f"{type(self.source).__name__} is not a source",
                where="Stream(source=…)",
                remedy="Write Stream(source=DynamoDBSource(table_name=…))",
            )


@dataclass(frozen=True, slots=True)
class Input:
    """A stream a transform reads.

    Raises:
        ConfigurationError: `stream` is not a Stream.
    """

    stream: Stream

    def __post_init__(self) -> None:
        if not isinstance(self.stream, Stream):
            raise ConfigurationError(
                f"{type(self.stream).__name__} is not a Stream",
                where="Input(…)",
                remedy="Write Input(Stream(source=…))",
            )


@dataclass(frozen=True, slots=True)
class Output:
    """A dataset a transform writes.

    Raises:
        ConfigurationError: `dataset` is not a dataset.
    """

    dataset: Target

    def __post_init__(self) -> None:
        if not isinstance(getattr(self.dataset, "id", None), str):
            raise ConfigurationError(
                f"{type(self.dataset).__name__} is not a dataset",
                where="Output(…)",
                remedy="Write Output(Dataset(id=…))",
            )


Step = nodes.Node | nodes.Element


@dataclass(frozen=True, slots=True)
class Chain:
    """What happens to the changes of one input; every method returns a new chain."""

    input_name: str
    steps: tuple[Step, ...] = ()
    columns: Mapping[str, nodes.Node] | None = None
    elements: Mapping[str, nodes.Element] = field(default_factory=dict)

    def select(self, *items: str) -> Chain:
        """Name the columns: plain fields and typed paths, with `as` and without.

        Raises:
            ConfigurationError: with the item and the character pointed at.
        """
        if not items:
            raise ConfigurationError("select names no column", where="select()")
        chosen: dict[str, nodes.Node] = {}
        for text in items:
            named = parse_named(_text(text, "select"))
            node = resolve(named.expression, self._scope(), text)
            name = _column_name(named, node)
            taken = {known.lower(): known for known in chosen}
            if name.lower() in taken:
                raise ConfigurationError(
                    f"two columns are named {taken[name.lower()]!r}",
                    where=problems.quote(text),
                    remedy="Name one of them otherwise: … as another_name",
                )
            chosen[name] = node
        return Chain(self.input_name, self.steps, chosen, self.elements)

    def filter(self, condition: str) -> Chain:
        """Keep the items (or exploded elements) for which the condition is true.

        What stops matching is taken out of the dataset. A part of the condition that speaks of the
        event alone (eventName, OldImage, …) decides whether an event is applied, and retracts
        nothing.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        text = _text(condition, "filter")
        node = resolve_condition(parse_expression(text), self._scope(), text)
        return Chain(self.input_name, (*self.steps, node), self.columns, self.elements)

    def explode(self, item: str) -> Chain:
        """One row per element of a list: `explode("dynamodb.NewImage.lines.L as line")`.

        Behind it `line.M.sku.S` is a path like any other. The dataset needs
        `key=[…]`, columns that tell the rows of one item apart.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        text = _text(item, "explode")
        named = parse_named(text)
        if self.columns is not None:
            raise ConfigurationError(
                "explode comes before select", where=problems.quote(text), remedy="Move it up"
            )
        node = resolve(named.expression, self._scope(), text)
        if not (isinstance(node, nodes.Attribute) and node.tag == "L"):
            raise problems.at(
                text,
                0,
                f"a list expected, this is a {node.type},",
                "Write a path that ends with .L",
            )
        if nodes.describes_event(node):
            raise problems.at(text, 0, "only lists of the item, not of OldImage, can be exploded,")
        return self._exploded(named, node)

    def _exploded(self, named: syntax.Named, node: nodes.Attribute) -> Chain:
        alias = named.alias
        if alias is None or alias in self.elements or alias in ("dynamodb", "userIdentity"):
            raise ConfigurationError(
                "the element has no name of its own" if alias is None else f"{alias!r} is taken",
                where=problems.quote(named.text),
                remedy='Name the element: explode("dynamodb.NewImage.lines.L as line")',
            )
        element = nodes.Element(node, len(self.elements), alias)
        elements = {**self.elements, alias: element}
        return Chain(self.input_name, (*self.steps, element), None, elements)

    def _scope(self) -> Scope:
        return Scope(self.columns, self.elements)

    def __getattr__(self, name: str) -> NoReturn:
        known = [method for method in dir(type(self)) if not method.startswith("_")]
        methods = [method for method in known if callable(getattr(type(self), method))]
        raise AttributeError(f"a stream has no method {name!r}. {problems.nearest(name, methods)}")


def _text(value: object, method: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{type(value).__name__} is not a text",
            where=f"{method}(…)",
            remedy='Write expressions as text: "dynamodb.NewImage.orderId.S as order_id"',
        )
    return value


def _column_name(named: syntax.Named, node: nodes.Node) -> str:
    where = problems.quote(named.text)
    if isinstance(named.expression, syntax.Path) and len(named.expression.parts) == 1:
        plain: str | None = str(named.expression.parts[0].value)
    else:
        plain = default_name(node)
    name = named.alias or plain
    if node.type == column_types.NULL:
        raise ConfigurationError("null alone has no type", where=where, remedy="Cast it")
    if name is None:
        raise ConfigurationError(
            "the column has no name", where=where, remedy="Name it: … as my_column"
        )
    if name.lower() in RESERVED_COLUMNS:
        raise ConfigurationError(
            f"the name {name!r} is taken by Tailrace itself",
            where=where,
            remedy=f"Use another than {', '.join(sorted(RESERVED_COLUMNS))}: … as my_column",
        )
    if _REFUSED_CHARACTERS & set(name):
        raise ConfigurationError(
            f"a column can't be named {name!r}",
            where=where,
            remedy="Name it without spaces, commas, brackets and '=': … as my_column",
        )
    return name
