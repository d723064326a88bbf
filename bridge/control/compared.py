"""Which columns of a dataset are compared, and how their rows are spelled on both sides.

Columns that describe the latest change have no expected value. Those that a transform finds in its
items are known only from the table and from the items themselves; there a row is spelled without
its nulls, so that a column nobody has found yet is none that differs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bridge.control.canonical import spell_row
from bridge.control.plan import Feed
from bridge.wire.schemas import Column


class ComparedColumns:
    """Of one feed."""

    def __init__(self, feed: Feed) -> None:
        self._flow = feed.flow
        self._left_out = feed.flow.event_columns
        self._unfolds = any(part.flow.unfolds for part in feed.parts)

    def present(self, schema: Any) -> list[Column]:
        """Those to read from a table of this Arrow schema; what was found there is learned."""
        if self._unfolds:
            from sinks.columns import found_columns

            self._flow.discovery.adopt(found_columns(schema))
        there = set(schema.names)
        return [column for column in self._columns() if column.name in there]

    def spell_expected(self, row: Mapping[str, Any]) -> bytes:
        """A row as the transform makes it."""
        return self._spell(self._columns(), row)

    def spell_found(self, columns: Collection[Column], row: Mapping[str, Any]) -> bytes:
        """A row as the table has it; `columns` are those that were read."""
        return self._spell(columns if self._unfolds else self._columns(), row)

    def _columns(self) -> list[Column]:
        return [c for c in self._flow.schema.columns if c.name not in self._left_out]

    def _spell(self, columns: Collection[Column], row: Mapping[str, Any]) -> bytes:
        if not self._unfolds:
            return spell_row(columns, row)
        return spell_row([c for c in columns if row.get(c.name) is not None], row)
