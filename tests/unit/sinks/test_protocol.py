"""The commit protocol, schedule by schedule; each of these goes wrong without its guard."""

from __future__ import annotations

import shutil

import pytest
from deltalake import DeltaTable, write_deltalake

from bridge.wire.errors import ConfigurationError
from sinks import failpoints
from sinks.engine import DeltaMerge
from sinks.protocol import PositionsMovedError, TableWriter
from sinks.rows import Batch
from sinks.rules import CURRENT
from sinks.table import TableError
from tests.unit.sinks.build import (
    SCHEMAS,
    Crash,
    CrashAt,
    Log,
    LostAnswer,
    Refusing,
    World,
    row,
    version,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def commit_all(writer: TableWriter, log: Log, limits=None):
    batch = log.batch(dict(writer.ledger.offsets), limits)
    done = writer.commit(batch, SCHEMAS)
    writer.seal_what_is_due()
    return done


def test_a_batch_goes_in_with_its_offsets(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    log.upsert("b", 2)
    log.delete("b", 3)
    done = commit_all(writer, log)
    assert world.rows() == {"a": version(1)}
    assert (done.upserted, done.collapsed) == (1, 1)
    assert world.writer().ledger.offsets == {0: 3}


def test_the_same_batch_again_by_a_new_owner_is_not_taken_twice(world):
    log = Log()
    log.upsert("a", 1)
    commit_all(world.writer(), log)
    replayed = log.batch({0: 0})
    writer = world.writer()
    before = world.version()
    assert writer.ledger.offsets == {0: 1}
    writer.commit(replayed, SCHEMAS)  # an owner that starts at the log's beginning all the same
    assert world.rows() == {"a": version(1)}
    assert world.version() == before + 1  # its offsets alone


def test_a_lower_version_changes_nothing_and_its_offsets_are_recorded(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 5)
    commit_all(writer, log)
    log.upsert("a", 4)
    log.delete("a", 3)
    done = commit_all(writer, log)
    assert world.rows() == {"a": version(5)}
    assert (done.upserted, done.deleted) == (0, 0)
    assert world.writer().ledger.offsets == {0: 3}


def test_a_late_upsert_does_not_raise_a_deleted_row(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    commit_all(writer, log)
    log.delete("a", 3)
    commit_all(writer, log)
    log.upsert("a", 2)
    done = commit_all(world.writer(), log)  # a new owner reads the tombstones from the lake
    assert world.rows() == {}
    assert done.stale == 1
    log.upsert("a", 4)
    commit_all(world.writer(), log)
    assert world.rows() == {"a": version(4)}


def test_a_delete_that_comes_before_its_upsert_wins(world):
    log, writer = Log(), world.writer()
    log.delete("a", 3)
    commit_all(writer, log)
    log.upsert("a", 2)
    commit_all(writer, log)
    assert world.rows() == {}


@pytest.mark.parametrize("first_deletes", [True, False])
def test_an_upsert_beats_a_delete_of_equal_version_in_either_order(world, first_deletes):
    log, writer = Log(), world.writer()
    for delete in (first_deletes, not first_deletes):
        (log.delete if delete else log.upsert)("a", 7)
        commit_all(writer, log)
    assert world.rows() == {"a": version(7)}


def test_a_zombie_that_wakes_after_its_successor_is_turned_away(world):
    log, zombie = Log(), world.writer()
    log.upsert("a", 1)
    commit_all(zombie, log)
    log.upsert("a", 2)
    log.delete("a", 3)
    held = log.batch({0: 1}, {0: 1})  # read before it was paused
    commit_all(world.writer(), log)
    before = world.version()
    with pytest.raises(PositionsMovedError) as moved:
        zombie.commit(held, SCHEMAS)
    assert not moved.value.by_us
    assert moved.value.offsets == {0: 3}
    assert world.version() == before
    assert world.rows() == {}


def test_a_zombie_between_its_snapshot_and_its_commit_conflicts(world):
    log = Log()
    log.upsert("a", 1)

    class Paused(DeltaMerge):
        def apply(self, snapshot, changes, transactions, rule=CURRENT):
            commit_all(world.writer(), log)  # the successor, while this one sleeps
            return super().apply(snapshot, changes, transactions, rule)

    zombie = world.writer(engine=Paused())
    batch = log.batch({0: 0})
    world.writer().commit(Batch(next_offsets={0: 0}), SCHEMAS)  # so that there is a table
    zombie = world.writer(engine=Paused())
    with pytest.raises(TableError):
        zombie.commit(batch, SCHEMAS)
    # It looks again: the very offsets it tried for are there, so it takes them for its own.
    with pytest.raises(PositionsMovedError) as moved:
        zombie.commit(batch, SCHEMAS)
    assert moved.value.by_us
    assert world.rows() == {"a": version(1)}


def test_two_writers_by_turns_lose_and_double_nothing(world):
    log = Log()
    commit_all(world.writer(), log)
    one, two = world.writer(), world.writer()
    for i in range(10):
        log.upsert(f"k{i % 4}", i)
        for at, writer in enumerate((one, two)):
            try:
                commit_all(writer, log)
            except PositionsMovedError:
                fresh = world.writer()
                one, two = (fresh, two) if at == 0 else (one, fresh)
    commit_all(world.writer(), log)
    assert world.rows() == {f"k{i % 4}": version(i) for i in range(6, 10)}


def test_a_commit_reported_failed_that_landed_is_found_and_not_repeated(world):
    log, writer = Log(), world.writer(engine=LostAnswer())
    log.upsert("a", 1)
    batch = log.batch({0: 0})
    with pytest.raises(TableError):
        writer.commit(batch, SCHEMAS)
    landed = world.version()
    with pytest.raises(PositionsMovedError) as moved:
        writer.commit(batch, SCHEMAS)
    assert moved.value.by_us
    assert moved.value.offsets == {0: 1}
    assert world.version() == landed
    log.upsert("a", 2)
    commit_all(writer, log)  # it stays the owner
    assert world.rows() == {"a": version(2)}


def test_a_commit_that_failed_for_good_is_made_again(world):
    log, writer = Log(), world.writer(engine=Refusing())
    log.upsert("a", 1)
    batch = log.batch({0: 0})
    with pytest.raises(TableError):
        writer.commit(batch, SCHEMAS)
    writer.commit(batch, SCHEMAS)
    assert world.rows() == {"a": version(1)}


def test_a_crash_between_tombstones_and_merge_is_made_good(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    commit_all(writer, log)
    log.delete("a", 2)
    dying = world.writer(failpoint=CrashAt(failpoints.AFTER_TOMBSTONES))
    with pytest.raises(Crash):
        commit_all(dying, log)
    assert world.rows() == {"a": version(1)}
    successor = world.writer()
    assert successor.ledger.offsets == {0: 1}
    commit_all(successor, log)
    assert world.rows() == {}
    assert world.tombstone_store.open().delta.count() == 1  # not written twice


def test_a_tombstone_is_durable_before_the_row_goes(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    commit_all(writer, log)
    log.delete("a", 2)
    with pytest.raises(Crash):
        commit_all(world.writer(failpoint=CrashAt(failpoints.BEFORE_COMMIT)), log)
    assert world.tombstone_store.open().delta.count() == 1


def test_every_message_replayed_from_the_beginning_leaves_the_table_as_it_is(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    log.upsert("b", 1)
    log.delete("a", 2)
    log.upsert("c", 3)
    log.upsert("b", 4)
    for _ in range(5):
        commit_all(writer, log, {0: 1})
    before = world.rows()
    again = world.writer()
    for end in range(1, 6):
        batch = Batch(rows=log.batch({0: end - 1}, {0: 1}).rows, next_offsets={0: 100 + end})
        again.commit(batch, SCHEMAS)
    assert world.rows() == before == {"b": version(4), "c": version(3)}


def test_a_wiped_kafka_under_an_old_table_starts_at_the_beginning(world):
    log, writer = Log(), world.writer()
    for i in range(50):
        log.upsert(f"old{i}", i)
    log.seal(1)
    commit_all(writer, log)
    world.namespace_id = "ns2"
    wiped, writer = Log(), world.writer()
    assert writer.ledger.offsets == {}
    wiped.upsert("old1", 0, epoch=2)
    wiped.upsert("new", 0, epoch=2)
    commit_all(writer, wiped)
    assert world.view().loading
    wiped.seal(2)
    commit_all(writer, wiped)
    assert world.rows() == {"old1": version(0, 2), "new": version(0, 2)}
    assert not world.view().loading


def test_a_table_deleted_under_a_running_sink_is_noticed_not_written_into(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    commit_all(writer, log)
    shutil.rmtree(world.lake / "orders")
    log.upsert("b", 2)
    with pytest.raises(PositionsMovedError) as moved:
        commit_all(writer, log)
    assert moved.value.offsets == {}


def test_a_readers_own_commit_is_built_upon(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    commit_all(writer, log)
    DeltaTable(world.store.uri).optimize.compact()
    DeltaTable(world.store.uri).alter.set_table_properties({"delta.appendOnly": "false"})
    log.upsert("b", 2)
    commit_all(writer, log)
    assert set(world.rows()) == {"a", "b"}


def test_a_table_that_no_sink_made_is_refused(world):
    import pyarrow as pa

    write_deltalake(world.store.uri, pa.table({"x": [1]}))
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    with pytest.raises(ConfigurationError, match="no sink made"):
        commit_all(writer, log)


def test_offsets_alone_are_committed_when_nothing_else_is(world):
    writer = world.writer()
    writer.commit(Batch(next_offsets={0: 0}), SCHEMAS)
    writer.commit(Batch(next_offsets={0: 17}), SCHEMAS)
    assert world.writer().ledger.offsets == {0: 17}


@pytest.mark.parametrize(
    "point", [p for p in failpoints.FAILPOINTS if p not in failpoints.CHANGE_OVER]
)
def test_a_crash_at_any_point_of_the_commit_is_made_good(world, point):
    log = Log()
    log.upsert("a", 1)
    log.upsert("b", 1)
    log.upsert("poor", 1, order_id="poor", total="not a number")
    log.delete("b", 2)
    log.seal(1)
    for _ in range(4):
        try:
            commit_all(world.writer(failpoint=CrashAt(point)), log)
        except Crash:
            continue
        break
    commit_all(world.writer(), log)
    assert world.rows() == {"a": version(1)}
    assert not world.view().loading
    assert {letter.place for letter in world.dead} == {(0, 2)}


def test_an_owner_of_many_partitions_records_all_of_them(tmp_path):
    world = World(tmp_path, partitions=3)
    log, writer = Log(3), world.writer()
    log.upsert("a", 1, partition=1)
    commit_all(writer, log)
    assert world.writer().ledger.offsets == {0: 0, 1: 1, 2: 0}
    log.upsert("b", 1, partition=2)
    commit_all(writer, log)
    assert world.writer().ledger.offsets == {0: 0, 1: 1, 2: 1}


def test_rows_keep_their_place():
    assert row("a", 1, partition=3, offset=9).place == (3, 9)
