"""What names mean at a point of the chain, and which types expressions have.

Before a select, names are the record's: plain fields, the images, and aliases of exploded elements.
After a select only its columns have names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from processors.language import calls, column_types, functions, nodes, problems, syntax

_STRING_FIELDS = ("eventID", "eventName", "eventSource", "eventVersion", "awsRegion")
# Source: "Record", Amazon DynamoDB Streams API reference; eventSourceARN as AWS Lambda adds it.
EVENT_FIELDS: Mapping[tuple[str, ...], str] = {
    **{(name,): column_types.STRING for name in (*_STRING_FIELDS, "eventSourceARN")},
    ("userIdentity", "type"): column_types.STRING,
    ("userIdentity", "principalId"): column_types.STRING,
    ("dynamodb", "ApproximateCreationDateTime"): column_types.BIGINT,
    ("dynamodb", "SequenceNumber"): column_types.STRING,
    ("dynamodb", "SizeBytes"): column_types.BIGINT,
    ("dynamodb", "StreamViewType"): column_types.STRING,
}
IMAGES: tuple[nodes.Image, ...] = ("NewImage", "OldImage", "Keys")
_ROOTS = sorted({path[0] for path in EVENT_FIELDS})
_MANY = 1_000
_FORM_ARGUMENTS = {
    "coalesce": (1, _MANY), "nullif": (2, 2), "if": (2, 3), "greatest": (1, _MANY),
    "least": (1, _MANY), "changed": (1, 1), "ttl_expired": (0, 0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scope:
    """Names at one point of a chain: `columns` is None until a select gave them.

    `added` are columns that have names beside the record's, before a select.
    """

    columns: Mapping[str, nodes.Node] | None = None
    elements: Mapping[str, nodes.Element] = field(default_factory=dict)
    added: Mapping[str, nodes.Node] = field(default_factory=dict)


def resolve(expression: syntax.Expression, scope: Scope, text: str) -> nodes.Node:
    """Raises: ConfigurationError: an unknown name, a path without its type, types that don't go."""
    return _Resolver(scope, text).node(expression)


def resolve_path(path: syntax.Path, scope: Scope, text: str) -> nodes.Node:
    """Raises: ConfigurationError: as `resolve`."""
    return _Resolver(scope, text).path(path)


