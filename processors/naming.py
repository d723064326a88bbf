"""Names of columns: which one an expression has, and which ones no column can have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge.wire.discovered import ends_with_type, stem_of, typed_name
from bridge.wire.envelope import RESERVED_COLUMNS
from bridge.wire.errors import ConfigurationError
from processors.language import column_types, nodes, problems, syntax
from processors.language.resolve import default_name
from processors.language.runtime import UnfitValueError

TABLE_COLUMN = "_table"
# What Parquet and Delta refuse in a column's name without column mapping.
REFUSED_CHARACTERS = frozenset(" ,;{}()\n\t=")


def column_name(named: syntax.Named, node: nodes.Node) -> str:
    """The name of a column: the one written behind `as`, or the attribute's.

    Raises:
        ConfigurationError: it has none, or one that no column can have.
    """
    where = problems.quote(named.text)
    if isinstance(named.expression, syntax.Path) and len(named.expression.parts) == 1:
        plain: str | None = str(named.expression.parts[0].value)
    else:
        plain = default_name(node)
    name = named.alias or plain
    if node.type == column_types.NULL:
        raise ConfigurationError("null alone has no type", where=where, remedy="Cast it")
    if name is None:
        raise ConfigurationError(
            "the column has no name", where=where, remedy="Name it: … as my_column"
        )
    check_name(name, where)
    return name


def check_name(name: str, where: str) -> None:
    """Raises: ConfigurationError: no column can have this name."""
    if not name:
        raise ConfigurationError("the column's name is empty", where=where)
    if name.lower() in RESERVED_COLUMNS:
        raise ConfigurationError(
            f"the name {name!r} is taken by Tailrace itself",
            where=where,
            remedy=f"Use another than {', '.join(sorted(RESERVED_COLUMNS))}: … as my_column",
        )
    if REFUSED_CHARACTERS & set(name):
        raise ConfigurationError(
            f"a column can't be named {name!r}",
            where=where,
            remedy="Name it without spaces, commas, brackets and '=': … as my_column",
        )


def check_free(name: str, taken: Iterable[str], where: str) -> None:
    """Raises: ConfigurationError: another column has this name, be it in other capitals."""
    for known in taken:
        if known.lower() == name.lower():
            raise ConfigurationError(
                f"two columns are named {known!r}"
                + ("" if known == name else f" and {name!r}: Delta tells no capitals apart"),
                where=where,
                remedy="Name one of them otherwise: … as another_name",
            )


def check_unfolded(names: Iterable[str], where: str) -> None:
    """Raises: ConfigurationError: a name beside `*` is one of those that `*` gives by itself."""
    for name in names:
        if ends_with_type(name):
            raise ConfigurationError(
                f"the name {name!r} ends as columns of '*' do that hold a second type",
                where=where,
                remedy="Name it otherwise: … as my_column",
            )


def kept_stem(
    attribute: str,
    tag: str,
    left_out: frozenset[str],
    renamed: Mapping[str, str],
    targets: frozenset[str],
) -> str | None:
    """The stem of an attribute's column, after renaming; None where it is left out.

    An attribute and each single column of it (`price__s`) can be named.

    Raises:
        UnfitValueError: another attribute was given its name.
    """
    stem = stem_of(attribute)
    typed = typed_name(stem, tag)
    if {attribute, stem, typed} & left_out:
        return None
    for name in (typed, stem, attribute):
        if name in renamed:
            return renamed[name]
    if stem in targets:
        raise UnfitValueError(
            "another attribute was renamed to this name",
            where=f"attribute {stem}",
            remedy=f'Drop or rename this one too: .drop("{stem}")',
        )
    return stem
