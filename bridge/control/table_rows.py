"""The table's side of a comparison: the rows of a Delta table, in batches, canonically spelled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from bridge.control.canonical import spell_row
from bridge.control.comparison import TableRow
from bridge.control.lake import Lake, literal, quoted, select
from bridge.control.plan import Feed
from bridge.wire.schemas import Column

_KEYS_PER_QUERY = 1_000


class TableRows:
    """Reads one dataset; every call reads the newest snapshot.

    Args:
        lake: base URI of the tables.
        options: of the object store.
        feed: whose dataset.
    """

    def __init__(self, lake: str, options: Mapping[str, str], feed: Feed) -> None:
        self._lake = Lake(lake, options)
        self._dataset = feed.dataset.id
        self.loading = False

    def all(self, columns: Sequence[Column]) -> Iterator[TableRow]:
        """Every row; none while there is no table. Notes whether a snapshot is `loading`.

        Raises:
            TailraceError: the lake does not answer.
        """
        view = self._lake.view(self._dataset)
        if view is None:
            return
        self.loading = view.loading
        for key, row in view.rows(_present(columns, set(view.schema.names))):
            yield TableRow(key, row["_version"], spell_row(columns, row))

    def count(self) -> int:
        """How many rows there are now.

        Raises:
            TailraceError: the lake does not answer.
        """
        view = self._lake.view(self._dataset)
        return 0 if view is None else view.count()

    def again(self, columns: Sequence[Column], keys: Collection[str]) -> dict[str, list[TableRow]]:
        """The rows of these keys as they are now.

        Raises:
            TailraceError: the lake does not answer.
        """
        table = self._lake.table(self._dataset)
        found: dict[str, list[TableRow]] = {}
        left = iter(keys if table is not None else ())
        while some := list(islice(left, _KEYS_PER_QUERY)):
            wanted = ", ".join(map(literal, some))
            for row in _rows(table, columns, f" where _key in ({wanted})"):
                found.setdefault(row.row_key, []).append(row)
        return found


def _rows(table: Any, columns: Sequence[Column], where: str) -> Iterator[TableRow]:
    """By SQL, because a key that is there twice must show twice."""
    names = ["_key", *_present(columns, {field.name for field in table.schema().fields})]
    sql = f"select {', '.join(map(quoted, names))} from rows{where}"  # noqa: S608 (all quoted)
    for batch in select({"rows": table}, sql):
        for row in batch.to_pylist():
            yield TableRow(row["_key"], row["_version"], spell_row(columns, row))


def _present(columns: Sequence[Column], there: Collection[str]) -> list[str]:
    """A column the table does not have yet is null in every row."""
    return ["_version", *(column.name for column in columns if column.name in there)]
