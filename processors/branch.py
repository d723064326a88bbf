"""The way of one table's changes through a chain: what each method of the chain does to it.

A row begins as the item itself, all its attributes (`*`), and the record's names can be used in
expressions. A select leaves only its columns; where `*` is among them, the names stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.wire.errors import ConfigurationError
from processors.language import column_types, nodes, problems, syntax
from processors.language.parser import parse_named
from processors.language.resolve import Scope, resolve, resolve_condition
from processors.mapping import MapFunction, Mapper, check_schema, name_of, spelling
from processors.naming import TABLE_COLUMN, check_free, check_name, check_unfolded, column_name

# Names a column added before a select can't have: they begin the record's own paths.
_RECORD_ROOTS = frozenset({"dynamodb", "userIdentity"})


@dataclass(frozen=True, slots=True)
class Branch:
    """From one table of one input: conditions and lists in their order, and the columns so far.

    `unfold` are the attributes that are columns too, None behind a select without `*`.
    `keeps_table`: the column `_table` stays whatever is selected, for several tables come together.
    """

    input_name: str
    table: str
    steps: tuple[nodes.Step, ...] = ()
    columns: Mapping[str, nodes.Node] = field(default_factory=dict)
    elements: Mapping[str, nodes.Element] = field(default_factory=dict)
    unfold: nodes.Unfold | None = field(default_factory=nodes.Unfold)
    keeps_table: bool = False

    @property
    def selected(self) -> bool:
        """Whether the columns are all there is."""
        return self.unfold is None

    def select(self, items: Sequence[object]) -> Branch:
        """See `Chain.select`."""
        if not items:
            raise ConfigurationError("select names no column", where="select()")
        chosen: dict[str, nodes.Node] = {}
        unfold: nodes.Unfold | None = None
        for item in items:
            base = self._unfolded(item)
            if base is not None:
                if unfold is not None:
                    raise ConfigurationError("'*' is there twice", where="select(…)")
                whole, unfold = base
                added: Mapping[str, nodes.Node] = whole
                where = problems.quote(str(item))
            else:
                named = _named(item, "select")
                where = problems.quote(named.text)
                node = resolve(named.expression, self.scope(), named.text)
                added = {self._column_name(named, node): node}
            for name, node in added.items():
                check_free(name, chosen, where)
                chosen[name] = node
        if unfold is not None:
            check_unfolded(chosen, "select(…)")
        return replace(self, columns=self._with_table(chosen), unfold=unfold)

    def _unfolded(self, item: object) -> tuple[Mapping[str, nodes.Node], nodes.Unfold] | None:
        """The columns and the rest that `*`, or `<a map>.*`, stands for; None if it is neither."""
        text = item.strip() if isinstance(item, str) else ""
        if text == "*" and self.unfold is not None:
            return self.columns, self.unfold
        if text == "*":
            raise ConfigurationError(
                "'*' is every attribute of the item, and a select before left them out",
                where='select("*")',
                remedy="with_columns(…) adds columns to those there are",
            )
        if not text.endswith(".*"):
            return None
        path = text.removesuffix(".*").rstrip()
        if path == "dynamodb.NewImage":
            return {}, nodes.Unfold()
        node = None
        if path not in ("dynamodb", "dynamodb.OldImage", "dynamodb.Keys"):
            named = _named(path, "select")
            node = resolve(named.expression, self.scope(), path)
        if not (isinstance(node, nodes.Attribute) and node.tag == "M") or (
            nodes.describes_event(node)
        ):
            raise ConfigurationError(
                "only the item or a map in it can be unfolded",
                where=problems.quote(text),
                remedy='Write "*", "dynamodb.NewImage.address.M.*", or "line.M.*" of an element',
            )
        return {}, nodes.Unfold(node)

    def _column_name(self, named: syntax.Named, node: nodes.Node) -> str:
        name = column_name(named, node)
        if name == TABLE_COLUMN and node != self._table():
            raise _table_name_taken(problems.quote(named.text))
        return name

    def keeping_table(self) -> Branch:
        """With the column `_table`, from here on."""
        columns = {TABLE_COLUMN: self._table(), **self.columns}
        return replace(self, keeps_table=True, columns=columns)

    def _with_table(self, columns: Mapping[str, nodes.Node]) -> Mapping[str, nodes.Node]:
        return {TABLE_COLUMN: self._table(), **columns} if self.keeps_table else columns

    def _table(self) -> nodes.Node:
        return nodes.Constant(self.table, column_types.STRING)

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
        name, where = self._column_name(named, node), problems.quote(named.text)
        check_free(name, [known for known in self.columns if known != name], where)
        if not self.selected and (name in _RECORD_ROOTS or name in self.elements):
            raise ConfigurationError(
                f"{name!r} is taken", where=where, remedy="Name it otherwise: … as my_column"
            )
        if self.unfold is not None:
            check_unfolded([name], where)
        return replace(self, columns={**self.columns, name: node})

    def drop(self, names: Sequence[str]) -> Branch:
        """See `Chain.drop`."""
        if not names:
            raise ConfigurationError("drop names no column", where="drop()")
        for name in names:
            self._check_known(name, "drop")
        left = {name: node for name, node in self.columns.items() if name not in names}
        keeps_table = self.keeps_table and TABLE_COLUMN not in names
        if self.unfold is not None:
            unfold = replace(self.unfold, left_out=self.unfold.left_out | set(names))
            return replace(self, columns=left, unfold=unfold, keeps_table=keeps_table)
        if not left:
            raise ConfigurationError("drop leaves no column", where="drop(…)")
        return replace(self, columns=left, keeps_table=keeps_table)

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
            if new == TABLE_COLUMN:
                raise _table_name_taken(f"rename({{{old!r}: {new!r}}})")
        renamed: dict[str, nodes.Node] = {}
        for name, node in self.columns.items():
            new = names.get(name, name)
            check_free(new, renamed, f"rename({{{name!r}: {new!r}}})")
            renamed[new] = node
        return replace(self, columns=renamed, unfold=self._unfold_renamed(names, renamed))

    def _unfold_renamed(
        self, names: Mapping[str, str], columns: Mapping[str, nodes.Node]
    ) -> nodes.Unfold | None:
        """`*` after a rename: attributes are not known here, so each name may be one of theirs."""
        if self.unfold is None:
            return None
        attributes = {old: new for old, new in names.items() if old not in self.columns}
        known = dict(self.unfold.renamed)
        for old, new in attributes.items():
            where = f"rename({{{old!r}: {new!r}}})"
            check_free(new, [*columns, *known.values()], where)
            check_unfolded([new], where)
            known[old] = new
        # A column that was renamed still stands for the attribute it stood for.
        hidden = {old for old in names if old in self.columns}
        return replace(
            self.unfold,
            renamed=frozenset(known.items()),
            left_out=self.unfold.left_out | hidden,
        )

    def _check_known(self, name: object, method: str) -> None:
        if _text(name, method) not in self.columns and self.selected:
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
        if nodes.describes_event(node) and _behind_map(node):
            raise ConfigurationError(
                "what map made of the event (eventName, OldImage, …) can't be filtered by",
                where=problems.quote(named.text),
                remedy="Filter by the event before the map",
            )
        return replace(self, steps=(*self.steps, node))

    def map(self, function: MapFunction, schema: Mapping[str, str]) -> Branch:
        """See `Chain.map`."""
        types = check_schema(function, schema)
        for name in types:
            check_name(name, f"map({name_of(function)})")
            if name == TABLE_COLUMN:
                raise _table_name_taken(f"map({name_of(function)})")
            others = [other for other in types if other != name]
            check_free(name, others, f"map({name_of(function)})")
        columns = [(name, node.type) for name, node in self.columns.items()]
        step = nodes.Map(
            call=Mapper(function, columns, self.unfold, types),
            columns=tuple(self.columns.items()),
            unfold=self.unfold,
            level=sum(isinstance(step, nodes.Map) for step in self.steps),
            spelling=f"{spelling(function)} to {types}",
        )
        mapped = {name: nodes.Field(step, name, kind) for name, kind in types.items()}
        return replace(
            self, steps=(*self.steps, step), columns=self._with_table(mapped), unfold=None
        )

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

    def described(self) -> tuple[list[str], dict[str, str]]:
        """Its steps and its columns, one spelling per meaning."""
        steps = [nodes.canonical_step(step) for step in self.steps]
        if self.unfold is not None:
            steps.append(nodes.canonical_unfold(self.unfold))
        columns = {n: f"{nodes.canonical(node)} {node.type}" for n, node in self.columns.items()}
        return steps, columns

    def scope(self) -> Scope:
        """What names mean here."""
        columns = {TABLE_COLUMN: self._table(), **self.columns}
        if self.selected:
            return Scope(columns, self.elements)
        return Scope(None, self.elements, columns)


def _table_name_taken(where: str) -> ConfigurationError:
    return ConfigurationError(
        f"the name {TABLE_COLUMN!r} is that of the table a row comes from",
        where=where,
        remedy="Use another; rows of a union keep this one by themselves",
    )


def _behind_map(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Field) or any(map(_behind_map, nodes.children(node)))


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
