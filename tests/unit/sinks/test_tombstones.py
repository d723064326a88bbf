"""Tombstones: kept as long as anything could come for them, and no longer."""

from __future__ import annotations

import pytest

from sinks.table import TableStore
from sinks.tombstones import LogStarts, Tombstone, Tombstones, purge_predicate
from tests.unit.sinks.build import version


def stone(key, sequence=1, *, epoch=1, partition=0, offset=10, origin=10, table="orders"):
    return Tombstone(key, version(sequence, epoch), table, partition, offset, origin)


@pytest.fixture
def store(tmp_path):
    return TableStore(str(tmp_path / "tombstones"), {})


def starts(rows=0, changes=0):
    return LogStarts({0: rows, 1: rows}, {"orders": {0: changes, 1: changes}})


def test_they_survive_their_writer(store):
    Tombstones(store, "ns").write([stone("a"), stone("b", 2)])
    later = Tombstones(store, "ns")
    later.load()
    assert (later.version("a"), later.version("b"), later.version("c")) == (
        version(1), version(2), "",
    )  # fmt: skip


def test_only_what_says_something_new_is_written(store):
    stones = Tombstones(store, "ns")
    stones.write([stone("a", 5)])
    assert stones.new_among([stone("a", 5), stone("a", 4)]) == []
    assert stones.new_among([stone("a", 6)]) == [stone("a", 6)]


def test_the_newest_of_a_key_counts_in_whatever_order_they_lie(store):
    Tombstones(store, "ns").write([stone("a", 9)])
    Tombstones(store, "ns").write([stone("a", 3)])  # by a zombie that knew of nothing
    later = Tombstones(store, "ns")
    later.load()
    assert later.version("a") == version(9)


def purged(store, sealed, log_starts, namespace="ns"):
    stones = Tombstones(store, namespace)
    stones.load()
    stones.purge({"orders": sealed}, log_starts)
    return {key for key in ("a", "b", "old") if stones.version(key)}


def test_one_goes_when_its_epoch_is_sealed_and_both_logs_begin_after_it(store):
    Tombstones(store, "ns").write([stone("a", offset=10, origin=20)])
    assert purged(store, 0, starts(99, 99)) == {"a"}  # its epoch is not sealed
    assert purged(store, 1, starts(10, 99)) == {"a"}  # the row can be read again
    assert purged(store, 1, starts(99, 20)) == {"a"}  # the change can
    assert purged(store, 1, starts(11, 21)) == set()


def test_one_of_a_newer_epoch_stays(store):
    Tombstones(store, "ns").write([stone("a", epoch=2), stone("b", epoch=1)])
    assert purged(store, 1, starts(99, 99)) == {"a"}


def test_those_of_a_wiped_kafka_go_once_the_floor_guards_instead(store):
    Tombstones(store, "old").write([stone("old", epoch=1, offset=10**9, origin=10**9)])
    assert purged(store, 1, starts()) == {"old"}
    assert purged(store, 2, starts()) == set()


def test_nothing_sealed_and_nothing_trimmed_is_nothing_to_do():
    assert purge_predicate("ns", {"orders": 0}, starts(5, 5)) == ""
    assert "_partition" not in purge_predicate("ns", {"orders": 3}, starts(0, 5))


def test_a_purge_without_a_table_does_nothing(store):
    assert purged(store, 1, starts(9, 9)) == set()
    assert store.open() is None
