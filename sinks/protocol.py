"""The commit protocol: every batch goes into the table exactly once, whoever else writes to it.

Step one of every commit is a fresh snapshot whose recorded offsets must be what this owner last
recorded. They differ when another owner took over while this one slept, or when a commit of ours
that was reported failed has landed after all: then the batch is dropped and reading goes on from
the table's own offsets. All that follows is decided from that one snapshot and committed onto it or
not at all. So the table's offsets always speak of exactly the rows that are in it, and a zombie can
delay its successor by one commit but never double, lose or undo anything.

Order within one batch: dead letters (acknowledged), tombstones, then the merge with offsets and
passed seals in one Delta commit, then, once all seals of an epoch are passed, the sealing commit
that takes out what older epochs left. A row of an older epoch beside the last seal in one batch is
thus merged and taken out again, never the other way round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from bridge.wire.errors import ConfigurationError, FencedError
from bridge.wire.schemas import Schema
from sinks import failpoints
from sinks.arrow import convert
from sinks.columns import OWN_NAMES, missing_fields
from sinks.dataset import Target
from sinks.engine import MergeEngine
from sinks.failpoints import Failpoint
from sinks.keeping import keeping
from sinks.ledger import (
    LOADING,
    Feed,
    Ledger,
    LedgerNames,
    ledger_transactions,
    read_ledger,
    whole_ledger,
)
from sinks.plan import Plan, check_known, plan_commit
from sinks.properties import check_layout, outdated_metadata, table_properties
from sinks.rows import Batch, Unfit
from sinks.rules import Merged
from sinks.table import SNAPSHOT_PROPERTY, Snapshot, TableStore
from sinks.tombstones import Tombstones

logger = logging.getLogger(__name__)

_MOVED = {True: "a commit reported failed has landed", False: "another owner writes to this table"}
SetAside = Callable[[Sequence[Unfit]], None]
"""Writes dead letters; on return they are acknowledged."""


class PositionsMovedError(FencedError):
    """The table's offsets are not what this owner last recorded: the batch must be dropped.

    `offsets` are the table's; `by_us` tells that they are those of a commit of ours that was
    reported failed.
    """

    def __init__(self, offsets: Mapping[int, int], *, by_us: bool, where: str) -> None:
        super().__init__(_MOVED[by_us], where=where)
        self.offsets = offsets
        self.by_us = by_us


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a batch, in rows; `files_rewritten`: files that lost rows to new ones."""

    version: int
    upserted: int = 0
    deleted: int = 0
    stale: int = 0
    collapsed: int = 0
    below_floor: int = 0
    dead_lettered: int = 0
    files_rewritten: int = 0


