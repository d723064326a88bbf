"""A table and the generation built beside it: one commit puts one in the place of the other."""

from __future__ import annotations

import pytest

from bridge.wire.schemas import Column, Schema
from sinks import failpoints
from sinks.engine import DeltaMerge
from sinks.ledger import LedgerNames, read_ledger
from sinks.protocol import PositionsMovedError, TableWriter
from sinks.rebuilding import outdated, sweep
from sinks.table import (
    Snapshot,
    TableError,
    TableStore,
    beside_uri,
    hidden_uri,
    tombstones_uri,
)
from sinks.tombstones import Tombstones
from tests.unit.sinks.build import SCHEMAS, TARGET, Crash, CrashAt, Log, World

NEW = LedgerNames("ns1", "t.rows.orders.g2", 2)
NEW_SCHEMA = Schema("orders.g2", "process_orders", (Column("total", "string"),))


class Rebuilt(World):
    """A dataset at its first generation, the second one beside it."""

    @property
    def hidden(self) -> TableStore:
        return TableStore(hidden_uri(str(self.lake), "orders", 2), {})

    def builder(self, store: TableStore | None = None) -> TableWriter:
        stones = TableStore(tombstones_uri(str(self.lake), "orders", 2), {})
        writer = TableWriter(
            target=TARGET,
            names=NEW,
            partitions=range(1),
            store=store or self.hidden,
            tombstones=Tombstones(stones, "ns1"),
            engine=DeltaMerge(),
            set_aside=self.dead.extend,
        )
        writer.open()
        return writer

    def change_over(self, writer: TableWriter) -> None:
        hidden = self.hidden.open()
        assert hidden is not None
        writer.change_over(hidden, NEW, range(1))

    def generation(self) -> int | None:
        snapshot = self.store.open()
        return snapshot.transaction(NEW.at_generation) if snapshot else None


def commit(writer: TableWriter, log: Log, schemas) -> None:
    writer.commit(log.batch(dict(writer.ledger.offsets)), schemas)
    writer.seal_what_is_due()


@pytest.fixture
def logs():
    old, new = Log(), Log()
    for key in ("a", "b", "c"):
        old.upsert(key, 1)
    old.seal(1)
    for key in ("a", "b"):
        new.upsert(key, 2, total=f"new {key}", schema=NEW_SCHEMA)
    new.delete("c", 2)
    new.seal(1)
    return old, new


@pytest.fixture
def rebuilt(tmp_path, logs):
    world = Rebuilt(tmp_path)
    old, new = logs
    commit(world.writer(), old, SCHEMAS)
    commit(world.builder(), new, {NEW_SCHEMA.fingerprint: NEW_SCHEMA})
    return world


def shown(world) -> tuple[list[str], dict[str, object]]:
    view = world.view()
    return sorted(view.columns), {key: row["total"] for key, row in view.rows(["total"])}


def test_rows_columns_offsets_and_seals_change_over_together(rebuilt):
    before = rebuilt.version()
    rebuilt.change_over(rebuilt.writer())
    assert rebuilt.version() == before + 1
    assert shown(rebuilt) == (["total"], {"a": "new a", "b": "new b"})
    assert rebuilt.generation() == 2
    snapshot, hidden = rebuilt.store.open(), rebuilt.hidden.open()
    ledgers = [read_ledger(NEW, range(1), ["orders"], s.transaction) for s in (snapshot, hidden)]
    assert ledgers[0] == ledgers[1]
    assert ledgers[0].complete


def test_the_new_generation_goes_on_in_the_table_where_it_stood_beside_it(rebuilt, logs):
    rebuilt.change_over(rebuilt.writer())
    log = logs[1]
    log.upsert("d", 3, total="new d", schema=NEW_SCHEMA)
    log.upsert("c", 1, total="late", schema=NEW_SCHEMA)  # its tombstone still holds
    commit(rebuilt.builder(rebuilt.store), log, {NEW_SCHEMA.fingerprint: NEW_SCHEMA})
    assert shown(rebuilt)[1] == {"a": "new a", "b": "new b", "d": "new d"}


def test_an_owner_of_the_old_generation_is_turned_away_from_the_new_table(rebuilt, logs):
    zombie = rebuilt.writer()
    rebuilt.change_over(rebuilt.writer())
    logs[0].upsert("z", 9)
    with pytest.raises(PositionsMovedError):
        commit(zombie, logs[0], SCHEMAS)
    assert "z" not in shown(rebuilt)[1]


def test_who_else_wrote_meanwhile_makes_the_change_over_fail(rebuilt, logs):
    writer = rebuilt.writer()
    logs[0].upsert("z", 9)
    commit(rebuilt.writer(), logs[0], SCHEMAS)
    with pytest.raises(PositionsMovedError):
        rebuilt.change_over(writer)
    assert rebuilt.generation() is None


@pytest.mark.parametrize(
    ("point", "generation"),
    [(failpoints.BEFORE_CHANGE_OVER, None), (failpoints.AFTER_CHANGE_OVER, 2)],
)
def test_a_crash_leaves_the_old_table_or_the_new_one(rebuilt, point, generation):
    before = shown(rebuilt)
    with pytest.raises(Crash):
        rebuilt.change_over(rebuilt.writer(failpoint=CrashAt(point)))
    assert rebuilt.generation() == generation
    assert (shown(rebuilt) == before) is (generation is None)


def test_a_lost_answer_is_told_from_a_refused_commit_by_the_table(rebuilt, monkeypatch):
    replace = Snapshot.replace

    def lost(self, rows, transactions, partitioned_by):
        replace(self, rows, transactions, partitioned_by)
        raise TableError("the answer got lost")

    monkeypatch.setattr(Snapshot, "replace", lost)
    writer = rebuilt.writer()
    with pytest.raises(TableError):
        rebuilt.change_over(writer)
    assert rebuilt.generation() == 2
    with pytest.raises(PositionsMovedError):  # nothing is done twice
        rebuilt.change_over(writer)


def test_what_ended_generations_left_beside_the_table_is_removed(rebuilt):
    (rebuilt.lake / "_tailrace/orders/g3/table").mkdir(parents=True)
    beside = beside_uri(str(rebuilt.lake), "orders")
    assert sweep(beside, {}, 1, 2) == ["g3"]
    assert rebuilt.hidden.open() is not None
    rebuilt.change_over(rebuilt.writer())
    assert "g2/table" in sweep(beside, {}, 2, None)
    assert rebuilt.hidden.open() is None
    assert TableStore(tombstones_uri(str(rebuilt.lake), "orders", 2), {}).open() is not None
    assert sweep(beside, {}, 2, None) == []


def test_only_generations_that_nobody_needs_are_outdated():
    names = ["g2", "g3", "g4", "tombstones", "gold"]
    assert outdated(names, 1, 3) == ["g2", "g4"]
    assert outdated(names, 3, None) == ["g2", "g4", "tombstones"]
