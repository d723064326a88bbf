"""Seals: what an old epoch left goes out once every partition has passed its seal, never before."""

from __future__ import annotations

import pytest

from bridge.wire.schemas import Schema
from sinks import failpoints
from sinks.dataset import Target
from sinks.keys import key_prefix
from sinks.ledger import Feed, Ledger
from sinks.table import TableError
from tests.unit.sinks.build import (
    COLUMNS,
    DATASET,
    SCHEMAS,
    Crash,
    CrashAt,
    Log,
    World,
    sealed,
    version,
)


def commit_all(writer, log, limits=None):
    writer.commit(log.batch(dict(writer.ledger.offsets), limits), SCHEMAS)
    writer.seal_what_is_due()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, partitions=2)


@pytest.fixture
def old(world):
    """A sealed table of epoch 1 with one row in each partition."""
    log = Log(2)
    log.upsert("a", 0, partition=0)
    log.upsert("b", 0, partition=1)
    log.seal(1, 0)
    log.seal(1, 1)
    commit_all(world.writer(), log)
    assert not world.view().loading
    return log


def test_seals_minutes_apart_take_old_rows_out_only_together(world, old):
    writer = world.writer()
    old.upsert("c", 0, epoch=2, partition=0)
    old.seal(2, 0)
    commit_all(writer, old)
    assert set(world.rows()) == {"a", "b", "c"}
    assert world.view().loading
    writer = world.writer()  # another owner: what was passed is in the table
    old.upsert("b", 0, epoch=2, partition=1)
    old.seal(2, 1)
    commit_all(writer, old)
    assert world.rows() == {"b": version(0, 2), "c": version(0, 2)}
    assert not world.view().loading


def test_an_old_row_beside_the_last_seal_in_one_batch_goes_out_again(world, old):
    writer = world.writer()
    old.seal(2, 0)
    old.upsert("late", 9, epoch=1, partition=0)
    old.upsert("later", 9, epoch=1, partition=1)
    old.seal(2, 1)
    old.upsert("latest", 9, epoch=1, partition=1)
    commit_all(writer, old)
    assert world.rows() == {}


def test_rows_and_deletes_below_the_floor_are_dropped_and_counted(world, old):
    writer = world.writer()
    old.upsert("a", 0, epoch=2, partition=0)
    old.seal(2, 0)
    old.seal(2, 1)
    commit_all(writer, old)
    old.upsert("x", 99, epoch=1, partition=0)
    old.delete("a", 99, epoch=1, partition=0)
    done = writer.commit(old.batch(dict(writer.ledger.offsets)), SCHEMAS)
    assert done.below_floor == 2
    assert world.rows() == {"a": version(0, 2)}
    assert world.tombstone_store.open() is None


@pytest.mark.parametrize("point", [failpoints.BEFORE_SEAL, failpoints.AFTER_SEAL])
def test_a_crash_around_the_sealing_commit_is_made_good_by_the_next_owner(world, old, point):
    old.seal(2, 0)
    old.seal(2, 1)
    with pytest.raises(Crash):
        commit_all(world.writer(failpoint=CrashAt(point)), old)
    world.writer()
    assert world.rows() == {}
    assert not world.view().loading


def test_a_sealing_commit_whose_answer_was_lost_is_not_repeated(world, old, monkeypatch):
    from sinks.table import Snapshot

    old.seal(2, 0)
    old.seal(2, 1)
    writer, commit = world.writer(), Snapshot.commit_actions

    def lose(self, actions, said, transactions):
        commit(self, actions, said, transactions)
        raise TableError("the answer was lost")

    monkeypatch.setattr(Snapshot, "commit_actions", lose)
    with pytest.raises(TableError):
        commit_all(writer, old)
    monkeypatch.undo()
    landed = world.version()
    writer.seal_what_is_due()
    assert world.version() == landed
    assert world.rows() == {}


