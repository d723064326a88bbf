"""The table's side of a comparison: the rows of a Delta table, in batches, canonically spelled."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from bridge.control.compared import ComparedColumns
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
        # Of a history the open intervals are the source's items, of soft deletes what is not one.
        self._live: str | None = None
        if feed.dataset.mode == "history":
            self._live = "is_current"
        elif feed.dataset.deletes == "soft":
            self._live = "_deleted is not true"
        self.loading = False

    def all(self, columns: ComparedColumns) -> Iterator[TableRow]:
        """Every row; none while there is no table. Notes whether a snapshot is `loading`.

        Raises:
            TailraceError: the lake does not answer.
        """
        view = self._lake.view(self._dataset)
        if view is None:
            return
        self.loading = view.loading
        present = columns.present(view.schema)
        for key, row in view.rows(_names(present), self._live):
            yield TableRow(key, row["_version"], columns.spell_found(present, row))

    def some(self, count: int, choice: random.Random) -> set[str]:
        """Keys of so many rows, each as likely as any other; all where there are fewer.

        Raises:
            TailraceError: the lake does not answer.
        """
        view = self._lake.view(self._dataset)
        kept: list[str] = []
        # A reservoir: the n-th row takes a place in it with a chance of count / n.
        for seen, (key, _) in enumerate(view.rows(["_version"], self._live) if view else ()):
            place = seen if seen < count else choice.randrange(seen + 1)
            if seen < count:
                kept.append(key)
            elif place < count:
                kept[place] = key
        return set(kept)

    def count(self) -> int:
        """How many rows there are now.

        Raises:
            TailraceError: the lake does not answer.
        """
        view = self._lake.view(self._dataset)
        return 0 if view is None else view.count(self._live)

    def again(self, columns: ComparedColumns, keys: Collection[str]) -> dict[str, list[TableRow]]:
        """The rows of these keys as they are now.

        Raises:
            TailraceError: the lake does not answer.
        """
        table, view = self._lake.table(self._dataset), self._lake.view(self._dataset)
        present = columns.present(view.schema) if view is not None else []
        found: dict[str, list[TableRow]] = {}
        live = f" and {self._live}" if self._live is not None else ""
        left = iter(keys if table is not None else ())
        while some := list(islice(left, _KEYS_PER_QUERY)):
            wanted = ", ".join(map(literal, some))
            for row in _rows(table, present, f" where _key in ({wanted}){live}"):
                value = columns.spell_found(present, row)
                found.setdefault(row["_key"], []).append(
                    TableRow(row["_key"], row["_version"], value)
                )
        return found


def _rows(table: Any, columns: Sequence[Column], where: str) -> Iterator[dict[str, Any]]:
    """By SQL, because a key that is there twice must show twice."""
    names = ["_key", *_names(columns)]
    sql = f"select {', '.join(map(quoted, names))} from rows{where}"  # noqa: S608 (all quoted)
    for batch in select({"rows": table}, sql):
        yield from batch.to_pylist()


def _names(columns: Sequence[Column]) -> list[str]:
    return ["_version", *(column.name for column in columns)]