class _Resolver:
    def __init__(self, scope: Scope, text: str) -> None:
        self._scope = scope
        self._text = text

    def error(self, position: int, what: str, remedy: str = "") -> Exception:
        return problems.at(self._text, position, what, remedy)

    def node(self, expression: syntax.Expression) -> nodes.Node:
        match expression:
            case syntax.Path():
                return self.path(expression)
            case syntax.Literally():
                return self._literal(expression)
            case syntax.Cast():
                return calls.cast(expression, self.node(expression.operand), self.error)
            case syntax.Call():
                return self._call(expression)
            case syntax.Case():
                return self._case(expression)
            case _:
                return self._logical(expression)

    def _logical(
        self,
        expression: syntax.Comparison
        | syntax.Logical
        | syntax.Negation
        | syntax.NullTest
        | syntax.Membership,
    ) -> nodes.Node:
        match expression:
            case syntax.Comparison(sign, left, right, position):
                one, other = self._comparable((left, right), position)
                return nodes.Compare(sign, one, other)
            case syntax.Logical(word, left, right):
                return nodes.Logic(word, self.condition(left), self.condition(right))
            case syntax.Negation(operand):
                return nodes.Not(self.condition(operand))
            case syntax.NullTest(operand):
                return nodes.IsNull(self.node(operand))
            case syntax.Membership(operand, choices, position):
                first, *others = self._comparable((operand, *choices), position)
                return nodes.OneOf(first, tuple(others))

    def condition(self, expression: syntax.Expression) -> nodes.Node:
        node = self.node(expression)
        if node.type not in (column_types.BOOLEAN, column_types.NULL):
            raise self.error(
                expression.position,
                f"a condition expected, this is a {node.type},",
                "Compare it with something: … = 'x'",
            )
        return node

    def _literal(self, literal: syntax.Literally) -> nodes.Node:
        value, kind = literal.value, literal.type
        if kind is not None:
            return calls.moment(str(value), kind, literal.position, self.error)
        if isinstance(value, Decimal) and calls.is_whole(value):
            return nodes.Constant(int(value), column_types.BIGINT)
        return nodes.Constant(value, _literal_type(value))

    def _comparable(
        self, expressions: Sequence[syntax.Expression], position: int
    ) -> list[nodes.Node]:
        """Values that compare with the first one, all of types that Python compares as SQL does."""
        found = [self.node(expression) for expression in expressions]
        return calls.comparable(found, [e.position for e in expressions], position, self.error)

    def _case(self, case: syntax.Case) -> nodes.Node:
        conditions = [self.condition(condition) for condition, _ in case.branches]
        written = [value for _, value in case.branches]
        otherwise = case.otherwise or syntax.Literally(None, case.position)
        values = self._unified([*written, otherwise], case.position)
        branches = tuple(zip(conditions, values[:-1], strict=True))
        return nodes.Case(branches, values[-1], values[0].type)

    def _unified(self, expressions: Sequence[syntax.Expression], position: int) -> list[nodes.Node]:
        return calls.unified([self.node(e) for e in expressions], position, self.error)

    def _call(self, call: syntax.Call) -> nodes.Node:
        name = functions.ALIASES.get(call.name, call.name)
        if call.star or name not in (*functions.FUNCTIONS, *functions.FORMS):
            raise self._unknown_function(call)
        if name in functions.FORMS:
            return self._form(name, call)
        found = [self.node(argument) for argument in call.args]
        return calls.called(name, call, found, self.error)

    def _unknown_function(self, call: syntax.Call) -> Exception:
        reason = functions.REFUSED.get(call.name)
        if reason is not None:
            return self.error(call.position, f"{call.name} can't be used here", reason)
        near = problems.nearest(call.name, functions.names())
        return self.error(call.position, f"unknown function {call.name!r}", near)

    def _form(self, name: str, call: syntax.Call) -> nodes.Node:
        least, most = _FORM_ARGUMENTS[name]
        if not least <= len(call.args) <= most:
            wanted = str(least) if least == most else f"at least {least}"
            raise self.error(call.position, f"{name} takes {wanted} arguments")
        if name == "ttl_expired":
            return _expired_by_ttl()
        if name == "changed":
            return self._changed(call)
        if name == "if":
            condition, value, *otherwise = call.args
            rest = otherwise[0] if otherwise else None
            return self._case(syntax.Case(((condition, value),), rest, call.position))
        if name == "nullif":
            one, other = self._comparable(call.args, call.position)
            first = self.node(call.args[0])
            nothing = nodes.Constant(None, column_types.NULL)
            return nodes.Case(((nodes.Compare("=", one, other), nothing),), first, first.type)
        found = self._unified(call.args, call.position)
        if name == "coalesce":
            return nodes.Coalesce(tuple(found), found[0].type)
        return calls.extreme(name, found, call.position, self.error)

    def _changed(self, call: syntax.Call) -> nodes.Node:
        argument = call.args[0]
        if isinstance(argument, syntax.Literally) and isinstance(argument.value, str):
            if self._scope.columns is None:
                name = argument.value
                return nodes.Changed(nodes.Whole("NewImage", name), nodes.Whole("OldImage", name))
            argument = syntax.Path(
                (syntax.Part(argument.value, argument.position),), argument.position
            )
        new = self.node(argument)
        try:
            old = calls.before(new)
        except calls.NoImageError:
            old = new
        if old == new:
            raise self.error(
                argument.position,
                "changed takes the name of an attribute, or an expression of NewImage",
                "Write changed('status'), or changed(dynamodb.NewImage.status.S)",
            )
        return nodes.Changed(new, old)

    def path(self, path: syntax.Path) -> nodes.Node:
        first = path.parts[0]
        columns = self._scope.columns
        if columns is not None:
            return self._column(path, columns)
        if len(path.parts) == 1 and first.value in self._scope.added:
            return self._scope.added[str(first.value)]
        element = self._scope.elements.get(str(first.value))
        if element is not None:
            return self._attribute(element, path.parts[1:], path)
        names = tuple(part.value for part in path.parts)
        if names in EVENT_FIELDS:
            path_of_field = tuple(map(str, names))
            return nodes.EventField(path_of_field, EVENT_FIELDS[path_of_field])
        if first.value == "dynamodb" and len(names) > 1 and names[1] in IMAGES:
            image = IMAGES[IMAGES.index(names[1])]
            return self._attribute(image, path.parts[2:], path)
        raise self._unknown(path)

    def _column(self, path: syntax.Path, columns: Mapping[str, nodes.Node]) -> nodes.Node:
        name = path.parts[0].value
        if len(path.parts) == 1 and name in columns:
            return columns[str(name)]
        if name == "dynamodb" and name not in columns:
            remedy = "Behind a select only its columns have names: filter before it"
        else:
            remedy = self._meant(path.parts[0], columns)
        raise self.error(path.position, f"unknown column {str(name)!r}", remedy)

    def _unknown(self, path: syntax.Path) -> Exception:
        first, *rest = path.parts
        inside = {known[1] for known in EVENT_FIELDS if known[0] == first.value and known[1:]}
        if first.value == "dynamodb":
            inside.update(IMAGES)
        if not inside:
            known = [*_ROOTS, *self._scope.elements, *self._scope.added]
            return self.error(
                first.position,
                f"unknown field {first.value!r}",
                self._meant(first, known, in_record=True),
            )
        if not rest:
            return self.error(
                first.position,
                f"{first.value!r} is not a value",
                f"Name what is wanted inside: {', '.join(sorted(inside))}",
            )
        unknown = rest[0] if rest[0].value not in inside or len(rest) == 1 else rest[1]
        return self.error(
            unknown.position,
            f"unknown field {unknown.value!r} in {first.value!r}",
            problems.nearest(str(rest[0].value), inside),
        )

    def _meant(self, part: syntax.Part, known: Collection[str], *, in_record: bool = False) -> str:
        """A remedy for an unknown name, by the habits people bring along from SQL."""
        name, near = str(part.value), problems.nearest(str(part.value), known)
        if self._text[part.position : part.position + 1] == '"':
            return f"Text goes in single quotes: '{name}'. {near}"
        if not in_record or near.startswith("Did"):
            return near
        if name in IMAGES:
            return f"Write dynamodb.{name}"
        return (
            f"An attribute is written dynamodb.NewImage.{name}.S, .N, …; a column of the same "
            f"select has its name behind it, in .with_columns(…). {near}"
        )

    def _attribute(
        self, base: nodes.Image | nodes.Element, parts: tuple[syntax.Part, ...], path: syntax.Path
    ) -> nodes.Node:
        """Alternate between names (in a map), indices (in a list) and tags (of a value)."""
        expects = "tag" if isinstance(base, nodes.Element) else "name"
        for part in parts:
            if expects == "tag":
                expects = self._check_tag(part)
            elif (expects == "name" and isinstance(part.value, str)) or (
                expects == "index" and isinstance(part.value, int)
            ):
                expects = "tag"
            else:
                raise self._misplaced(expects, part)
        steps = tuple(part.value for part in parts)
        if expects == "tag" or not steps:
            raise self._without_type(path)
        return nodes.Attribute(base, steps[:-1], str(steps[-1]))

    def _check_tag(self, part: syntax.Part) -> str:
        tag = part.value
        if isinstance(tag, str) and tag in column_types.ATTRIBUTE_TYPES:
            return {"M": "name", "L": "index"}.get(tag, "end")
        near = problems.nearest(str(tag), column_types.ATTRIBUTE_TYPES)
        raise self.error(
            part.position, f"a type such as S, N or M expected, not {str(tag)!r},", near
        )

    def _misplaced(self, expects: str, part: syntax.Part) -> Exception:
        what = {
            "name": "a name in a map expected",
            "index": "an index such as [0] expected in a list",
            "end": "nothing can follow a plain value",
        }[expects]
        return self.error(part.position, f"{what}, not {str(part.value)!r},")

    def _without_type(self, path: syntax.Path) -> Exception:
        last = path.parts[-1]
        name = str(last.value)
        if self._text[last.position : last.position + len(name) + 1] == f"{name}-":
            return self.error(
                last.position,
                "a path into an item ends with its type",
                'Put names with other characters in quotes: "order-id"',
            )
        written = "…." + str(path.parts[-1].value)[:40]
        return self.error(
            path.parts[-1].position,
            "a path into an item ends with its type",
            f"Write {written}.S for a text, .N for a number, .BOOL, .B, .M, .L, .SS, .NS, .BS",
        )


