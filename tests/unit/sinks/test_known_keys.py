"""What is remembered of a table's keys proves that one is new, and never wrongly."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from sinks.known_keys import KnownKeys
from sinks.table import TableStore

SCHEMA = pa.schema([("_key", pa.string()), ("_version", pa.string())])


class Counted(KnownKeys):
    """Counts how often the key column is read."""

    reads = 0

    def _read(self, snapshot):
        self.reads += 1
        return super()._read(snapshot)


@pytest.fixture
def store(tmp_path):
    store = TableStore(str(tmp_path / "t"), {})
    store.create(SCHEMA, name="t", description="", properties={})
    append(store, ["a", "b"])
    return store


def rows(keys):
    return pa.table({"_key": keys, "_version": ["1"] * len(keys)}, schema=SCHEMA)


def append(store, keys, known=None):
    snapshot = store.open()
    snapshot.append(rows(keys), {})
    if known is not None:
        known.committed(snapshot, keys)


def test_a_key_is_new_when_no_row_has_it(store):
    known = KnownKeys()
    assert known.lacks(store.open(), ["c", "d"])
    assert not known.lacks(store.open(), ["c", "b"])
    assert known.lacks(store.open(), [])


def test_own_commits_are_carried_on_without_reading(store):
    known = Counted()
    assert known.lacks(store.open(), ["c"])
    for key in "cdefghijklmnop":
        append(store, [key], known)
    assert not known.lacks(store.open(), ["c"])
    assert not known.lacks(store.open(), ["z", "p"])
    assert known.lacks(store.open(), ["z"])
    assert known.reads == 1


def keyless(store, name):
    table = DeltaTable(store.uri)
    match name:
        case "compaction":
            append(store, ["c"])
            table = DeltaTable(store.uri)
            known = Counted()
            known.lacks(store.open(), ["z"])
            table.optimize.compact()
            return known
        case "vacuum":
            store.open().delete("_key = 'a'", {})
            known = Counted()
            known.lacks(store.open(), ["z"])
            DeltaTable(store.uri).vacuum(0, dry_run=False, enforce_retention_duration=False)
            return known
        case "property":
            store.open().set_properties({"x.y": "1"})
        case "columns":
            store.open().add_columns([pa.field("more", pa.string())])
        case "delete":
            assert store.open().delete("_key = 'a'", {})
    return None


@pytest.mark.parametrize("name", ["compaction", "vacuum", "property", "columns", "delete"])
def test_commits_that_bring_no_keys_need_no_reading(store, name):
    known = Counted()
    assert known.lacks(store.open(), ["z"])
    before = store.open().version
    known = keyless(store, name) or known
    assert store.open().version > before
    assert known.lacks(store.open(), ["z"])
    assert not known.lacks(store.open(), ["b"])
    assert known.reads == 1


def test_keys_somebody_else_brought_are_seen(store):
    known = Counted()
    assert known.lacks(store.open(), ["c"])
    write_deltalake(store.uri, rows(["c"]), mode="append")
    assert not known.lacks(store.open(), ["c"])
    assert known.reads == 2


def test_a_commit_whose_answer_was_lost_is_seen(store):
    known = KnownKeys()
    assert known.lacks(store.open(), ["c"])
    append(store, ["c"])  # it landed, and nobody was told
    assert not known.lacks(store.open(), ["c"])


def test_a_commit_on_another_snapshot_does_not_count(store):
    known = KnownKeys()
    old = store.open()
    assert known.lacks(old, ["c"])
    write_deltalake(store.uri, rows(["d"]), mode="append")
    known.committed(store.open(), ["e"])
    assert not known.lacks(store.open(), ["d"])


def test_a_zombie_that_looks_back_reads_its_own_snapshot(store):
    known = KnownKeys()
    old = store.open()
    append(store, ["c"], known)
    assert not known.lacks(store.open(), ["c"])
    assert known.lacks(old, ["c"])
    assert not known.lacks(store.open(), ["c"])


def test_more_keys_than_there_is_room_for_prove_nothing(store):
    known = KnownKeys(keys_max=3)
    assert known.lacks(store.open(), ["z"])
    append(store, ["c", "d"], known)
    assert not known.lacks(store.open(), ["z"])
    assert not KnownKeys(keys_max=1).lacks(store.open(), ["z"])


def test_room_is_shared_by_all_tables(store, tmp_path):
    other = TableStore(str(tmp_path / "other"), {})
    other.create(SCHEMA, name="other", description="", properties={})
    append(other, ["a", "b"])
    known = KnownKeys(keys_max=3)
    assert known.lacks(store.open(), ["z"])
    assert not known.lacks(other.open(), ["z"])
    known.forget(store.open().uri)
    assert known.lacks(other.open(), ["z"])


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_a_set(store, seed):
    chance, known, there = random.Random(seed), KnownKeys(), {"a", "b"}
    for _ in range(30):
        keys = [f"k{chance.randrange(400)}" for _ in range(chance.randrange(1, 12))]
        assert known.lacks(store.open(), keys) == there.isdisjoint(keys)
        append(store, keys, known)
        there.update(keys)
