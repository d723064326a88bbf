"""Merge engines: how changes become the table's next version. One seam, so that a second engine can
come in (deletion vectors with a key index) without the commit protocol, tombstones, schemas or
maintenance knowing which one works.

An engine gets at most one change per key, already cleared of what tombstones and floor forbid, and
must apply it only where its version is above the live row's, commit on exactly the snapshot it was
given together with the app transactions, and say whether it made a commit at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sinks.arrow import OPERATION
from sinks.known_keys import KnownKeys
from sinks.table import NO_HOOKS, Snapshot, commit_properties, lake_errors


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the changes. `committed` is False where nothing in the table changed: the app
    transactions are then still to be written."""

    committed: bool
    upserted: int = 0
    deleted: int = 0
    appended: bool = False
    files_rewritten: int = 0


class MergeEngine(Protocol):
    """Applies one batch of changes to one snapshot."""

    def apply(
        self, snapshot: Snapshot, changes: pa.Table, transactions: Mapping[str, int]
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
        self, snapshot: Snapshot, changes: pa.Table, transactions: Mapping[str, int]
    ) -> Merged:
        upserts = changes.num_rows - _count(changes, "delete")
        keys = changes["_key"].to_pylist()
        if upserts == changes.num_rows and self._all_new(snapshot, keys):
            snapshot.append(changes.drop_columns([OPERATION]), transactions)
            merged = Merged(committed=True, upserted=upserts, appended=True)
        else:
            merged = self._merge(snapshot, changes, transactions)
        self._known_keys.committed(snapshot, keys)
        return merged

    def _all_new(self, snapshot: Snapshot, keys: Sequence[str]) -> bool:
        """Whether this very snapshot proves that no live row has any of the keys."""
        return snapshot.lacks(sorted(keys)) or self._known_keys.lacks(snapshot, keys)

    def _merge(
        self, snapshot: Snapshot, changes: pa.Table, transactions: Mapping[str, int]
    ) -> Merged:
        columns = {
            _quoted(name): f"s.{_quoted(name)}"
            for name in changes.column_names
            if name != OPERATION
        }
        newer = "s._version > t._version"
        with lake_errors(snapshot.uri):
            done = (
                snapshot.delta.merge(
                    changes,
                    "t._key = s._key",
                    source_alias="s",
                    target_alias="t",
                    # The source's key bounds prune files only this way.
                    streamed_exec=False,
                    commit_properties=commit_properties(transactions),
                    post_commithook_properties=NO_HOOKS,
                )
                .when_matched_delete(f"s.{OPERATION} = 'delete' AND {newer}")
                .when_matched_update(columns, f"s.{OPERATION} = 'upsert' AND {newer}")
                .when_not_matched_insert(columns, f"s.{OPERATION} = 'upsert'")
                .execute()
            )
        return Merged(
            committed=bool(done["num_target_files_added"] or done["num_target_files_removed"]),
            upserted=done["num_target_rows_inserted"] + done["num_target_rows_updated"],
            deleted=done["num_target_rows_deleted"],
            files_rewritten=done["num_target_files_removed"],
        )


def _count(changes: pa.Table, operation: str) -> int:
    found: int = pc.sum(pc.equal(changes[OPERATION], operation)).as_py()
    return found or 0


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
