"""Two sets of rows compared on disk: memory stays small however large the tables are.

Both sides are written to a scratch database as (row key, canonical value); the differences are
joins. Each differing key is a `Candidate`: a difference seen once, which may only be on its way.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

_BATCH = 5_000
_INSERT_SOURCE = "INSERT OR REPLACE INTO source VALUES (?, ?, ?)"

Difference = Literal["missing", "extra", "different"]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as it should be: its key, its item's key, its canonical value.

    `value` is None for an item that can't become a row at all.
    """

    row_key: str
    item_key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row as it lies in the table."""

    row_key: str
    version: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key whose two sides differ; a side that has no row is None."""

    row_key: str
    item_key: str | None
    kind: Difference
    source: bytes | None
    table: bytes | None
    version: str | None


class Comparison:
    """A scratch database for one comparison; a context manager that removes it.

    Args:
        kept: a file that stays when the comparison is interrupted; the next one of that name has
            its expected rows and goes on from its `mark`.
    """

    def __init__(self, kept: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tailrace-verify-")
        self._kept = kept
        file = kept or Path(self._folder.name) / "rows.db"
        file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(file, isolation_level=None)
        # What is kept has to outlive the process at any moment; the other dies with it.
        journal = "WAL" if kept else "OFF"
        self._database.executescript(
            f"""
            PRAGMA journal_mode = {journal};
            PRAGMA synchronous = OFF;
            CREATE TABLE IF NOT EXISTS
                source (row_key TEXT PRIMARY KEY, item_key TEXT, value BLOB) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS mark (number INTEGER PRIMARY KEY, place TEXT);
            DROP TABLE IF EXISTS found;
            CREATE TABLE found (row_key TEXT, version TEXT, value BLOB);
            """
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()
        if self._kept is not None and kind is None:
            forget(self._kept)
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    @property
    def mark(self) -> str | None:
        """Where a run that was interrupted had come to, as `add_step` was told."""
        found = self._database.execute("SELECT place FROM mark").fetchone()
        return None if found is None else str(found[0])

    def add_step(self, rows: Iterable[SourceRow], mark: str) -> None:
        """Add expected rows, and remember with them how far the source was read."""
        values = [(row.row_key, row.item_key, row.value) for row in rows]
        self._database.execute("BEGIN")
        self._database.executemany(_INSERT_SOURCE, values)
        self._database.execute("INSERT OR REPLACE INTO mark VALUES (0, ?)", (mark,))
        self._database.execute("COMMIT")

    @property
    def expected(self) -> int:
        """How many expected rows there are."""
        (count,) = self._database.execute("SELECT count(*) FROM source").fetchone()
        return int(count)

    def add_source(self, rows: Iterable[SourceRow]) -> int:
        """Add expected rows; how many."""
        return self._add(
            _INSERT_SOURCE,
            ((row.row_key, row.item_key, row.value) for row in rows),
        )

    def add_table(self, rows: Iterable[TableRow]) -> int:
        """Add rows of the table; how many."""
        added = self._add(
            "INSERT INTO found VALUES (?, ?, ?)",
            ((row.row_key, row.version, row.value) for row in rows),
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS by_key ON found (row_key)")
        return added

    def _add(self, statement: str, rows: Iterable[tuple[object, ...]]) -> int:
        total = 0
        for batch in _batched(rows):
            self._database.execute("BEGIN")
            self._database.executemany(statement, batch)
            self._database.execute("COMMIT")
            total += len(batch)
        return total

    def candidates(self) -> Iterator[Candidate]:
        """Every key whose sides differ. A key the table holds twice is extra."""
        found = self._database.execute(
            """
            SELECT s.row_key, s.item_key, s.value, f.value, f.version, f.row_key IS NULL
            FROM source s LEFT JOIN found f ON f.row_key = s.row_key
            WHERE f.row_key IS NULL OR s.value IS NULL OR f.value != s.value
            """
        )
        for row_key, item_key, source, table, version, absent in found:
            kind: Difference = "missing" if absent else "different"
            yield Candidate(row_key, item_key, kind, source, table, version)
        extra = self._database.execute(
            """
            SELECT f.row_key, f.value, f.version FROM found f
            WHERE NOT EXISTS (SELECT 1 FROM source s WHERE s.row_key = f.row_key)
            UNION ALL
            SELECT row_key, value, max(version) FROM found GROUP BY row_key HAVING count(*) > 1
            """
        )
        for row_key, table, version in extra:
            yield Candidate(row_key, None, "extra", None, table, version)


def forget(kept: Path) -> None:
    """Remove what an interrupted comparison kept."""
    for suffix in ("", "-wal", "-shm"):
        kept.with_name(kept.name + suffix).unlink(missing_ok=True)


def _batched(rows: Iterable[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    batch: list[tuple[object, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
