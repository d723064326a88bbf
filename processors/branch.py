"""The way of one table's changes through a chain: what each method of the chain does to it.

A row begins as the record itself: its fields, the images, and columns added by name. A select
leaves only its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.wire.errors import ConfigurationError
from processors.language import nodes, problems, syntax
from processors.language.parser import parse_named
from processors.language.resolve import Scope, resolve, resolve_condition
from processors.naming import check_free, check_name, column_name

# Names a column added before a select can't have: they begin the record's own paths.
_RECORD_ROOTS = frozenset({"dynamodb", "userIdentity"})


@dataclass(frozen=True, slots=True)
class Branch:
    """From one table of one input: conditions and lists in their order, and the columns so far.

    `selected` tells whether the columns are all there is; before a select the record's own names
    are there too.
    """

    input_name: str
    table: str
    steps: tuple[nodes.Step, ...] = ()
    columns: Mapping[str, nodes.Node] = field(default_factory=dict)
    elements: Mapping[str, nodes.Element] = field(default_factory=dict)
    selected: bool = False

    def select(self, items: Sequence[object]) -> Branch:
        """See `Chain.select`."""
        if not items:
            raise ConfigurationError("select names no column", where="select()")
        chosen: dict[str, nodes.Node] = {}
        for item in items:
            named = _named(item, "select")
            node = resolve(named.expression, self.scope(), named.text)
            name = column_name(named, node)
            check_free(name, chosen, problems.quote(named.text))
            chosen[name] = node
        return replace(self, columns=chosen, selected=True)

    def with_columns(self, items: Sequence[object]) -> Branch:
        """See `Chain.with_columns`."""
        if not items:
            raise ConfigurationError("with_columns names no column", where="with_columns()")
        branch = self
        for item in items:
            branch = branch._with_column(_named(item, "with_columns"))
        return branch

    def _with_column(self, named: syntax.Named) -> Branch:
        node = resolve(named.expression, self.scope(), named.text)
        name, where = column_name(named, node), problems.quote(named.text)
        check_free(name, [known for known in self.columns if known != name], where)
        if not self.selected and (name in _RECORD_ROOTS or name in self.elements):
            raise ConfigurationError(
                f"{name!r} is taken", where=where, remedy="Name it otherwise: … as my_column"
            )
        return replace(self, columns={**self.columns, name: node})

    def drop(self, names: Sequence[str]) -> Branch:
        """See `Chain.drop`."""
        if not names:
            raise ConfigurationError("drop names no column", where="drop()")
        for name in names:
            self._check_known(name, "drop")
        left = {name: node for name, node in self.columns.items() if name not in names}
        if not left and self.selected:
            raise ConfigurationError("drop leaves no column", where="drop(…)")
        return replace(self, columns=left)

    def rename(self, names: Mapping[str, str]) -> Branch:
        """See `Chain.rename`."""
        if not isinstance(names, Mapping) or not names:
            raise ConfigurationError(
                "a dict of old and new names is needed",
                where="rename(…)",
                remedy='Write rename({"old_name": "new_name"})',
            )
        for old, new in names.items():
            self._check_known(old, "rename")
            check_name(_text(new, "rename"), f"rename({{{old!r}: {new!r}}})")
        renamed: dict[str, nodes.Node] = {}
        for name, node in self.columns.items():
            new = names.get(name, name)
            check_free(new, renamed, f"rename({{{name!r}: {new!r}}})")
            renamed[new] = node
        return replace(self, columns=renamed)

    def _check_known(self, name: object, method: str) -> None:
        if _text(name, method) not in self.columns:
            raise ConfigurationError(
                f"unknown column {name!r}",
                where=f"{method}({name!r})",
                remedy=problems.nearest(str(name), self.columns),
            )

    def filter(self, condition: object) -> Branch:
        """See `Chain.filter`."""
        named = _named(condition, "filter")
        if named.alias is not None:
            raise ConfigurationError(
                "a condition has no name", where=problems.quote(named.text), remedy="Leave out 'as'"
            )
        node = resolve_condition(named.expression, self.scope(), named.text)
        return replace(self, steps=(*self.steps, node))

    def explode(self, item: object) -> Branch:
        """See `Chain.explode`."""
        named = _named(item, "explode")
        text = named.text
        if self.selected:
            raise ConfigurationError(
                "explode comes before select", where=problems.quote(text), remedy="Move it up"
            )
        node = resolve(named.expression, self.scope(), text)
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

    def _exploded(self, named: syntax.Named, node: nodes.Attribute) -> Branch:
        alias = named.alias
        taken = alias in self.elements or alias in self.columns or alias in _RECORD_ROOTS
        if alias is None or taken:
            raise ConfigurationError(
                "the element has no name of its own" if alias is None else f"{alias!r} is taken",
                where=problems.quote(named.text),
                remedy='Name the element: explode("dynamodb.NewImage.lines.L as line")',
            )
        element = nodes.Element(node, len(self.elements), alias)
        elements = {**self.elements, alias: element}
        return replace(self, steps=(*self.steps, element), elements=elements)

    def scope(self) -> Scope:
        """What names mean here."""
        if self.selected:
            return Scope(self.columns, self.elements)
        return Scope(None, self.elements, self.columns)


def _named(item: object, method: str) -> syntax.Named:
    """Text or a `Column`, parsed."""
    if not (isinstance(item, str) or hasattr(item, "tree")):
        _text(item, method)
    return parse_named(item)  # type: ignore[arg-type]


def _text(value: object, method: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{type(value).__name__} is not a text",
            where=f"{method}(…)",
            remedy='Write expressions as text: "dynamodb.NewImage.orderId.S as order_id"',
        )
    return value
