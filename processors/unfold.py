"""`*`: the attributes of an item as columns that nobody declared.

Attributes are found as items come. What was found is remembered for the life of the process and
only grows: an attribute and its type keep their column. The names follow `bridge.wire.discovered`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bridge.wire.discovered import ATTRIBUTE_TYPES, Taken, assign
from bridge.wire.schemas import Column, Schema
from processors.language import nodes, runtime
from processors.language.runtime import UnfitValueError
from processors.naming import kept_stem

COLUMNS_MAX = 1_000

Row = dict[str, Any]
Reader = Callable[[Any, str], Any]


def _json_reader(tag: str) -> Reader:
    return lambda value, path: runtime.json_text(tag, value, path)


_READERS: Mapping[str, Reader] = {
    "S": runtime.text,
    "N": runtime.exact_text,
    "B": runtime.binary,
    "BOOL": runtime.boolean,
    **{tag: _json_reader(tag) for tag in ("SS", "NS", "BS", "M", "L")},
}


class Discovery:
    """The schema of one dataset, as far as its columns are known: it grows, nothing else.

    Args:
        declared: the schema of what the transform names itself.
    """

    def __init__(self, declared: Schema) -> None:
        self.schema = declared
        self._taken = {
            column.name.lower(): Taken(column.name, "", column.type) for column in declared.columns
        }
        self._found: dict[str, Column] = {}
        self._declared = declared

    def adopt(self, columns: Iterable[Column]) -> None:
        """Know what others have found: columns of a schema that is registered, or of the table."""
        for column in columns:
            known = column.type == ATTRIBUTE_TYPES.get(column.tag)
            if known and column.name.lower() not in self._taken:
                self._add(column)
        self._refresh()

    def column(self, stem: str, tag: str) -> str:
        """The name of the column for a stem and type, found now if it is new.

        Raises:
            UnfitValueError: there is no name left for it, or there are too many columns.
        """
        kind = ATTRIBUTE_TYPES[tag]
        name = assign(stem, tag, kind, self._taken)
        if name is None:
            raise UnfitValueError(
                "an attribute whose name differs from others' in capitals alone, which Delta does "
                "not tell apart",
                where=f"attribute {stem}",
                remedy=f'Rename it: .rename({{"{stem}": "another_name"}}), or drop it',
            )
        if name.lower() not in self._taken:
            if len(self._taken) >= COLUMNS_MAX:
                raise UnfitValueError(
                    f"more than {COLUMNS_MAX:,} columns",
                    where=f"attribute {stem}",
                    remedy="Select the attributes by name, or drop those that hold data as names",
                )
            self._add(Column(name, kind, tag))
            self._refresh()
        return name

    @property
    def found(self) -> int:
        """How many columns were found."""
        return len(self._found)

    def back_to(self, found: int) -> None:
        """Forget the columns that were found last, down to so many: nothing was written to them."""
        for name in list(self._found)[found:]:
            del self._taken[name.lower()], self._found[name]
        self._refresh()

    def _add(self, column: Column) -> None:
        self._taken[column.name.lower()] = Taken(column.name, column.tag, column.type)
        self._found[column.name] = column

    def _refresh(self) -> None:
        declared = self._declared
        # In the order of names: who found the same has the same schema, in whatever order.
        found = tuple(self._found[name] for name in sorted(self._found))
        self.schema = Schema(
            declared.dataset, declared.transform, (*declared.columns, *found), declared.key
        )


class Unfolder:
    """Adds the attributes of a typed map to a row, as `emit_rows` calls it.

    Args:
        unfold: what to leave out and to rename.
        declared: columns the row has of its own; they stand for the attributes of their names.
        discovery: gives the names.
    """

    def __init__(self, unfold: nodes.Unfold, declared: Iterable[str], discovery: Discovery) -> None:
        self._left_out = unfold.left_out | set(declared)
        self._renamed = dict(unfold.renamed)
        self._targets = frozenset(self._renamed.values())
        self._discovery = discovery
        self._cells: dict[tuple[str, str], tuple[str, Reader] | None] = {}

    def __call__(self, row: Row, image: Mapping[str, Any] | None) -> Row:
        """The row with the attributes; `row` itself is changed.

        Raises:
            UnfitValueError: a value its column can't hold, a name no column can have.
        """
        cells = self._cells
        known, found = len(cells), self._discovery.found
        try:
            for attribute, typed in (image or {}).items():
                for tag, value in typed.items():
                    try:
                        cell = cells[attribute, tag]
                    except KeyError:
                        cell = cells[attribute, tag] = self._cell(attribute, tag)
                    if cell is not None:
                        name, read = cell
                        row[name] = read(value, attribute)
        except UnfitValueError:
            # An item that is set aside leaves no columns: a single one could take all there may be.
            for place in list(cells)[known:]:
                del cells[place]
            self._discovery.back_to(found)
            raise
        return row

    def _cell(self, attribute: str, tag: str) -> tuple[str, Reader] | None:
        if tag == "NULL":
            return None
        reader = _READERS.get(tag)
        if reader is None:
            raise UnfitValueError(f"an attribute of unknown type {tag[:20]!r}", where=attribute)
        stem = kept_stem(attribute, tag, self._left_out, self._renamed, self._targets)
        return None if stem is None else (self._discovery.column(stem, tag), reader)
