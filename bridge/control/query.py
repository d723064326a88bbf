"""`tailrace query`: SQL over the datasets of a lake, each a table of its dataset's id."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.control.lake import Lake, select
from bridge.control.show import write_line
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.settings import Settings

_ROWS_SHOWN_MAX = 1_000
# Reading statements only: the engine could also write files.
_READS = re.compile(r"\s*(select|with|values|show|describe|explain)\b", re.IGNORECASE)
_NAMES = re.compile(r'"((?:[^"]|"")+)"|([A-Za-z_][A-Za-z0-9_]*)')
_DEV_LAKE = Path(".tailrace/lake")


def run_query(settings: Settings, sql: str, *, lake: str | None, as_json: bool) -> None:
    """Run a query and print its rows: a table, or one JSON object per row.

    Raises:
        ConfigurationError: the query is wrong, or names no dataset of this lake.
        TailraceError: the lake does not answer.
    """
    if not _READS.match(sql):
        raise ConfigurationError("only queries are run", where="query", remedy="Begin with select")
    if lake is not None:
        settings = settings.model_copy(update={"lake": lake})
    elif settings.lake is None and _DEV_LAKE.is_dir():
        settings = settings.model_copy(update={"lake": str(_DEV_LAKE)})
    found = Lake(settings.lake_uri(), settings.storage_options())
    tables = {name: table for name in names(sql) if (table := found.table(name)) is not None}
    if not tables:
        raise ConfigurationError(
            "the query names no dataset of this lake",
            where=found.uri,
            remedy=f"It has: {', '.join(found.datasets()) or 'none yet'}. "
            "Quote ids with capitals or hyphens",
        )
    rows = (row for batch in select(tables, sql) for row in batch.to_pylist())
    if as_json:
        for row in rows:
            write_line(json.dumps(row, default=_plain, ensure_ascii=False))
    else:
        _print_table(rows)


def names(sql: str) -> list[str]:
    """Every name in a query that could be a dataset's, each once; unquoted ones in lower case."""
    without_texts = re.sub(r"'(?:[^']|'')*'", " ", sql)
    found = (
        quoted.replace('""', '"') if quoted else plain.lower()
        for quoted, plain in _NAMES.findall(without_texts)
    )
    return [name for name in dict.fromkeys(found) if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name)]


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def _print_table(rows: Iterator[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = list(islice(rows, _ROWS_SHOWN_MAX))
    if not shown:
        write_line("no rows")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name, value in shown[0].items():
        number = isinstance(value, int | float) or type(value).__name__ == "Decimal"
        table.add_column(Text(name), justify="right" if number else "left")
    for row in shown:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console().print(table)
    if next(rows, None) is not None:
        write_line(f"the first {_ROWS_SHOWN_MAX:,} rows; --json prints all")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if type(value).__name__ == "Decimal":
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return _plain(value)
