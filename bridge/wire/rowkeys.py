"""`_key` of rows in a dataset that several tables feed: it begins with the row's table.

Items of two tables may have equal keys, and seals and floors are per table. So there `_key` is the
JSON array `["<table>",{…}]`, and every key of a table begins with the same text.
"""

from __future__ import annotations

import orjson


def key_prefix(table: str) -> str:
    """What every `_key` of `table` begins with in a dataset that several tables feed."""
    return "[" + orjson.dumps(table).decode() + ","


def key_in(table: str, key: str) -> str:
    """A row's `_key` there; `key` is the JSON text that would do with one table."""
    return in_table(key_prefix(table), key)


def in_table(prefix: str, key: str) -> str:
    """`key_in` for who has the table's prefix; "" where one table feeds the dataset."""
    return f"{prefix}{key}]" if prefix else key
