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
from sinks.moments import moment_of
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
        pa.field("_event_time", pa.timestamp("us", tz="UTC")),
    ]
)
PROPERTIES = {
    "delta.dataSkippingStatsColumns": "_key,_version",
    "delta.logRetentionDuration": "interval 2 days",
    "delta.deletedFileRetentionDuration": "interval 2 days",
}


class Tombstone(NamedTuple):
    """`key` was deleted at `version`, by the row at partition and offset, made of the change at
    `origin_offset` of its own topic; `at` is when, in microseconds since 1970."""

    key: str
    version: str
    table: str
    partition: int
    offset: int
    origin_offset: int
    at: int = 0


@dataclass(frozen=True, slots=True)
class LogStarts:
    """Where the logs begin that deletes of each rows partition could be replayed from.

    `rows` by partition of the rows topic; `changes` by source table, then by rows partition: the
    lowest start among the changes partitions that may feed it.
    """

    rows: Mapping[int, int] = field(default_factory=dict)
    changes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


class Tombstones:
    """The tombstones of one dataset: a Delta table, and its newest version by key in memory.

    Args:
        store: the table.
        namespace_id: of the namespace the log belongs to.
        every: remember all versions at which a key was deleted, and when, not the newest alone.
    """

    def __init__(self, store: TableStore, namespace_id: str, *, every: bool = False) -> None:
        self._store = store
        self._namespace_id = namespace_id
        self._newest: dict[str, str] = {}
        self._every: dict[str, dict[str, int]] | None = {} if every else None

    def __len__(self) -> int:
        return len(self._newest)

    def load(self) -> None:
        """Read what there is, as a new owner must."""
        self._newest = {}
        if self._every is not None:
            self._every = {}
        snapshot = self._store.open()
        if snapshot is None:
            return
        columns = ["_key", "_version"]
        if self._every is not None and "_event_time" in snapshot.schema.names:
            columns.append("_event_time")
        with lake_errors(self._store.uri):
            for batch in snapshot.delta.scan(columns=columns):
                found = pa.table(pa.record_batch(batch))
                keys, versions = found["_key"].to_pylist(), found["_version"].to_pylist()
                self._remember(keys, versions, _moments(found, versions))

    def _remember(
        self, keys: Sequence[str], versions: Sequence[str], moments: Iterable[int]
    ) -> None:
        newest = self._newest
        for key, version in zip(keys, versions, strict=True):
            if version > newest.get(key, ""):
                newest[key] = version
        if self._every is not None:
            for key, version, at in zip(keys, versions, moments, strict=True):
                self._every.setdefault(key, {})[version] = at

    def version(self, key: str) -> str:
        """The newest version at which the key was deleted, "" if none is known."""
        return self._newest.get(key, "")

    def new_among(self, tombstones: Iterable[Tombstone]) -> list[Tombstone]:
        """Those that say something new."""
        if self._every is not None:
            return [stone for stone in tombstones if stone.version not in self.all_of(stone.key)]
        return [stone for stone in tombstones if stone.version > self.version(stone.key)]

    def all_of(self, key: str) -> Mapping[str, int]:
        """All versions at which the key was deleted, and when; where `every` is remembered."""
        return (self._every or {}).get(key, {})

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
        keys, versions, tables, partitions, offsets, origins, moments = columns
        namespaces = [self._namespace_id] * len(keys)
        arrays = [keys, versions, tables, namespaces, partitions, offsets, origins, moments]
        rows = pa.table([pa.array(a, f.type) for a, f in zip(arrays, SCHEMA, strict=True)], SCHEMA)
        with lake_errors(self._store.uri):
            write_deltalake(
                self._store.uri,
                rows,
                mode="append",
                schema_mode="merge",  # a release before did not write when
                storage_options=self._store.storage_options,
                post_commithook_properties=NO_HOOKS,
            )
        self._remember(keys, versions, moments)

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


def _moments(found: pa.Table, versions: Sequence[str]) -> list[int]:
    if "_event_time" not in found.column_names:
        return [moment_of(None, version) for version in versions]
    known = found["_event_time"].cast(pa.int64()).to_pylist()
    return [moment_of(at, version) for at, version in zip(known, versions, strict=True)]


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
