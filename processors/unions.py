"""Branches of several tables made one dataset: their columns by name, in types that hold both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.wire.errors import ConfigurationError
from processors.branch import Branch
from processors.language import column_types, nodes, problems

_BIGINT_DIGITS = 19


def united(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """The branches with the columns of the first, in its order, each with its table.

    Raises:
        ConfigurationError: a column is not in all of them, types do not go together, or only some
            have `*`.
    """
    kept = [branch.keeping_table() for branch in branches]
    if len({branch.unfold is None for branch in kept}) > 1:
        raise ConfigurationError(
            "one side has '*' (or no select), the other does not",
            where="union(…)",
            remedy="Select the same columns on both sides before",
        )
    first = kept[0]
    for other in kept[1:]:
        for one, two in ((first, other), (other, first)):
            _check_has(one, two)
    types = {
        name: _type(name, [branch.columns[name].type for branch in kept]) for name in first.columns
    }
    return tuple(replace(branch, columns=_cast(branch.columns, types)) for branch in kept)


def _check_has(one: Branch, other: Branch) -> None:
    for name in one.columns:
        if name not in other.columns:
            raise ConfigurationError(
                f"column {name!r} of table {one.table} is not among those of table {other.table}",
                where="union(…)",
                remedy="Add it: "
                f'.with_columns("cast(null as {one.columns[name].type}) as {name}"). '
                + problems.nearest(name, other.columns),
            )


def _type(name: str, types: Sequence[str]) -> str:
    found = types[0]
    for other in types[1:]:
        common = found if found == other else _wider(found, other)
        if common is None:
            raise ConfigurationError(
                f"column {name!r} is {found} on one side and {other} on the other",
                where="union(…)",
                remedy=f"Cast one of them: cast({name} as …) as {name}",
            )
        found = common
    return found


def _wider(one: str, other: str) -> str | None:
    """The type that holds every value of both exactly; None if there is none."""
    shapes = [
        (_BIGINT_DIGITS, 0) if kind == column_types.BIGINT else column_types.decimal_shape(kind)
        for kind in (one, other)
    ]
    if shapes[0] is None or shapes[1] is None:
        return None
    scale = max(shape[1] for shape in shapes if shape)
    whole = max(shape[0] - shape[1] for shape in shapes if shape)
    if whole + scale > column_types.DECIMAL_PRECISION_MAX:
        return None
    return f"decimal({whole + scale},{scale})"


def _cast(columns: Mapping[str, nodes.Node], types: Mapping[str, str]) -> dict[str, nodes.Node]:
    return {
        name: columns[name] if columns[name].type == kind else nodes.Convert(columns[name], kind)
        for name, kind in types.items()
    }
