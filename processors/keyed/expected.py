"""What the rows of a keyed view should be, from all items of its source: for `verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bridge.wire.version import encode_version
from processors.keyed.groups import Groups
from processors.keyed.owner import rows_by_key
from processors.keyed.plan import KeyedPlan
from processors.keyed.stores import MemoryStore
from processors.language.runtime import UnfitValueError

_VERSION = encode_version(1, 0)


class ExpectedGroups:
    """Groups of items, in the order they are met; columns by arrival mean nothing here.

    Args:
        plan: the flow's.
    """

    def __init__(self, plan: KeyedPlan) -> None:
        self._plan = plan
        self._groups = Groups(plan.aggregates)
        self._stores: dict[str, MemoryStore] = {}
        self._columns: dict[str, dict[str, Any] | None] = {}
        self._met = 0

    def add(self, item: str, rows: Sequence[tuple[str, Any]]) -> None:
        """The rows an item contributes."""
        self._met += 1
        for key, values in rows_by_key(self._plan, rows).items():
            store = self._stores.setdefault(key, MemoryStore())
            try:
                changed = self._groups.put(store, item.encode(), _VERSION, values, self._met)
            except UnfitValueError:
                self._columns[key] = None
                continue
            if changed is not None and changed.columns is not None:
                self._columns[key] = {**self._plan.key_columns(key), **changed.columns}

    def rows(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Target keys with their columns, None where a result fits no column."""
        yield from self._columns.items()