class TableWriter:
    """Writes one dataset's table, as one owner from its assignment to its end.

    Args:
        target: the dataset and the tables that feed it.
        names: ids of the app transactions.
        partitions: of the rows topic.
        store: the table.
        tombstones: beside it.
        engine: how changes are merged.
        set_aside: writes dead letters.
        failpoint: where tests kill.
    """

    def __init__(
        self,
        *,
        target: Target,
        names: LedgerNames,
        partitions: Sequence[int],
        store: TableStore,
        tombstones: Tombstones,
        engine: MergeEngine,
        set_aside: SetAside,
        failpoint: Failpoint = failpoints.never,
    ) -> None:
        self._target = target
        self._names = names
        self._partitions = partitions
        self._store = store
        self._tombstones = tombstones
        self._layout = target.dataset.layout
        self._keeping = keeping(self._layout, engine, target.tables, tombstones)
        self._write_dead_letters = set_aside
        self._failpoint = failpoint
        self._ledger = self._empty_ledger()
        self._version = -1
        self._generation: int | None = None
        self._shown: str | None = None
        self._attempted: Mapping[int, int] | None = None
        self._set_aside: set[tuple[int, int]] = set()

    @property
    def ledger(self) -> Ledger:
        """What this owner last recorded, or found recorded."""
        return self._ledger

    @property
    def namespace_id(self) -> str:
        """Of the namespace its offsets belong to."""
        return self._names.namespace_id

    @property
    def version(self) -> int:
        """The table's version as last seen, -1 before there is a table."""
        return self._version

    def open(self) -> Ledger:
        """Start as a new owner: read the table's ledger and tombstones, finish a due seal."""
        snapshot = self._store.open()
        if snapshot is not None and OWN_NAMES.issubset(snapshot.schema.names):
            check_layout(snapshot, self._target.dataset)
        self._adopt(self._read(snapshot), snapshot)
        self._generation = self._generation_of(snapshot)
        self._tombstones.load()
        self._describe()
        self.seal_what_is_due()
        return self._ledger

    def commit(self, batch: Batch, schemas: Mapping[str, Schema]) -> Committed:
        """Put a batch into the table, exactly once.

        Raises:
            TableError: nothing is known to have landed; call again with the same batch.
            PositionsMovedError: drop the batch and go on from the error's offsets, if at all.
        """
        self._failpoint(failpoints.BEFORE_SNAPSHOT)
        snapshot, plan, changes = self._prepare(batch, schemas)
        self._failpoint(failpoints.BEFORE_TOMBSTONES)
        self._tombstones.write(self._tombstones.new_among(plan.tombstones))
        self._failpoint(failpoints.AFTER_TOMBSTONES)
        after = self._ledger.passed(batch.next_offsets, batch.seals, plan.newest)
        merged = self._merge(snapshot, changes, after)
        done = Committed(
            version=self._version,
            upserted=merged.upserted,
            deleted=merged.deleted,
            stale=plan.stale + self._without_effect(plan, merged),
            collapsed=plan.collapsed,
            below_floor=plan.below_floor,
            dead_lettered=len(self._set_aside),
            files_rewritten=merged.files_rewritten,
        )
        self._set_aside.clear()
        return done

    def _without_effect(self, plan: Plan, merged: Merged) -> int:
        """Rows the table was newer than, at least: a history's neighbours are written too."""
        kept = len(plan.deletes) if self._layout.keeps_deletes else 0
        return max(0, len(plan.upserts) + kept - merged.upserted)

    def drop(self) -> None:
        """Forget what was begun for a batch that will not be committed."""
        self._set_aside.clear()

    def seal_what_is_due(self) -> None:
        """Take out what older epochs left, of every table whose seals are all passed.

        Raises:
            TableError, PositionsMovedError: as `commit`; it stays due.
        """
        for table in self._target.tables:
            self._seal(table)
        if self._version >= 0 and self._shown != self._ledger.snapshot_state:
            self._show(self._ledger.snapshot_state)

    def change_over(self, hidden: Snapshot, names: LedgerNames, partitions: Sequence[int]) -> None:
        """Put the rows of another generation in the place of this one's, in one commit.

        The offsets they stand at come with them, so whoever opens the table next goes on there.
        This writer is at its end: it belongs to the generation that was.

        Args:
            hidden: the other generation's rows, as one snapshot.
            names: of that generation.
            partitions: of its rows topic.

        Raises:
            TableError: nothing is known to have landed; call again.
            PositionsMovedError: another owner writes to the table, or the commit has landed before.
        """
        snapshot = self.fresh()
        while snapshot is None:
            self._make_table(hidden.schema)
            snapshot = self.fresh()
        read = hidden.transaction
        ledger = read_ledger(names, partitions, self._target.tables, read)
        transactions = whole_ledger(names, ledger) | {names.at_generation: names.generation}
        self._failpoint(failpoints.BEFORE_CHANGE_OVER)
        snapshot.replace(hidden.reader(), transactions, hidden.partitioned_by)
        self._failpoint(failpoints.AFTER_CHANGE_OVER)

    def fresh(self) -> Snapshot | None:
        """Step one: a fresh snapshot, on which this owner's last commit still stands.

        Raises:
            PositionsMovedError: it does not.
        """
        snapshot = self._store.open()
        version = snapshot.version if snapshot else -1
        if version == self._version:
            return snapshot
        found = self._read(snapshot)
        if self._generation_of(snapshot) != self._generation:
            # Another owner has changed over; or we have, and the answer got lost.
            raise PositionsMovedError(found.offsets, by_us=False, where=self._store.uri)
        moved = found.offsets != self._ledger.offsets
        by_us = moved and found.offsets == self._attempted
        if moved and not by_us:
            raise PositionsMovedError(found.offsets, by_us=False, where=self._store.uri)
        # Our own commit whose answer was lost, maintenance, or a commit of somebody's by hand.
        self._adopt(found, snapshot)
        if by_us:
            raise PositionsMovedError(found.offsets, by_us=True, where=self._store.uri)
        return snapshot

    def _adopt(self, ledger: Ledger, snapshot: Snapshot | None) -> None:
        self._ledger = ledger
        self._version = snapshot.version if snapshot else -1
        self._shown = snapshot.properties.get(SNAPSHOT_PROPERTY) if snapshot else None
        self._attempted = None

    def _prepare(
        self, batch: Batch, schemas: Mapping[str, Schema]
    ) -> tuple[Snapshot, Plan, pa.Table]:
        """A snapshot that can take the batch as it is, and what is to be done to it."""
        used = {row.fingerprint for row in batch.rows if not row.deleted}
        needed = [schemas[fingerprint] for fingerprint in sorted(used)]
        while True:
            snapshot = self.fresh()
            if snapshot is None:
                self._create(needed or list(schemas.values()))
                continue
            if not OWN_NAMES.issubset(snapshot.schema.names):
                raise self._foreign_table()
            missing = missing_fields(needed, snapshot.schema)
            if missing:
                self._add_columns(snapshot, missing)
                continue
            plan, changes = self._plan(batch, schemas, snapshot)
            # Readers are told before the first row of a new epoch, never after.
            will_be = self._ledger.passed({}, (), plan.newest).snapshot_state
            if will_be == LOADING != self._shown:
                self._show(LOADING)
                continue
            return snapshot, plan, changes

    def _plan(
        self, batch: Batch, schemas: Mapping[str, Schema], snapshot: Snapshot
    ) -> tuple[Plan, pa.Table]:
        """The plan without the rows that don't fit, which are dead letters on return."""
        if self._target.found:
            check_known(batch, self._target.tables)
        self._dead_letter(batch.unfit)
        tables, tombstone = self._target.tables, self._tombstones.version
        table, partitioned_by = snapshot.schema, snapshot.partitioned_by
        while True:
            plan = plan_commit(
                batch,
                self._ledger,
                tables,
                tombstone,
                set_aside=self._set_aside,
                layout=self._layout,
            )
            rows = [*plan.upserts, *plan.deletes]
            changes, unfit = convert(rows, schemas, table, partitioned_by)
            if not (unfit or plan.unfit):
                return plan, changes
            # Without them older rows of the same keys may be the newest.
            self._dead_letter([*unfit, *plan.unfit])

    def _dead_letter(self, unfit: Sequence[Unfit]) -> None:
        new = [letter for letter in unfit if letter.place not in self._set_aside]
        if new:
            self._write_dead_letters(new)
            self._set_aside.update(letter.place for letter in new)
            self._failpoint(failpoints.AFTER_DEAD_LETTERS)

    def _foreign_table(self) -> ConfigurationError:
        return ConfigurationError(
            "there is a table that no sink made: it lacks _key, _version or _event_time",
            where=self._store.uri,
            remedy="Move it away, or give the dataset another id",
        )

    def _describe(self) -> None:
        """What the declaration says of the table besides its rows: a commit of its own."""
        dataset = self._target.dataset
        for change in outdated_metadata(self.fresh(), dataset):
            snapshot = self.fresh()
            if snapshot is not None:
                self._failpoint(failpoints.BEFORE_METADATA)
                change(snapshot)
                self._version = snapshot.version + 1
                logger.info("metadata updated", extra={"table": self._store.uri})

    def _make_table(self, schema: pa.Schema) -> None:
        dataset = self._target.dataset
        self._store.create(
            schema,
            name=dataset.id,
            description=dataset.description,
            properties=table_properties(dataset),
            partition_by=[part.name for part in self._layout.partitions],
        )

    def _create(self, schemas: Sequence[Schema]) -> None:
        self._failpoint(failpoints.BEFORE_CREATE)
        self._make_table(pa.schema(missing_fields(schemas, None, self._layout)))
        self._failpoint(failpoints.AFTER_CREATE)

    def _add_columns(self, snapshot: Snapshot, fields: Sequence[pa.Field]) -> None:
        self._failpoint(failpoints.BEFORE_SCHEMA)
        snapshot.add_columns(fields)
        self._version = snapshot.version + 1
        self._failpoint(failpoints.AFTER_SCHEMA)
        added = {"table": self._store.uri, "columns": [field.name for field in fields]}
        logger.info("columns added", extra=added)

    def _merge(self, snapshot: Snapshot, changes: pa.Table, after: Ledger) -> Merged:
        transactions = ledger_transactions(self._names, after, self._ledger)
        self._attempted = after.offsets
        self._failpoint(failpoints.BEFORE_COMMIT)
        merged = Merged(committed=False)
        if changes.num_rows:
            merged = self._keeping.apply(snapshot, changes, transactions, after)
        if not merged.committed:
            snapshot.commit_transactions(transactions)
        self._failpoint(failpoints.AFTER_COMMIT)
        self._ledger, self._version, self._attempted = after, snapshot.version + 1, None
        return merged

    def _seal(self, table: str) -> None:
        if not self._ledger.feeds[table].due:
            return
        snapshot = self.fresh()
        epoch = self._ledger.feeds[table].due  # the fresh ledger may say that it is done
        if snapshot is None or not epoch:
            return
        after = self._ledger.sealed_at(table, epoch)
        transactions = ledger_transactions(self._names, after, self._ledger)
        self._failpoint(failpoints.BEFORE_SEAL)
        if not self._keeping.seal(snapshot, table, epoch, transactions):
            snapshot.commit_transactions(transactions)
        self._failpoint(failpoints.AFTER_SEAL)
        self._ledger, self._version = after, snapshot.version + 1
        logger.info("epoch sealed", extra={"table": table, "epoch": epoch})

    def _show(self, state: str) -> None:
        """Tell readers whether rows may step back."""
        snapshot = self.fresh()
        if snapshot is not None and self._shown != state:
            snapshot.set_properties({SNAPSHOT_PROPERTY: state})
            self._version = snapshot.version + 1
            self._shown = state

    def _read(self, snapshot: Snapshot | None) -> Ledger:
        if snapshot is None:
            return self._empty_ledger()
        return read_ledger(self._names, self._partitions, self._target.tables, snapshot.transaction)

    def _generation_of(self, snapshot: Snapshot | None) -> int | None:
        return snapshot.transaction(self._names.at_generation) if snapshot else None

    def _empty_ledger(self) -> Ledger:
        return Ledger({}, {table: Feed() for table in self._target.tables})
