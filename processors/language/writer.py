"""Typed nodes into lines of one Python function.

Each node is computed once and kept in a variable; shared prefixes of paths are read once. The
source holds only what is written in this module: every name, path and literal of the user's is a
constant the function finds in its globals. Nothing runs per column but the lines a person would
have written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from orjson import dumps

from bridge.wire.errors import ConfigurationError
from processors.language import casts, column_types, nodes, runtime
from processors.language.generated import RUNTIME, place, plain_digits, plain_key, three_valued
from processors.language.nodes import Attribute, Element, Node

_OPERATORS = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_IMAGE_NAMES = {"NewImage": "new", "OldImage": "old", "Keys": "keys"}
_OF_TYPED = frozenset({"size", "array_contains"})
_FILENAME = "<tailrace transform>"


@dataclass(slots=True)
class Generated:
    """A compiled function with its source, which is worth reading when something looks odd."""

    source: str
    function: Callable[..., Any]


@dataclass(slots=True)
class Writer:
    """The lines of one function, and what they need."""

    signature: str
    mismatches: runtime.Mismatches
    indent: int = 1
    lines: list[str] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    known: dict[Any, str] = field(default_factory=dict)
    loops: dict[Element, str] = field(default_factory=dict)
    made: int = 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def constant(self, value: Any) -> str:
        """The global name of a constant; equal ones of one type share it."""
        for name, known in self.constants.items():
            if known.__class__ is value.__class__ and known == value:
                return name
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def assign(self, key: Any, expression: str) -> str:
        """A new variable for `expression`, remembered under `key`."""
        name = self.known[key] = self.variable()
        self.line(f"{name} = {expression}")
        return name

    def variable(self) -> str:
        """A name that no other variable has."""
        self.made += 1
        return f"v{self.made - 1}"

    @contextmanager
    def only_if(self, condition: str) -> Iterator[None]:
        """Lines under a condition; what they compute is not known behind them."""
        self.line(f"if {condition}:")
        known = dict(self.known)
        self.indent += 1
        yield
        self.indent -= 1
        self.known = known

    def loop(
        self, element: Element, ahead: Sequence[Node] = (), quoted: Sequence[Node] = ()
    ) -> None:
        """Over the elements of a list; unless it is empty, the columns `ahead` come before it."""
        source = element.source
        found, path = self.content(source), self.constant(nodes.spelled(source))
        name = self.loops[element] = f"e{element.level}"
        listed = f"() if {found} is None else elements({found}, {path})"
        if ahead:
            several = self.variable()
            self.line(f"{several} = {listed}")
            self.line(f"if {several}:")
            self.indent += 1
            for node in ahead:
                self.column(node)
            for node in quoted:
                self.quoted(node)
            listed = several
        self.line(f"for {name} in {listed}:")
        self.indent += 1

    def cells(self, columns: Mapping[str, Node]) -> str:
        """The columns as a dict has them inside, as rows carry them."""
        return ", ".join(
            [f"{self.constant(name)}: {self.column(node)}" for name, node in columns.items()]
        )

    def key(self, tags: Mapping[str, str], columns: Mapping[str, Node], prefix: str) -> str:
        """The variable of the row's key: these columns as a canonical typed key."""
        parts, before = [], f"{prefix}{{"
        for name in sorted(tags):
            known, label, tag = self.column(columns[name]), dumps(name).decode(), tags[name]
            self.line(f"if {known} is None: null_key({self.constant(name)})")
            if tag == "S":
                before, text, after = f'{before}{label}:{{"S":', self.quoted(columns[name]), ""
            else:
                before, after = f'{before}{label}:{{"{tag}":"', '"'
                text = f"binary_key({known})" if tag == "B" else f"number_key({known})"
                if tag == "N":
                    text = f"({known} if {plain_key(known, self.constant('0'))} else {text})"
            parts += [self.constant(before), text]
            before = f"{after}}},"
        ends = before[:-1] + ("}]" if prefix else "}")
        name = self.variable()
        self.line(f"{name} = {' + '.join([*parts, self.constant(ends)])}")
        return name

    def quoted(self, node: Node) -> str:
        """The variable of a text column as JSON has it."""
        key = ("quoted", node)
        known = self.column(node)
        return self.known.get(key) or self.assign(key, f"dumps({known}).decode()")

    def unfolded(self, unfold: nodes.Unfold) -> str:
        """The variable of the typed map to unfold."""
        base = unfold.base
        return _IMAGE_NAMES[base] if isinstance(base, str) else self.content(base)

    def mapped(self, step: nodes.Map) -> str:
        """The variable of what a map returned."""
        if (key := ("map", step)) in self.known:
            return self.known[key]
        row = f"{{{self.cells(dict(step.columns))}}}"
        image = "None" if step.unfold is None else self.unfolded(step.unfold)
        return self.assign(key, f"{self.constant(step.call)}({row}, {image})")

    def container(self, base: nodes.Image | Element, steps: nodes.Steps) -> str:
        """The variable of the map or list that the last of `steps` looks into."""
        if steps:
            return self.content(Attribute(base, steps[:-1], str(steps[-1])))
        assert isinstance(base, str)
        return _IMAGE_NAMES[base]

    def typed(self, base: nodes.Image | Element, steps: nodes.Steps) -> str:
        """The variable of a typed value such as `{"S": "x"}`, None where it is absent."""
        if not steps:
            assert isinstance(base, Element)
            return self.loops[base]
        if (key := ("typed", base, steps)) in self.known:
            return self.known[key]
        inside, last = self.container(base, steps[:-1]), steps[-1]
        if isinstance(last, int):
            return self.assign(
                key,
                f"{inside}[{last}] if {inside} is not None and len({inside}) > {last} else None",
            )
        return self.assign(
            key, f"None if {inside} is None else {inside}.get({self.constant(last)})"
        )

    def content(self, node: Attribute) -> str:
        """The variable of what lies under a tag, unchecked; NULL where the type is another."""
        if (key := ("content", node)) in self.known:
            return self.known[key]
        typed, tag = self.typed(node.base, node.steps), self.constant(node.tag)
        other = f"other_type({self.constant(nodes.spelled(node))}, {typed})"
        return self.assign(
            key, f"None if {typed} is None else {typed}[{tag}] if {tag} in {typed} else {other}"
        )

    def value(self, node: Node) -> str:
        """The variable of a node's value, as expressions use it."""
        key = ("value", node)
        if key not in self.known:
            lazy = self._lazily(node)
            if lazy is None:
                self.assign(key, self._value(node))
            else:
                self.known[key] = lazy
        return self.known[key]

    def _lazily(self, node: Node) -> str | None:
        """The variable of a node that does not compute all its parts; None where it does."""
        if isinstance(node, nodes.Case):
            return self._case(node)
        if isinstance(node, nodes.Coalesce):
            name = self.variable()
            self.line(f"{name} = {self.value(node.args[0])}")
            for other in node.args[1:]:
                with self.only_if(f"{name} is None"):
                    self.line(f"{name} = {self.value(other)}")
            return name
        if isinstance(node, nodes.Logic) and nodes.computes(node.right):
            decides = "False" if node.word == "and" else "True"
            left, name = self.value(node.left), self.variable()
            self.line(f"{name} = {decides}")
            with self.only_if(f"{left} is not {decides}"):
                self.line(f"{name} = {three_valued(node.word, left, self.value(node.right))}")
            return name
        return None

    def _case(self, node: nodes.Case) -> str:
        name, opened = self.variable(), self.variable()
        self.line(f"{name}, {opened} = None, True")
        for condition, value in node.branches:
            with self.only_if(opened):
                decided = self.value(condition)
                with self.only_if(f"{decided} is True"):
                    self.line(f"{name}, {opened} = {self.value(value)}, False")
        with self.only_if(opened):
            self.line(f"{name} = {self.value(node.otherwise)}")
        return name

    def _call(self, node: nodes.Call) -> str:
        tests, arguments = [], []
        for argument in node.passed:
            typed = node.function in _OF_TYPED and isinstance(argument, Attribute)
            if typed and argument.type == column_types.JSON:
                assert isinstance(argument, Attribute)
                tests.append(self.content(argument))
                arguments.append(self.typed(argument.base, argument.steps))
            else:
                arguments.append(self.value(argument))
                tests.append(arguments[-1])
        at = [self.constant(place(node))] if node.refuses else []
        called = f"{self.constant(node.compute)}({', '.join([*arguments, *at])})"
        return self.unless_null(tests, called) if node.strict and tests else called

    def _changed(self, node: nodes.Changed) -> str:
        compare = "differs" if isinstance(node.new, nodes.Whole) else "distinct"
        return f"{compare}({self.value(node.new)}, {self.value(node.old)})"

    def _value(self, node: Node) -> str:
        match node:
            case Attribute(tag="N"):
                return self.checked(node, "number")
            case Attribute() | nodes.EventField() | nodes.Field():
                return self._read(node)
            case nodes.Constant(value):
                return self.constant(value)
            case nodes.Compare(sign, left, right):
                one, other = self.value(left), self.value(right)
                return self.unless_null([one, other], f"{one} {_OPERATORS[sign]} {other}")
            case nodes.Logic(word, left, right):
                return three_valued(word, self.value(left), self.value(right))
            case nodes.Not(operand):
                inner = self.value(operand)
                return self.unless_null([inner], f"not {inner}")
            case nodes.IsNull(operand):
                return f"{self.value(operand)} is None"
            case nodes.OneOf(operand, choices):
                inner, listed = self.value(operand), ", ".join(map(self.value, choices))
                return self.unless_null([inner], f"one_of({inner}, ({listed},))")
            case _:
                return self._computed(node)

    def _computed(self, node: Node) -> str:
        match node:
            case nodes.Convert():
                return self._convert(node)
            case nodes.Call():
                return self._call(node)
            case nodes.Changed():
                return self._changed(node)
            case nodes.Whole(base, name):
                image = _IMAGE_NAMES[base]
                return f"None if {image} is None else {image}.get({self.constant(name)})"
        raise AssertionError(f"{type(node).__name__} is computed elsewhere")

    def _convert(self, node: nodes.Convert) -> str:
        operand, shape = node.operand, column_types.decimal_shape(node.type)
        exact = (shape or node.type == column_types.BIGINT) and not node.lenient
        if exact and isinstance(operand, Attribute) and operand.tag == "N":
            inner = self.content(operand)  # digits go from text to their type in one step
        else:
            inner = self.value(operand)
        path = self.constant(place(operand))
        special = casts.converter(node.operand.type, node.type)
        if special is not None:
            function, arguments = self.constant(special), f"{inner}, {path}"
        elif shape is not None:
            function, arguments = "to_decimal", f"{inner}, {shape[0]}, {shape[1]}, {path}"
        elif node.type == column_types.STRING:
            function, arguments = "to_string", inner
        else:
            function, arguments = f"to_{node.type}", f"{inner}, {path}"
        called = f"attempt({function}, {arguments})" if node.lenient else f"{function}({arguments})"
        converted = self.unless_null([inner], called)
        if exact and node.type == column_types.BIGINT:
            plain = plain_digits(inner, runtime.SAFE_INTEGER_DIGITS)
            return f"int({inner}) if {plain} else {converted}"
        return converted

    def column(self, node: Node) -> str:
        """The variable of a node's value as rows carry it: decimals as text, bytes as base64."""
        key = ("column", node)
        if key not in self.known:
            self.assign(key, self._column(node))
        return self.known[key]

    def _column(self, node: Node) -> str:
        if isinstance(node, nodes.EventField):
            return self._event_field(node)
        if isinstance(node, nodes.Field):
            return f"{self.mapped(node.map)}[{self.constant(node.name)}]"
        if isinstance(node, Attribute):
            if node.type == column_types.JSON:
                found, path = self.content(node), self.constant(nodes.spelled(node))
                tag = self.constant(node.tag)
                return self.unless_null([found], f"json_text({tag}, {found}, {path})")
            reader = {"S": "text", "N": "exact_text", "B": "binary"}.get(node.tag, "boolean")
            return self.checked(node, reader)
        if (digits := self._digits(node)) is not None:
            return digits
        found = self.value(node)
        if node.type == column_types.EXACT_NUMBER and not isinstance(node, nodes.Convert):
            at = self.constant(place(node))
            return self.unless_null([found], f"exact_column({found}, {at})")
        if column_types.decimal_shape(node.type):
            return self.unless_null([found], f"decimal_text({found})")
        written = casts.column_text(node.type)
        if written is not None:
            return self.unless_null([found], f"{self.constant(written)}({found})")
        return found

    def _digits(self, node: Node) -> str | None:
        """A number cast to a decimal right as it is stored; None for every other node."""
        if not isinstance(node, nodes.Convert) or node.lenient:
            return None
        shape, operand = column_types.decimal_shape(node.type), node.operand
        if shape is None or not isinstance(operand, Attribute) or operand.tag != "N":
            return None
        found, path = self.content(operand), self.constant(place(operand))
        reader = self.constant(runtime.decimal_column(*shape))
        return self.unless_null([found], f"{reader}({found}, {path})")

    def _read(self, node: Attribute | nodes.EventField | nodes.Field) -> str:
        found = self.column(node)
        if isinstance(node, nodes.Field) and column_types.decimal_shape(node.type):
            return self.unless_null([found], f"number({found}, {self.constant(node.name)})")
        if node.type in (column_types.DATE, column_types.TIMESTAMP):
            return self.unless_null([found], f"read_column({found}, {self.constant(node.type)})")
        return found

    def checked(self, node: Attribute, reader: str) -> str:
        return self.read_by(reader, self.content(node), self.constant(nodes.spelled(node)))

    def read_by(self, reader: str, found: str, path: str) -> str:
        """A call of a reader, unless there is nothing to read or to check."""
        read = self.unless_null([found], f"{reader}({found}, {path})")
        # A call costs more than the look that makes it needless.
        if reader == "exact_text":
            return f"{found} if {plain_digits(found, runtime.EXACT_INTEGER_DIGITS)} else {read}"
        return f"{found} if {found}.__class__ is str else {read}" if reader == "text" else read

    def _event_field(self, node: nodes.EventField) -> str:
        *outer, last = node.path
        inside = "event"
        if outer:
            key = ("event", tuple(outer))
            found = f"event.get({self.constant(outer[0])}) or {{}}"
            inside = self.known.get(key) or self.assign(key, found)
        name = self.assign(("raw", node), f"{inside}.get({self.constant(last)})")
        reader = "whole" if node.type == column_types.BIGINT else "text"
        return self.read_by(reader, name, self.constant(nodes.spelled(node)))

    @staticmethod
    def unless_null(operands: Sequence[str], expression: str) -> str:
        tests = " or ".join(f"{operand} is None" for operand in dict.fromkeys(operands))
        return f"None if {tests} else {expression}"

    def compile(self, name: str) -> Generated:
        source = "\n".join([f"def {self.signature}:", *self.lines, ""])
        scope: dict[str, Any] = {
            **RUNTIME,
            **self.constants,
            "other_type": self.mismatches.other_type,
        }
        try:
            code = compile(source, _FILENAME, "exec")
        except (SyntaxError, RecursionError, MemoryError):
            raise ConfigurationError(
                "expressions are nested too deeply",
                where="transform",
                remedy="Name parts of them as columns: with_columns(…)",
            ) from None
        exec(code, scope)  # noqa: S102 (no text of the user's is in it)
        return Generated(source, scope[name])