def resolve_condition(expression: syntax.Expression, scope: Scope, text: str) -> nodes.Node:
    """As `resolve`, for a filter. Raises: ConfigurationError: it is not a condition."""
    return _Resolver(scope, text).condition(expression)


def _literal_type(value: str | Decimal | bool | None) -> str:
    if value is None:
        return column_types.NULL
    if isinstance(value, bool):
        return column_types.BOOLEAN
    return column_types.STRING if isinstance(value, str) else column_types.EXACT_NUMBER


def _expired_by_ttl() -> nodes.Node:
    """Whether DynamoDB's time to live removed the item.

    Source: "DynamoDB Streams and Time to Live", Amazon DynamoDB Developer Guide.
    """
    parts = [
        nodes.Compare(
            "=",
            nodes.EventField(("userIdentity", field), column_types.STRING),
            nodes.Constant(value, column_types.STRING),
        )
        for field, value in (("type", "Service"), ("principalId", "dynamodb.amazonaws.com"))
    ]
    both = nodes.Logic("and", parts[0], parts[1])
    never = nodes.Constant(False, column_types.BOOLEAN)
    return nodes.Coalesce((both, never), column_types.BOOLEAN)


def default_name(node: nodes.Node) -> str | None:
    """The column's name where none is written: the attribute's, the last name before the type."""
    if isinstance(node, nodes.EventField):
        return node.path[-1]
    if isinstance(node, nodes.Convert):
        return default_name(node.operand)
    if not isinstance(node, nodes.Attribute):
        return None
    # Names and tags alternate; the tag is no part of `steps`, indices and tags are passed over.
    names = [step for step in _names(node) if isinstance(step, str)]
    return names[-1] if names else None


def _names(node: nodes.Attribute) -> list[str]:
    found: list[str] = []
    expects = "tag" if isinstance(node.base, nodes.Element) else "name"
    for step in node.steps:
        if expects == "name":
            found.append(str(step))
            expects = "tag"
        elif expects == "tag":
            expects = {"M": "name", "L": "index"}[str(step)]
        else:
            expects = "tag"
    return found
