"""The tree after resolution: nodes know their types, and whether they describe event or item.

What describes the *event* (eventName, eventID, event time, OldImage) says something about the
latest change only; what describes the *item* can be computed again from the item at any time. The
difference decides what a filter retracts and what `verify` can compare.

`canonical` gives one spelling per meaning: a compiled chain is recognised by it after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

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

    value: str | Decimal | bool | None
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
    """A cast."""

    operand: Node
    type: str


Node = EventField | Attribute | Constant | Compare | Logic | Not | IsNull | OneOf | Convert


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below."""
    match node:
        case Compare(_, left, right) | Logic(_, left, right):
            return (left, right)
        case Not(operand) | IsNull(operand) | Convert(operand):
            return (operand,)
        case OneOf(operand, choices):
            return (operand, *choices)
        case _:
            return ()


def describes_event(node: Node) -> bool:
    """Whether any part of it says something about the latest change rather than the item."""
    if isinstance(node, EventField):
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
    return any(map(describes_item, children(node)))


def uses_old_image(node: Node) -> bool:
    """Whether any part of it needs a stream with old images."""
    if isinstance(node, Attribute):
        base = node.base
        return uses_old_image(base.source) if isinstance(base, Element) else base == "OldImage"
    return any(map(uses_old_image, children(node)))


def conjuncts(node: Node) -> list[Node]:
    """The parts that `and` joins at the top."""
    if isinstance(node, Logic) and node.word == "and":
        return [*conjuncts(node.left), *conjuncts(node.right)]
    return [node]


def canonical(node: Node) -> str:
    """One spelling per meaning; changing it makes every deployed transform look changed."""
    match node:
        case EventField(path):
            return ".".join(path)
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
        case Convert(operand, target):
            return f"cast({canonical(operand)} as {target})"


def spelled(node: Node) -> str:
    """A node as its author would write it, for messages; `canonical` where it is no path."""
    if isinstance(node, Attribute) and isinstance(node.base, Element):
        return node.base.alias + _way(node)
    return canonical(node)


def _way(node: Attribute) -> str:
    return "".join(map(_step, (*node.steps, node.tag)))


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return "." + (step if step.isidentifier() else '"' + step.replace('"', '""') + '"')


def _literal(value: str | Decimal | bool | None) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return {True: "true", False: "false", None: "null"}[value]
