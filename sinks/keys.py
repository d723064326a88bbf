"""Which source table a row belongs to, told from its `_key` alone.

Seals and floors are per source table. A dataset fed by one table needs no telling; with several,
`_key` is the JSON array `["<table>",{...}]`, so every key of a table begins with the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.wire.rowkeys import key_prefix
from bridge.wire.version import epoch_floor


def table_of(key: str, tables: Sequence[str]) -> str | None:
    """The source table of a row; None if its key names none of `tables`."""
    if len(tables) == 1:
        return tables[0]
    return next((table for table in tables if key.startswith(key_prefix(table))), None)


def older_rows(table: str, tables: Sequence[str], epoch: int) -> str:
    """SQL for the rows of `table` that are left over from epochs below `epoch`."""
    predicate = f"_version < {sql_text(epoch_floor(epoch))}"
    if len(tables) == 1:
        return predicate
    return f"{predicate} AND starts_with(_key, {sql_text(key_prefix(table))})"


def sql_text(text: str) -> str:
    """A text literal for a predicate."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A column's name in a predicate."""
    return "`" + name.replace("`", "``") + "`"
