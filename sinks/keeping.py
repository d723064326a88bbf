"""How a table keeps what comes: one way per mode, between the commit protocol and the merge engine.

All ways put a batch and its app transactions into one commit on the snapshot they were given, and
come to the same table whatever the order, the batches and the repetitions of what comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sinks.columns import EVENT_TIME
from sinks.engine import MergeEngine
from sinks.histories import HistoryTable
from sinks.keys import older_rows
from sinks.layout import DELETED, DELETED_AT, OPERATION, Layout
from sinks.ledger import Ledger
from sinks.moments import epoch_moment
from sinks.rules import CURRENT, DELETE_VERSION, LOG, SOFT, Merged
from sinks.table import Snapshot
from sinks.tombstones import Tombstones

Transactions = Mapping[str, int]


class Keeping(Protocol):
    """What a mode does with changes and seals."""

    def apply(
        self, snapshot: Snapshot, changes: pa.Table, transactions: Transactions, ledger: Ledger
    ) -> Merged:
        """Put changes into the table; `ledger` is the one after them.

        Raises:
            TableError: it failed, or may have.
        """

    def seal(self, snapshot: Snapshot, table: str, epoch: int, transactions: Transactions) -> bool:
        """End what older epochs left of a source table; whether there was a commit.

        Raises:
            TableError: it failed, or may have.
        """


class CurrentTable:
    """Live rows; deletes and what a snapshot did not meet go out."""

    def __init__(self, engine: MergeEngine, layout: Layout, tables: Sequence[str]) -> None:
        self._engine = engine
        self._rule = CURRENT.pruned_by(layout.stable_partitions)
        self._tables = tables

    def apply(
        self, snapshot: Snapshot, changes: pa.Table, transactions: Transactions, ledger: Ledger
    ) -> Merged:
        """See `Keeping`."""
        del ledger
        return self._engine.apply(snapshot, changes, transactions, self._rule)

    def seal(self, snapshot: Snapshot, table: str, epoch: int, transactions: Transactions) -> bool:
        """See `Keeping`."""
        return self._engine.take_out(snapshot, table, self._tables, epoch, transactions)


class SoftTable:
    """The same, but what goes out stays, flagged."""

    def __init__(
        self,
        engine: MergeEngine,
        layout: Layout,
        tables: Sequence[str],
        tombstones: Tombstones,
    ) -> None:
        self._engine = engine
        self._rule = SOFT.pruned_by(layout.stable_partitions)
        self._tables = tables
        self._tombstones = tombstones

    def apply(
        self, snapshot: Snapshot, changes: pa.Table, transactions: Transactions, ledger: Ledger
    ) -> Merged:
        """See `Keeping`."""
        del ledger
        return self._engine.apply(snapshot, self._flagged(changes), transactions, self._rule)

    def _flagged(self, changes: pa.Table) -> pa.Table:
        """Upserts that a newer delete is known of are deleted rows, in whatever order they came."""
        keys, versions = changes["_key"].to_pylist(), changes["_version"].to_pylist()
        upserted = pc.not_equal(changes[OPERATION], "delete").to_pylist()
        newest = [self._tombstones.version(key) for key in keys]
        flags = [
            not upsert or deleted > version
            for upsert, version, deleted in zip(upserted, versions, newest, strict=True)
        ]
        moments = [
            self._tombstones.all_of(key).get(deleted) if flag else None
            for key, deleted, flag in zip(keys, newest, flags, strict=True)
        ]
        columns = {
            DELETED: pa.array(flags, pa.bool_()),
            DELETED_AT: pa.array(moments, pa.int64()).cast(EVENT_TIME),
            DELETE_VERSION: pa.array(newest, pa.string()),
        }
        return _with_columns(changes, columns)

    def seal(self, snapshot: Snapshot, table: str, epoch: int, transactions: Transactions) -> bool:
        """See `Keeping`."""
        at = epoch_moment(epoch)
        predicate = f"{older_rows(table, self._tables, epoch)} AND {DELETED} IS NOT TRUE"
        flags = {DELETED: "true", DELETED_AT: f"to_timestamp_micros({at})"}
        return snapshot.update(predicate, flags, transactions)


class LogTable:
    """Every change once; nothing ever goes out."""

    def __init__(self, engine: MergeEngine, layout: Layout) -> None:
        self._engine = engine
        self._rule = LOG.pruned_by(layout.stable_partitions)

    def apply(
        self, snapshot: Snapshot, changes: pa.Table, transactions: Transactions, ledger: Ledger
    ) -> Merged:
        """See `Keeping`."""
        del ledger
        return self._engine.apply(snapshot, changes, transactions, self._rule)

    def seal(self, snapshot: Snapshot, table: str, epoch: int, transactions: Transactions) -> bool:
        """See `Keeping`: a log has nothing to end."""
        del snapshot, table, epoch, transactions
        return False


def keeping(
    layout: Layout, engine: MergeEngine, tables: Sequence[str], tombstones: Tombstones
) -> Keeping:
    """The way of this layout."""
    if layout.mode == "log":
        return LogTable(engine, layout)
    if layout.mode == "history":
        return HistoryTable(engine, layout, tables, tombstones)
    if layout.soft:
        return SoftTable(engine, layout, tables, tombstones)
    return CurrentTable(engine, layout, tables)


def _with_columns(rows: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    for name, values in columns.items():
        at = rows.schema.get_field_index(name)
        if at < 0:
            rows = rows.append_column(name, values)
        else:
            rows = rows.set_column(at, rows.schema.field(at), values)
    return rows
