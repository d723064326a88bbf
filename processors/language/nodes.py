"""The tree after resolution: nodes know their types, and whether they describe event or item.

What describes the *event* (eventName, eventID, event time, OldImage) says something about the
latest change only; what describes the *item* can be computed again from the item at any time. The
difference decides what a filter retracts and what `verify` can compare.

`canonical` gives one spelling per meaning: a compiled chain is recognised by it after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from processors.language import column_types
from processors.language.syntax import ComparisonSign

Image = Literal["NewImage", "OldImage", "Keys"]
Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class EventField:
    """A plain field of the record, such as eventName."""

    path: tuple[str, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an exploded list; `level` tells nested lists apart."""

    source: Attribute
    level: int
    alias: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A typed path: where it begins, the names, tags and indices on the way, and its last tag."""

    base: Image | Element
    steps: Steps
    tag: str

    @property
    def type(self) -> str:
        """Its column type."""
        return column_types.ATTRIBUTE_TYPES[self.tag]


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: str | Decimal | int | bool | date | None
    type: str


@dataclass(frozen=True, slots=True)
class Compare:
    """SQL comparison; NULL where either side is."""

    sign: ComparisonSign
    left: Node
    right: Node
    type: str = column_types.BOOLEAN


@dataclass(frozen=True, slots=True)
class Logic:
    """Three-valued and, or."""

    word: Literal["and", "or"]
    left: Node
    right: Node
    type: str = column_types.BOOLEAN


@dataclass(frozen=True, slots=True)
class Not:
    """Three-valued not."""

    operand: Node
    type: str = column_types.BOOLEAN


@dataclass(frozen=True, slots=True)
class IsNull:
    """Never NULL itself."""

    operand: Node
    type: str = column_types.BOOLEAN


@dataclass(frozen=True, slots=True)
class OneOf:
    """SQL in: NULL where nothing matches and a NULL is among the choices."""

    operand: Node
    choices: tuple[Node, ...]
    type: str = column_types.BOOLEAN


@dataclass(frozen=True, slots=True)
class Convert:
    """A cast; `lenient` ones are NULL where a value can't be converted."""

    operand: Node
    type: str
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator of `processors.language.functions`.

    `compute` takes the values of `passed`, with `refuses` also the place for an error; with
    `strict` it is called only where none of them is NULL. `function` and `args` say which it is.
    """

    function: str
    args: tuple[Node, ...]
    type: str
    compute: Callable[..., Any] = field(compare=False)
    passed: tuple[Node, ...] = field(compare=False)
    refuses: bool = field(compare=False)
    strict: bool = field(compare=False)


@dataclass(frozen=True, slots=True)
class Case:
    """The value of the first branch whose condition is true; the others are not computed."""

    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node
    type: str


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The first that is not NULL; those behind it are not computed."""

    args: tuple[Node, ...]
    type: str


@dataclass(frozen=True, slots=True)
class Whole:
    """An attribute of an image with its type, whichever it is; only inside of `Changed`."""

    base: Literal["NewImage", "OldImage"]
    name: str
    type: str = column_types.JSON


@dataclass(frozen=True, slots=True)
class Changed:
    """Whether the same of the new and of the old image is distinct; never NULL."""

    new: Node
    old: Node
    type: str = column_types.BOOLEAN


@dataclass(frozen=True, slots=True)
class Unfold:
    """`*`: every attribute of an image or a map, as a column of its own.

    `left_out` are attributes, or single columns of them, that are dropped or have a column of their
    name already; `renamed` pairs of old and new names.
    """

    base: Literal["NewImage"] | Attribute = "NewImage"
    left_out: frozenset[str] = frozenset()
    renamed: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Map:
    """A function of the author's between the columns before it and those behind it.

    `call(cells, image)` takes the columns as rows carry them and, with `unfold`, the typed map
    to unfold; it returns the new columns as rows carry them, or None.
    """

    call: Callable[[dict[str, Any], Any], dict[str, Any] | None]
    columns: tuple[tuple[str, Node], ...]
    unfold: Unfold | None
    level: int
    spelling: str


@dataclass(frozen=True, slots=True)
class Field:
    """A column that a `Map` returned."""

    map: Map
    name: str
    type: str


