"""Which function a call means, and which types its arguments and results have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from processors.language import column_types, functions, moments, nodes, problems, syntax
from processors.language.column_types import (
    BIGINT,
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    EXACT_NUMBER,
    JSON,
    NULL,
    STRING,
    TIMESTAMP,
)  # fmt: skip
from processors.language.runtime import UnfitValueError

ErrorAt = Callable[[int, str, str], Exception]
_BIGINT_MAX = 2**63 - 1
_SPELLINGS = {
    "decimal": EXACT_NUMBER, "numeric": EXACT_NUMBER, "int": BIGINT, "integer": BIGINT,
    "long": BIGINT, "float": DOUBLE, "text": STRING, "varchar": STRING, "bool": BOOLEAN,
}  # fmt: skip
# What can be cast to each type, beside itself and NULL.
_NUMBERS = "a number"
_SOURCES: dict[str, tuple[str, ...]] = {
    STRING: (_NUMBERS, BOOLEAN, BINARY, JSON, DATE, TIMESTAMP),
    _NUMBERS: (_NUMBERS, STRING, BOOLEAN),
    BOOLEAN: (_NUMBERS, STRING),
    DATE: (STRING, TIMESTAMP),
    TIMESTAMP: (STRING, DATE),
    BINARY: (STRING,),
    JSON: (STRING, _NUMBERS, BOOLEAN),
}


def is_whole(value: Decimal) -> bool:
    """Whether a number is written as a bigint: no point, no exponent, within 64 bits."""
    return value.as_tuple().exponent == 0 and abs(value) <= _BIGINT_MAX


def cast(written: syntax.Cast, operand: nodes.Node, error: ErrorAt) -> nodes.Node:
    """Raises: ConfigurationError: no such type, or one that the value can't become."""
    target, position = _SPELLINGS.get(written.target, written.target), written.position
    shape = column_types.decimal_shape(target)
    valid = shape is not None and 0 < shape[0] <= column_types.DECIMAL_PRECISION_MAX
    if shape is not None and not (valid and 0 <= shape[1] <= shape[0]):
        raise error(position, f"{target} is not a decimal of 1 to 38 digits", "")
    if shape is None and target not in column_types.CAST_TARGETS:
        near = problems.nearest(target, column_types.CAST_TARGETS)
        raise error(position, f"can't cast to {target!r}", near)
    source = _NUMBERS if column_types.is_number(operand.type) else operand.type
    known = _SOURCES[_NUMBERS if column_types.is_number(target) else target]
    if source not in (target, NULL, *known):
        remedy = ""
        if target in (DATE, TIMESTAMP) and source == _NUMBERS:
            remedy = "Write timestamp_seconds(…) or timestamp_millis(…)"
        elif source in (DATE, TIMESTAMP):
            remedy = "Write unix_seconds(…) or unix_millis(…)"
        raise error(position, f"can't cast {operand.type} to {target}", remedy)
    return nodes.Convert(operand, target, written.lenient)


def moment(text: str, kind: str, position: int, error: ErrorAt) -> nodes.Constant:
    """`date '…'`, `timestamp '…'`. Raises: ConfigurationError: the text is none."""
    try:
        if kind == DATE:
            return nodes.Constant(moments.to_date(text, ""), DATE)
        return nodes.Constant(moments.to_timestamp(text, ""), TIMESTAMP)
    except UnfitValueError as problem:
        remedy = f"Write it as {kind} '2025-11-23{'' if kind == DATE else ' 14:00:00'}'"
        raise error(position, problem.what, remedy) from None


def promoted(node: nodes.Node, target: str) -> nodes.Node:
    """The node as a value of a wider type, where the two look different in Python."""
    looks_same = node.type.startswith("decimal(") and target == EXACT_NUMBER
    if node.type in (target, NULL) or looks_same:
        return node
    if isinstance(node, nodes.Constant) and isinstance(node.value, int) and target == EXACT_NUMBER:
        return nodes.Constant(Decimal(node.value), EXACT_NUMBER)
    return nodes.Convert(node, target)


def unified(found: Sequence[nodes.Node], position: int, error: ErrorAt) -> list[nodes.Node]:
    """The values in the one type they have in common, the first with that type in any case.

    Raises:
        ConfigurationError: there is none.
    """
    common = column_types.unified(node.type for node in found)
    if common is None:
        kinds = " and ".join(sorted({node.type for node in found} - {NULL}))
        raise error(position, f"{kinds} are no values of one column", "Cast them to one type")
    first, *others = [promoted(node, common) for node in found]
    if isinstance(first, nodes.Constant) and first.value is None:
        first = nodes.Constant(None, common)
    elif first.type != common:
        first = nodes.Case((), first, common)
    return [first, *others]


