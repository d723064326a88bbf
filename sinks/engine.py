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
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sinks.keys import quoted
from sinks.known_keys import KnownKeys
from sinks.layout import DELETED, DELETED_AT, OPERATION
from sinks.table import NO_HOOKS, Snapshot, commit_properties, lake_errors

DELETE_VERSION = "_delete_version"
"""Where deleted rows stay: the newest version at which a change's key was deleted, "" for none."""
_NEWER = "s._version > t._version"


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the changes. `committed` is False where nothing in the table changed: the app
    transactions are then still to be written."""

    committed: bool
    upserted: int = 0
    deleted: int = 0
    appended: bool = False
    files_rewritten: int = 0


@dataclass(frozen=True, slots=True)
class MergeRule:
    """What changes (`s`) do to the rows of a table (`t`), as SQL conditions.

    `on` are the columns by which a change finds its row; `delete`, `update` and `flag` say when one
    that finds it takes it out, takes its place, or only flags it as deleted; `insert` when one that
    finds none is put in. "" is never. `prune`: partition columns equal in both.
    """

    on: tuple[str, ...] = ("_key",)
    delete: str = f"s.{OPERATION} = 'delete' AND {_NEWER}"
    update: str = f"s.{OPERATION} = 'upsert' AND {_NEWER}"
    insert: str = f"s.{OPERATION} = 'upsert'"
    flag: str = ""
    prune: tuple[str, ...] = ()

    def pruned_by(self, columns: Sequence[str]) -> MergeRule:
        """The rule for a table with these stable partition columns."""
        return replace(self, prune=tuple(columns))

    @property
    def predicate(self) -> str:
        """How a change finds its row."""
        equal = [f"t.{quoted(name)} = s.{quoted(name)}" for name in self.on]
        for column in map(quoted, self.prune):
            # What has no time has no day; NULL equals nothing.
            either = f"t.{column} = s.{column} OR (t.{column} IS NULL AND s.{column} IS NULL)"
            equal.append(f"({either})")
        return " AND ".join(equal)


CURRENT = MergeRule()
"""Rows by key; deletes take them out."""
SOFT = MergeRule(
    delete="",
    # The newest delete says when, and clocks need not follow versions.
    flag=f"s.{DELETE_VERSION} > t._version AND (t.{DELETED} IS NOT TRUE "
    f"OR t.{DELETED_AT} IS NULL OR s.{DELETED_AT} <> t.{DELETED_AT})",
)
"""Rows by key; deletes flag them. A row's version stays that of its columns."""
LOG = MergeRule(
    on=("_key", "_version"),
    delete="",
    update=f"t.{OPERATION} = 'delete' AND s.{OPERATION} <> 'delete'",
    insert="true",
)
"""Entries by key and version; of one version an upsert beats a delete."""
EXACT = MergeRule(
    on=("_key", "_version"),
    delete=f"s.{OPERATION} = 'delete'",
    update=f"s.{OPERATION} = 'upsert'",
)
"""Rows by key and version, as somebody worked them out on this very snapshot."""


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


class DeltaMerge:
    """delta-rs MERGE: copy-on-write, readable by everything that reads Delta.

    Proven inserts are appended: by the files' own bounds, or by the keys it remembers.
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
            merged = _merge(snapshot, changes, transactions, rule)
        self._known_keys.committed(snapshot, keys)
        return merged

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
