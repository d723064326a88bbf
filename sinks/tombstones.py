"""Tombstones: which keys were deleted at which version, kept beside the table that holds live rows.

A deleted row leaves nothing behind that a late or replayed upsert could be compared with, so it
would rise again. A tombstone is a fact of the log (this key was deleted at this version), true
whoever writes it and however often: that is why they are written *before* the merge and need no
fencing. One goes only when nothing that it guards against can come any more: its epoch is sealed
and its offsets lie below the start of both logs it could be replayed from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
from deltalake import write_deltalake

from sinks.keys import sql_text
from sinks.ledger import version_above
from sinks.table import NO_HOOKS, Snapshot, TableStore, commit_properties, lake_errors

SCHEMA = pa.schema(
    [
        pa.field("_key", pa.string()),
        pa.field("_version", pa.string()),
        pa.field("_table", pa.string()),
        pa.field("_namespace", pa.string()),
        pa.field("_partition", pa.int32()),
        pa.field("_offset", pa.int64()),
        pa.field("_origin_offset", pa.int64()),
    ]
)
PROPERTIES = {
    "delta.dataSkippingStatsColumns": "_key,_version",
    "delta.logRetentionDuration": "interval 2 days",
    "delta.deletedFileRetentionDuration": "interval 2 days",
}


class Tombstone(NamedTuple):
    """`key` was deleted at `version`, by the row at partition and offset, made of the change at
    `origin_offset` of its own topic."""

    key: str
    version: str
    table: str
    partition: int
    offset: int
    origin_offset: int


@dataclass(frozen=True, slots=True)
class LogStarts:
    """Where the logs begin that deletes of each rows partition could be replayed from.

    `rows` by partition of the rows topic; `changes` by source table, then by rows partition: the
    lowest start among the changes partitions that may feed it.
    """

    rows: Mapping[int, int] = field(default_factory=dict)
    changes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


class Tombstones:
    """The tombstones of one dataset: a Delta table, and its newest version by key in memory."""

    def __init__(self, store: TableStore, namespace_id: str) -> None:
        self._store = store
        self._namespace_id = namespace_id
        self._newest: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def load(self) -> None:
        """Read what there is, as a new owner must."""
        newest: dict[str, str] = {}
        snapshot = self._store.open()
        if snapshot is not None:
            with lake_errors(self._store.uri):
                for batch in snapshot.delta.scan(columns=["_key", "_version"]):
                    columns = pa.record_batch(batch).to_pydict()
                    for key, version in zip(columns["_key"], columns["_version"], strict=True):
                        if version > newest.get(key, ""):
                            newest[key] = version
        self._newest = newest

    def version(self, key: str) -> str:
        """The newest version at which the key was deleted, "" if none is known."""
        return self._newest.get(key, "")

    def new_among(self, tombstones: Iterable[Tombstone]) -> list[Tombstone]:
        """Those that say something new."""
        return [stone for stone in tombstones if stone.version > self.version(stone.key)]

    def write(self, tombstones: Sequence[Tombstone]) -> None:
        """Make them durable; only then are they known here.

        Raises:
            TableError: they may or may not have landed; writing them again is harmless.
        """
        if not tombstones:
            return
        if self._store.open() is None:
            self._store.create(SCHEMA, name="tombstones", description="", properties=PROPERTIES)
        columns = list(zip(*tombstones, strict=True))
        keys, versions, tables, partitions, offsets, origins = columns
        namespaces = [self._namespace_id] * len(keys)
        arrays = [keys, versions, tables, namespaces, partitions, offsets, origins]
        rows = pa.table([pa.array(a, f.type) for a, f in zip(arrays, SCHEMA, strict=True)], SCHEMA)
        with lake_errors(self._store.uri):
            write_deltalake(
                self._store.uri,
                rows,
                mode="append",
                storage_options=self._store.storage_options,
                post_commithook_properties=NO_HOOKS,
            )
        self._newest.update(zip(keys, versions, strict=True))

    def snapshot(self) -> Snapshot | None:
        """The table itself, for maintenance."""
        return self._store.open()

    def purge(self, sealed: Mapping[str, int], starts: LogStarts) -> bool:
        """Drop those nothing can come for any more; whether any were."""
        predicate = purge_predicate(self._namespace_id, sealed, starts)
        snapshot = self._store.open() if predicate and self._newest else None
        if snapshot is None or not predicate:
            return False
        with lake_errors(self._store.uri):
            done = snapshot.delta.delete(
                predicate,
                commit_properties=commit_properties({}),
                post_commithook_properties=NO_HOOKS,
            )
        if not done["num_removed_files"]:
            return False
        self.load()
        return True


def purge_predicate(namespace_id: str, sealed: Mapping[str, int], starts: LogStarts) -> str:
    """SQL for the tombstones that may go, "" for none.

    Of another namespace no log is left at all, so there a sealed epoch above theirs is enough: the
    floor drops all that could come.
    """
    ours, others = f"_namespace = {sql_text(namespace_id)}", []
    for table, epoch in sealed.items():
        if not epoch:
            continue
        of_table = f"_table = {sql_text(table)} AND _version < {sql_text(version_above(epoch))}"
        older = version_above(epoch - 1) if epoch > 1 else ""
        if older:
            others.append(
                f"(_table = {sql_text(table)} AND _version < {sql_text(older)} AND NOT ({ours}))"
            )
        for partition, start in starts.rows.items():
            changes = starts.changes.get(table, {}).get(partition, 0)
            if start > 0 and changes > 0:
                others.append(
                    f"({of_table} AND {ours} AND _partition = {partition} "
                    f"AND _offset < {start} AND _origin_offset < {changes})"
                )
    return " OR ".join(others)