def comparable(
    found: Sequence[nodes.Node], positions: Sequence[int], position: int, error: ErrorAt
) -> list[nodes.Node]:
    """Values that compare; a text beside dates or timestamps is read as one.

    Raises:
        ConfigurationError: they do not compare, or a text is no date.
    """
    times = {node.type for node in found} & {DATE, TIMESTAMP}
    if times:
        kind = TIMESTAMP if TIMESTAMP in times else DATE
        found = [
            moment(node.value, kind, at, error)
            if isinstance(node, nodes.Constant) and isinstance(node.value, str)
            else node
            for node, at in zip(found, positions, strict=True)
        ]
    for other in found[1:]:
        if not column_types.comparable(found[0].type, other.type):
            raise error(
                position,
                f"{found[0].type} and {other.type} do not compare",
                "Cast one side: cast(… as string)",
            )
    common = column_types.unified(node.type for node in found)
    if common in (DOUBLE, TIMESTAMP):
        return [promoted(node, common) for node in found]
    return list(found)


def called(name: str, call: syntax.Call, found: Sequence[nodes.Node], error: ErrorAt) -> nodes.Node:
    """A call of a function of the table.

    Raises:
        ConfigurationError: too few or many arguments, or of other types than it takes.
    """
    overloads = [o for o in functions.FUNCTIONS[name] if o.takes(len(found))]
    if not overloads:
        raise error(call.position, f"{name} does not take {len(found)} arguments", _usage(name))
    if name == "is_distinct":
        positions = [argument.position for argument in call.args]
        found = comparable(found, positions, call.position, error)
    for overload in overloads:
        kinds = [overload.parameter(number) for number in range(len(found))]
        fits = [functions.accepts(k, n.type) for k, n in zip(kinds, found, strict=True)]
        if all(fits):
            return _bound(name, overload, found, call, error)
    # The last overload takes the most; what it refuses, none takes.
    wrong = fits.index(False)
    raise error(
        call.args[wrong].position,
        f"{name} takes {kinds[wrong]}, this is a {found[wrong].type},",
        _usage(name),
    )


def _usage(name: str) -> str:
    if not name.isidentifier() or name in ("negative", "is_distinct", "like"):
        return "Cast it: cast(… as bigint)" if name != "like" else ""
    shown = []
    for overload in functions.FUNCTIONS[name]:
        least = len(overload.parameters) - overload.optional
        listed = [
            kind if number < least else f"[{kind}]"
            for number, kind in enumerate(overload.parameters)
        ]
        shown.append(f"{name}({', '.join(listed)}{', …' if overload.repeats else ''})")
    return f"Write {' or '.join(dict.fromkeys(shown))}"


def _bound(
    name: str,
    overload: functions.Overload,
    found: Sequence[nodes.Node],
    call: syntax.Call,
    error: ErrorAt,
) -> nodes.Node:
    kinds = [overload.parameter(number) for number in range(len(found))]
    compute, passed, literals = overload.compute, [], []
    for kind, node, argument in zip(kinds, found, call.args, strict=True):
        if kind != functions.LITERAL:
            as_text = kind == functions.AS_TEXT and node.type not in (STRING, NULL)
            passed.append(nodes.Convert(node, STRING) if as_text else node)
        elif isinstance(node, nodes.Constant) and isinstance(node.value, str):
            literals.append(node.value)
        else:
            raise error(argument.position, f"{name} takes a text in quotes here", "")
    if functions.LITERAL in overload.parameters:
        try:
            compute = overload.compute(*literals)
        except ValueError as problem:
            at = call.args[kinds.index(functions.LITERAL)].position
            raise error(at, str(problem), "") from None
    return nodes.Call(
        name,
        tuple(found),
        overload.result,
        compute,
        tuple(passed),
        overload.refuses,
        overload.strict,
    )


def extreme(name: str, found: Sequence[nodes.Node], position: int, error: ErrorAt) -> nodes.Node:
    """greatest and least: NULLs are passed over. Raises: ConfigurationError: no order."""
    kind = found[0].type
    if kind != NULL and not column_types.comparable(kind, kind):
        raise error(position, f"values of type {kind} have no order", "")
    choose = max if name == "greatest" else min

    def compute(*values: object) -> object:
        known = [value for value in values if value is not None]
        return choose(known) if known else None  # type: ignore[type-var]

    args = tuple(found)
    return nodes.Call(name, args, kind, compute, args, refuses=False, strict=False)


class NoImageError(Exception):
    """An expression that can't be said of an image alone."""


def before(node: nodes.Node) -> nodes.Node:
    """The same of the old image. Raises: NoImageError: it speaks of something else too."""
    match node:
        case nodes.Attribute(base="NewImage"):
            return replace(node, base="OldImage")
        case nodes.Attribute(base="Keys") | nodes.Constant():
            return node
        case nodes.Compare() | nodes.Logic():
            return replace(node, left=before(node.left), right=before(node.right))
        case nodes.Not() | nodes.IsNull() | nodes.Convert():
            return replace(node, operand=before(node.operand))
        case nodes.OneOf(operand, choices):
            return nodes.OneOf(before(operand), tuple(map(before, choices)))
        case nodes.Call(_, args):
            passed = tuple(map(before, node.passed))
            return replace(node, args=tuple(map(before, args)), passed=passed)
        case nodes.Coalesce(args):
            return replace(node, args=tuple(map(before, args)))
        case nodes.Case(branches, otherwise):
            pairs = tuple((before(condition), before(value)) for condition, value in branches)
            return replace(node, branches=pairs, otherwise=before(otherwise))
        case _:
            raise NoImageError
