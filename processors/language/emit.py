"""Steps and columns into functions: what a chain does with one change, see `writer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.wire.envelope import ROW_FIELDS
from processors.language import nodes, runtime
from processors.language.nodes import Element, Node
from processors.language.writer import Generated, Writer

Row = dict[str, Any]
RowsFunction = Callable[[Mapping[str, Any], Any, Any, Any], list[Any]]
AppliesFunction = Callable[[Mapping[str, Any], Any], bool]
UnfoldFunction = Callable[[Row, Any], Row | None]
# As `RowsFunction`, then the item's key, the version and the event time.
ValuesFunction = Callable[
    [Mapping[str, Any], Any, Any, Any, str, str, str | None], list[tuple[str, bytes]]
]


@dataclass(frozen=True, slots=True)
class RowKey:
    """What tells an item's rows apart: columns with the tags of a typed key.

    `prefix` is what keys of the table begin with where several tables feed the dataset.
    """

    tags: Mapping[str, str]
    prefix: str = ""


def emit_rows(
    steps: Sequence[nodes.Step],
    columns: Mapping[str, Node],
    mismatches: runtime.Mismatches,
    unfold: tuple[nodes.Unfold, UnfoldFunction] | None = None,
    key: RowKey | None = None,
) -> Generated:
    """`rows(event, new, old, keys)`: the rows of a change, conditions and lists applied in order.

    `new`, `old` and `keys` are typed maps; `old` may be None. The function beside `unfold` takes
    the other columns and the typed map, and returns the whole row. With `key` each row comes in a
    pair behind its key.
    """
    writer = Writer("rows(event, new, old, keys)", mismatches)
    _stepped(writer, steps, columns, key)
    keyed = None if key is None else writer.key(key.tags, columns, key.prefix)
    row = _unfolded(writer, f"{{{writer.cells(columns)}}}", unfold)
    return _returning(writer, "rows", row if keyed is None else f"({keyed}, {row})")


def emit_values(
    steps: Sequence[nodes.Step],
    columns: Mapping[str, Node],
    mismatches: runtime.Mismatches,
    unfold: tuple[nodes.Unfold, UnfoldFunction] | None = None,
    key: RowKey | None = None,
) -> Generated:
    """`values(event, new, old, keys, item_key, version, event_time)`: keys, rows as they are sent.

    What `bridge.wire.envelope.encode_row` makes of the rows of `emit_rows`, without a second dict
    for each.
    """
    signature = "values(event, new, old, keys, item_key, version, event_time)"
    writer = Writer(signature, mismatches)
    _stepped(writer, steps, columns, key)
    keyed = "item_key" if key is None else writer.key(key.tags, columns, key.prefix)
    given = (keyed, "version", writer.constant("upsert"), "event_time")
    head = ", ".join(
        f"{writer.constant(name)}: {value}" for name, value in zip(ROW_FIELDS, given, strict=True)
    )
    row = _unfolded(writer, f"{{{head}, {writer.cells(columns)}}}", unfold)
    return _returning(writer, "values", f"({keyed}, dumps({row}))")


def _stepped(
    writer: Writer, steps: Sequence[nodes.Step], columns: Mapping[str, Node], key: RowKey | None
) -> None:
    """Conditions and lists; what is behind comes once per row.

    Of `columns` those that no element of the last list has a part in are computed before it.
    """
    writer.line("out = []")
    leave = "return out"
    for number, step in enumerate(steps):
        if isinstance(step, Element):
            # Behind a condition or a function there may be no row, and nothing to compute.
            last = number == len(steps) - 1
            ahead = [node for node in columns.values() if last and not _knows(node, step)]
            tags = key.tags.items() if key is not None else ()
            texts = [columns[name] for name, tag in tags if tag == "S"]
            writer.loop(step, ahead, [node for node in texts if node in ahead])
            leave = "continue"
        elif isinstance(step, nodes.Map):
            writer.line(f"if {writer.mapped(step)} is None: {leave}")
        else:
            writer.line(f"if {writer.value(step)} is not True: {leave}")


def _unfolded(writer: Writer, row: str, unfold: tuple[nodes.Unfold, UnfoldFunction] | None) -> str:
    if unfold is None:
        return row
    return f"{writer.constant(unfold[1])}({row}, {writer.unfolded(unfold[0])})"


def _returning(writer: Writer, name: str, found: str) -> Generated:
    writer.line(f"out.append({found})")
    writer.indent = 1
    writer.line("return out")
    return writer.compile(name)


def emit_applies(conditions: Sequence[Node], mismatches: runtime.Mismatches) -> Generated:
    """`applies(event, old)`: whether all conditions on the event are true."""
    writer = Writer("applies(event, old)", mismatches)
    if any(map(nodes.compares_images, conditions)):
        writer.line(f"record = event[{writer.constant('dynamodb')}]")
        writer.line(f"new = record.get({writer.constant('NewImage')})")
        writer.line(f"keys = record[{writer.constant('Keys')}]")
    for condition in conditions:
        writer.line(f"if {writer.value(condition)} is not True: return False")
    writer.line("return True")
    return writer.compile("applies")


def _knows(node: Node, element: Element) -> bool:
    """Whether a node is computed from an element of a list."""
    if isinstance(node, nodes.Attribute) and isinstance(node.base, Element):
        return node.base == element or _knows(node.base.source, element)
    return any(_knows(child, element) for child in nodes.children(node))