Node = (
    EventField
    | Attribute
    | Constant
    | Compare
    | Logic
    | Not
    | IsNull
    | OneOf
    | Convert
    | Field
    | Call
    | Case
    | Coalesce
    | Whole
    | Changed
)
Step = Node | Element | Map


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below."""
    match node:
        case Compare(_, left, right) | Logic(_, left, right):
            return (left, right)
        case Not(operand) | IsNull(operand) | Convert(operand):
            return (operand,)
        case OneOf(operand, choices):
            return (operand, *choices)
        case Field(step):
            return tuple(node for _, node in step.columns)
        case Call(_, args) | Coalesce(args):
            return args
        case Case(branches, otherwise):
            return (*(node for branch in branches for node in branch), otherwise)
        case Changed(new, old):
            return (new, old)
        case _:
            return ()


def describes_event(node: Node) -> bool:
    """Whether any part of it says something about the latest change rather than the item."""
    if isinstance(node, EventField | Changed):
        return True
    if isinstance(node, Attribute):
        base = node.base
        return describes_event(base.source) if isinstance(base, Element) else base == "OldImage"
    return any(map(describes_event, children(node)))


def describes_item(node: Node) -> bool:
    """Whether any part of it is computed from the item."""
    if isinstance(node, Attribute):
        base = node.base
        return describes_item(base.source) if isinstance(base, Element) else base != "OldImage"
    if isinstance(node, Field):
        return True
    if isinstance(node, Changed):
        return False
    return any(map(describes_item, children(node)))


def uses_old_image(node: Node) -> bool:
    """Whether any part of it needs a stream with old images."""
    if isinstance(node, Attribute):
        base = node.base
        return uses_old_image(base.source) if isinstance(base, Element) else base == "OldImage"
    return isinstance(node, Changed) or any(map(uses_old_image, children(node)))


def compares_images(node: Node) -> bool:
    """Whether any part of it asks what changed, so that both images are needed."""
    return isinstance(node, Changed) or any(map(compares_images, children(node)))


def computes(node: Node) -> bool:
    """Whether any part of it is worth leaving out: it takes time, or may refuse a value."""
    return isinstance(node, Convert | Call | Case | Coalesce) or any(map(computes, children(node)))


def conjuncts(node: Node) -> list[Node]:
    """The parts that `and` joins at the top."""
    if isinstance(node, Logic) and node.word == "and":
        return [*conjuncts(node.left), *conjuncts(node.right)]
    return [node]


def canonical(node: Node) -> str:
    """One spelling per meaning; changing it makes every deployed transform look changed."""
    match node:
        case EventField() | Field():
            return _name(node)
        case Attribute(base):
            begin = f"dynamodb.{base}" if isinstance(base, str) else f"element{base.level}"
            return begin + _way(node)
        case Constant(value):
            return _literal(value)
        case Compare(sign, left, right):
            return f"({canonical(left)} {sign} {canonical(right)})"
        case Logic(word, left, right):
            return f"({canonical(left)} {word} {canonical(right)})"
        case Not(operand):
            return f"not {canonical(operand)}"
        case IsNull(operand):
            return f"({canonical(operand)} is null)"
        case OneOf(operand, choices):
            return f"({canonical(operand)} in ({', '.join(map(canonical, choices))}))"
        case Convert(operand, target, lenient):
            return f"{'try_' if lenient else ''}cast({canonical(operand)} as {target})"
        case _:
            return _canonical_form(node)


def _canonical_form(node: Call | Coalesce | Case | Whole | Changed) -> str:
    match node:
        case Call(function, args):
            return _called(function, args)
        case Coalesce(args):
            return _called("coalesce", args)
        case Case(branches, otherwise):
            listed = (f"when {canonical(c)} then {canonical(v)}" for c, v in branches)
            return f"case {' '.join(listed)} else {canonical(otherwise)} end"
        case Whole(base, name):
            return f"dynamodb.{base}{_step(name)}"
        case Changed(new):
            return f"changed({canonical(new)})"


def _called(function: str, args: Iterable[Node]) -> str:
    written = [canonical(arg) for arg in args]
    if function.isidentifier() or len(written) != 2:
        return f"{function}({', '.join(written)})"
    return f"({written[0]} {function} {written[1]})"


def spelled(node: Node) -> str:
    """A node as its author would write it, for messages; `canonical` where it is no path."""
    if isinstance(node, Attribute) and isinstance(node.base, Element):
        return node.base.alias + _way(node)
    return node.name if isinstance(node, Field) else canonical(node)


def _name(node: EventField | Field) -> str:
    if isinstance(node, EventField):
        return ".".join(node.path)
    return f"map{node.map.level}.{node.name}"


def canonical_step(step: Step) -> str:
    """As `canonical`, for a step of a chain."""
    if isinstance(step, Element):
        return f"explode {canonical(step.source)}"
    if isinstance(step, Map):
        return f"map{step.level} {step.spelling}: {canonical_row(step.columns, step.unfold)}"
    return f"filter {canonical(step)}"


def canonical_row(columns: Iterable[tuple[str, Node]], unfold: Unfold | None) -> str:
    """As `canonical`, for all columns at once."""
    cells = [f"{canonical(node)} as {name}" for name, node in columns]
    return ", ".join([*cells, *([canonical_unfold(unfold)] if unfold else [])])


def canonical_unfold(unfold: Unfold) -> str:
    """As `canonical`, for `*`."""
    base = unfold.base
    begin = f"dynamodb.{base}" if isinstance(base, str) else canonical(base)
    without = f" without {', '.join(sorted(unfold.left_out))}" if unfold.left_out else ""
    renamed = "".join(f", {old} as {new}" for old, new in sorted(unfold.renamed))
    return f"{begin}.*{without}{renamed}"


def _way(node: Attribute) -> str:
    return "".join(map(_step, (*node.steps, node.tag)))


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return "." + (step if step.isidentifier() else '"' + step.replace('"', '""') + '"')


def _literal(value: str | Decimal | int | bool | date | None) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, date):
        kind = "timestamp" if isinstance(value, datetime) else "date"
        return f"{kind} '{value.isoformat()}'"
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)
