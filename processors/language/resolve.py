"""What names mean at a point of the chain, and which types expressions have.

Before a select, names are the record's: plain fields, the images, and aliases of exploded elements.
After a select only its columns have names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from processors.language import column_types, nodes, problems, syntax

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
            case syntax.Literally(value):
                return nodes.Constant(value, _literal_type(value))
            case syntax.Comparison(sign, left, right, position):
                return nodes.Compare(sign, *self._comparable(left, right, position))
            case syntax.Logical(word, left, right):
                return nodes.Logic(word, self._condition(left), self._condition(right))
            case syntax.Negation(operand):
                return nodes.Not(self._condition(operand))
            case syntax.NullTest(operand):
                return nodes.IsNull(self.node(operand))
            case syntax.Membership(operand, choices, position):
                pairs = [self._comparable(operand, choice, position) for choice in choices]
                return nodes.OneOf(pairs[0][0], tuple(choice for _, choice in pairs))
            case syntax.Cast(operand, target, position):
                return self._cast(self.node(operand), target, position)

    def condition(self, expression: syntax.Expression) -> nodes.Node:
        return self._condition(expression)

    def _condition(self, expression: syntax.Expression) -> nodes.Node:
        node = self.node(expression)
        if node.type not in (column_types.BOOLEAN, column_types.NULL):
            raise self.error(
                expression.position,
                f"a condition expected, this is a {node.type},",
                "Compare it with something: … = 'x'",
            )
        return node

    def _comparable(
        self, left: syntax.Expression, right: syntax.Expression, position: int
    ) -> tuple[nodes.Node, nodes.Node]:
        one, other = self.node(left), self.node(right)
        if not column_types.comparable(one.type, other.type):
            raise self.error(
                position,
                f"{one.type} and {other.type} do not compare",
                "Cast one side: cast(… as string)",
            )
        return one, other

    def _cast(self, operand: nodes.Node, target: str, position: int) -> nodes.Node:
        target = {"decimal": "decimal(38,18)", "int": column_types.BIGINT}.get(target, target)
        shape = column_types.decimal_shape(target)
        valid = shape is not None and 0 < shape[0] <= column_types.DECIMAL_PRECISION_MAX
        if shape is not None and not (valid and 0 <= shape[1] <= shape[0]):
            raise self.error(position, f"{target} is not a decimal of 1 to 38 digits")
        if shape is None and target not in column_types.CAST_TARGETS:
            raise self.error(
                position,
                f"can't cast to {target!r}",
                problems.nearest(target, column_types.CAST_TARGETS),
            )
        if (
            operand.type in (column_types.BINARY, column_types.JSON)
            and target != column_types.STRING
        ):
            raise self.error(position, f"can't cast {operand.type} to {target}")
        return nodes.Convert(operand, target)

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
            remedy = problems.nearest(str(name), columns)
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
                problems.nearest(str(first.value), known),
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
