"""Merge engines: how changes become the table's next version. One seam, so that a second engine can
come in (deletion vectors with a key index) without the commit protocol, tombstones, schemas or
maintenance knowing which one works.

An engine gets at most one change per row, already cleared of what tombstones and floor forbid, and
a rule that says which row of the table a change speaks of and what it does there. It must apply it
so, commit on exactly the snapshot it was given together with the app transactions, and say whether
it made a commit at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sinks.conditions import known
from sinks.copying import copies
from sinks.keys import older_rows, quoted
from sinks.known_keys import KnownKeys
from sinks.layout import DELETED, DELETED_AT, OPERATION
from sinks.merging import merge_by_copying, take_out_by_copying
from sinks.rules import CURRENT, Merged, MergeRule
from sinks.table import NO_HOOKS, WRITER, Snapshot, commit_properties, lake_errors


class MergeEngine(Protocol):
    """Applies one batch of changes to one snapshot."""

    def apply(
        self,
        snapshot: Snapshot,
        changes: pa.Table,
        transactions: Mapping[str, int],
        rule: MergeRule = CURRENT,
    ) -> Merged:
        """Merge `changes` (the table's columns plus `_op`) and commit with `transactions`.

        Raises:
            TableError: it failed, or may have; a fresh snapshot tells.
        """

    def take_out(
        self,
        snapshot: Snapshot,
        table: str,
        tables: Sequence[str],
        epoch: int,
        transactions: Mapping[str, int],
    ) -> bool:
        """Take out the rows of `table`, one of `tables`, that are left over from epochs below
        `epoch`; whether there was a commit, which there is not where no row is.

        Raises:
            TableError: it failed, or may have; a fresh snapshot tells.
        """


class DeltaMerge:
    """Copy-on-write, readable by everything that reads Delta.

    Proven inserts are appended: by the files' own bounds, or by the keys it remembers. Else files
    that hold what changes are copied, a few megabytes at a time; by delta-rs's MERGE and DELETE
    where the table has what only those know, whatever memory they take.
    """

    def __init__(self, known_keys: KnownKeys | None = None) -> None:
        self._known_keys = known_keys or KnownKeys()

    def apply(
        self,
        snapshot: Snapshot,
        changes: pa.Table,
        transactions: Mapping[str, int],
        rule: MergeRule = CURRENT,
    ) -> Merged:
        """See `MergeEngine`."""
        whole_log = rule.insert == "true"
        upserts = changes.num_rows if whole_log else changes.num_rows - _count(changes, "delete")
        keys = changes["_key"].to_pylist()
        entries = changes["_version"].to_pylist() if "_version" in rule.on else None
        if upserts == changes.num_rows and self._all_new(snapshot, keys, entries):
            snapshot.append(changes.select(_kept(snapshot, changes)), transactions)
            merged = Merged(committed=True, upserted=upserts, appended=True)
        else:
            copying = copies(snapshot) and known(rule)
            merge = merge_by_copying if copying else _merge
            merged = merge(snapshot, changes, transactions, rule)
        self._known_keys.committed(snapshot, keys)
        return merged

    def take_out(
        self,
        snapshot: Snapshot,
        table: str,
        tables: Sequence[str],
        epoch: int,
        transactions: Mapping[str, int],
    ) -> bool:
        """See `MergeEngine`."""
        if copies(snapshot):
            return take_out_by_copying(snapshot, table, tables, epoch, transactions)
        return snapshot.delete(older_rows(table, tables, epoch), transactions)

    def _all_new(
        self, snapshot: Snapshot, keys: Sequence[str], entries: Sequence[str] | None
    ) -> bool:
        """Whether this very snapshot proves that no live row is one that a change speaks of;
        `entries` are the versions, where key and version make a row."""
        return snapshot.lacks_all(keys, entries) or self._known_keys.lacks(snapshot, keys)


def _merge(
    snapshot: Snapshot, changes: pa.Table, transactions: Mapping[str, int], rule: MergeRule
) -> Merged:
    columns = {quoted(name): f"s.{quoted(name)}" for name in _kept(snapshot, changes)}
    with lake_errors(snapshot.uri):
        merger = snapshot.delta.merge(
            changes,
            rule.predicate,
            source_alias="s",
            target_alias="t",
            # The source's key bounds prune files only this way.
            streamed_exec=False,
            writer_properties=WRITER,
            commit_properties=commit_properties(transactions),
            post_commithook_properties=NO_HOOKS,
        )
        if rule.delete:
            merger = merger.when_matched_delete(rule.delete)
        merger = merger.when_matched_update(columns, rule.update)
        if rule.flag:
            flags = {quoted(DELETED): "true", quoted(DELETED_AT): f"s.{quoted(DELETED_AT)}"}
            merger = merger.when_matched_update(flags, rule.flag)
        insert = None if rule.insert == "true" else rule.insert
        done = merger.when_not_matched_insert(columns, insert).execute()
    return Merged(
        committed=bool(done["num_target_files_added"] or done["num_target_files_removed"]),
        upserted=done["num_target_rows_inserted"] + done["num_target_rows_updated"],
        deleted=done["num_target_rows_deleted"],
        files_rewritten=done["num_target_files_removed"],
    )


def _kept(snapshot: Snapshot, changes: pa.Table) -> list[str]:
    there = frozenset(snapshot.schema.names)
    return [name for name in changes.column_names if name in there]


def _count(changes: pa.Table, operation: str) -> int:
    found: int = pc.sum(pc.equal(changes[OPERATION], operation)).as_py()
    return found or 0
