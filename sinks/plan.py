"""What a commit will do, decided from a batch and what the table's ledger and tombstones say. Pure.

In this order: rows below their table's floor are left over from older epochs and dropped; of each
key the newest row stays; an upsert that is older than its key's tombstone is stale. Deletes always
go to the merge: only it knows whether there is a row. A tombstone of the same version does not hold
an upsert back, for an upsert beats a delete of equal version, in whatever order they come.

Where deleted rows stay (`soft`), the newest upsert and the newest delete of a key are both needed.
A log and a history take every change once, whatever its version.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bridge.wire.errors import TailraceError
from bridge.wire.rowkeys import key_prefix
from bridge.wire.version import EPOCH_DIGITS
from sinks.keys import table_of
from sinks.layout import Layout
from sinks.ledger import Ledger
from sinks.moments import row_moment
from sinks.rows import Batch, Row, Unfit, entries_of, newest_of_each_key
from sinks.tombstones import Tombstone

TombstoneVersion = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes to merge, tombstones to write before, and what was left out and why.

    `newest` are the epochs of what goes in, by source table; `unfit` rows whose key names no table.
    """

    upserts: Sequence[Row]
    deletes: Sequence[Row]
    tombstones: Sequence[Tombstone]
    newest: Mapping[str, int]
    unfit: Sequence[Unfit]
    below_floor: int
    collapsed: int
    stale: int


def plan_commit(
    batch: Batch,
    ledger: Ledger,
    tables: Sequence[str],
    tombstone_version: TombstoneVersion,
    *,
    set_aside: Collection[tuple[int, int]] = (),
    layout: Layout | None = None,
) -> Plan:
    """The plan for a batch; rows at a place in `set_aside` are dead letters already."""
    layout = layout or Layout()
    rows = batch.rows
    if set_aside:
        rows = [row for row in rows if row.place not in set_aside]
    every = layout.mode != "current"
    current, unfit, below_floor = _above_floor(rows, ledger, tables, keep_all=every)
    if every:
        found, stale = entries_of(current), 0
        upserts = [row for row in found if not row.deleted]
        deletes = [row for row in found if row.deleted]
    elif layout.soft:
        upserts, deletes, stale = _newest_of_both(current)
    else:
        upserts, deletes, stale = _newest(current, tombstone_version)
    guarded = deletes if layout.mode != "log" else []
    if layout.soft:
        guarded = list(newest_of_each_key(row for row in current if row.deleted).values())
    return Plan(
        upserts=upserts,
        deletes=deletes,
        tombstones=[_tombstone(row, tables) for row in guarded],
        newest=_newest_epochs(upserts, tables),
        unfit=unfit,
        below_floor=below_floor,
        collapsed=len(current) - len(upserts) - len(deletes) - stale,
        stale=stale,
    )


def _newest(
    rows: Sequence[Row], tombstone_version: TombstoneVersion
) -> tuple[list[Row], list[Row], int]:
    """Upserts, deletes, and how many upserts are stale."""
    upserts, deletes, stale = [], [], 0
    for row in newest_of_each_key(rows).values():
        if row.deleted:
            deletes.append(row)
        elif row.version < tombstone_version(row.key):
            stale += 1
        else:
            upserts.append(row)
    return upserts, deletes, stale


def _newest_of_both(rows: Sequence[Row]) -> tuple[list[Row], list[Row], int]:
    """The newest upsert of each key, and the newest delete of those that have none here."""
    upserts = newest_of_each_key(row for row in rows if not row.deleted)
    deletes = newest_of_each_key(row for row in rows if row.deleted)
    alone = [row for key, row in deletes.items() if key not in upserts]
    return list(upserts.values()), alone, 0


def check_known(batch: Batch, tables: Sequence[str]) -> None:
    """Refuse a batch with rows or seals of a table that this process has not heard of yet.

    Raises:
        UnknownTableError: the set of tables has grown; the batch is to be read again with it.
    """
    prefixes = tuple(map(key_prefix, tables))
    for row in batch.rows:
        if not row.key.startswith(prefixes):
            raise UnknownTableError("rows of a table that was found a moment ago")
    for seal in batch.seals:
        if seal.table not in tables:
            raise UnknownTableError(f"a seal of table {seal.table}, found a moment ago")


class UnknownTableError(TailraceError):
    """A table was found by its tags that this process does not know yet; it soon will."""

    retryable: ClassVar[bool] = True


def _above_floor(
    rows: Sequence[Row], ledger: Ledger, tables: Sequence[str], *, keep_all: bool
) -> tuple[Sequence[Row], list[Unfit], int]:
    if len(tables) == 1:
        floor = "" if keep_all else ledger.feeds[tables[0]].floor
        kept = [row for row in rows if row.version >= floor] if floor else rows
        return kept, [], len(rows) - len(kept)
    kept, unfit = [], []
    for row in rows:
        table = table_of(row.key, tables)
        if table is None:
            reason = "_key begins with none of the tables that feed the dataset"
            unfit.append(Unfit(row.message, row.fingerprint, "WireError", reason))
        elif keep_all or row.version >= ledger.feeds[table].floor:
            kept.append(row)
    return kept, unfit, len(rows) - len(kept) - len(unfit)


def _tombstone(row: Row, tables: Sequence[str]) -> Tombstone:
    partition, offset = row.place
    table = table_of(row.key, tables) or ""
    at = row_moment(row)
    return Tombstone(row.key, row.version, table, partition, offset, row.origin_offset, at)


def _newest_epochs(rows: Iterable[Row], tables: Sequence[str]) -> dict[str, int]:
    newest: dict[str, str] = {}
    for row in rows:
        table = table_of(row.key, tables) or ""
        if row.version > newest.get(table, ""):
            newest[table] = row.version
    return {table: int(version[:EPOCH_DIGITS]) for table, version in newest.items()}