def test_readers_are_told_before_the_first_row_of_a_new_epoch(world, old):
    old.upsert("a", 0, epoch=2, partition=0)
    with pytest.raises(Crash):
        commit_all(world.writer(failpoint=CrashAt(failpoints.BEFORE_COMMIT)), old)
    assert world.view().loading
    assert world.rows()["a"] == version(0, 1)
    world.writer()  # nothing of the new epoch is in: not loading after all
    assert not world.view().loading


def test_an_epoch_that_was_overtaken_is_not_waited_for(world, old):
    """The connector began epoch 3 before epoch 2 was sealed; its seals are all there is."""
    old.upsert("a", 0, epoch=2, partition=0)
    old.upsert("a", 0, epoch=3, partition=0)
    for partition in (0, 1):
        old.seal(3, partition)
    commit_all(world.writer(), old)
    assert world.rows() == {"a": version(0, 3)}


def test_a_seal_of_a_table_that_feeds_the_dataset_no_more_is_passed_by():
    ledger = Ledger({}, {"orders": Feed()})
    assert ledger.passed({0: 5}, [sealed(2, table="gone")]).feeds == {"orders": Feed()}


def test_a_feed_is_due_when_all_its_seals_were_passed_and_never_twice():
    assert Feed().due == 0
    assert Feed(seals={0: 2}, of=2).due == 0
    assert Feed(seals={0: 3, 1: 2}, of=2).due == 2
    assert Feed(seals={0: 3, 1: 2}, of=2, sealed=2).due == 0


def test_an_older_seal_does_not_set_a_newer_one_back():
    ledger = Ledger({}, {"orders": Feed()}).passed({}, [sealed(3), sealed(2)])
    assert ledger.feeds["orders"].seals == {0: 3}


def test_each_table_of_a_dataset_is_sealed_by_itself(tmp_path):
    world = World(tmp_path, target=Target(DATASET, ("orders", "returns")))
    log, writer = Log(), world.writer()
    orders, returns = (key_prefix(table) + '"k"]' for table in ("orders", "returns"))
    for key in (orders, returns):
        log.upsert(key, 0)
    log.seal(1)
    commit_all(writer, log)
    assert world.view().loading  # returns was never sealed
    log.append_seal(sealed(1, table="returns"))
    log.seal(2)
    commit_all(writer, log)
    assert set(world.rows()) == {returns}
    assert not world.view().loading


def test_a_row_of_no_known_table_is_a_dead_letter(tmp_path):
    world = World(tmp_path, target=Target(DATASET, ("orders", "returns")))
    log, writer = Log(), world.writer()
    log.upsert('["other","k"]', 0)
    commit_all(writer, log)
    assert world.rows() == {}
    assert "none of the tables" in world.dead[0].reason


def test_a_seal_before_any_schema_is_kept(world):
    log, writer = Log(2), world.writer()
    log.seal(1, 0)
    log.seal(1, 1)
    writer.commit(log.batch({}), {})
    writer.seal_what_is_due()
    assert not world.view().loading
    assert world.view().columns == []
    schema = Schema("orders", "process_orders", COLUMNS)
    log.upsert("a", 1, schema=schema)
    commit_all(writer, log)
    assert world.view().columns == ["order_id", "total"]


def test_a_feed_without_a_snapshot_is_not_loading_and_takes_nothing_out(world, old):
    writer = world.writer()
    old.upsert("c", 0, epoch=5, partition=0)
    old.begin_unscanned(5, 0)
    commit_all(writer, old)
    assert set(world.rows()) == {"a", "b", "c"}, "nobody compared them with the source"
    assert not world.view().loading
    writer = world.writer()  # another owner
    old.upsert("late", 3, epoch=1, partition=1)
    old.begin_unscanned(5, 1)
    commit_all(writer, old)
    assert "late" in world.rows(), "it is no floor"
    assert not world.view().loading
    old.upsert("d", 0, epoch=6, partition=1)  # a scan that was asked for
    commit_all(writer, old)
    assert world.view().loading


def test_a_feed_that_never_had_a_snapshot_is_not_loading(world):
    log = Log(2)
    log.begin_unscanned(5, 0)
    log.upsert("a", 0, epoch=5, partition=0)
    commit_all(world.writer(), log)
    assert not world.view().loading
