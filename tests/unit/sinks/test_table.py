"""Commits hold only on the snapshot they were decided on, whatever the library would allow."""

from __future__ import annotations

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from sinks.engine import DeltaMerge
from sinks.table import TableError, TableStore
from tests.unit.sinks.build import SCHEMAS, Log, World, version

SCHEMA = pa.schema([("x", pa.int64()), ("_version", pa.string()), ("_key", pa.string())])


def rows(*keys: str, sequence: int = 1) -> pa.Table:
    columns = [[1] * len(keys), [version(sequence)] * len(keys), list(keys)]
    return pa.table(columns, schema=SCHEMA)


def upserts(*keys: str, sequence: int = 1) -> pa.Table:
    table = rows(*keys, sequence=sequence)
    return table.append_column("_op", pa.array(["upsert"] * len(keys)))


@pytest.fixture
def store(tmp_path):
    store = TableStore(str(tmp_path / "t"), {})
    store.create(SCHEMA, name="t", description="", properties={})
    store.open().append(rows("a", "b"), {})
    return store


COMMITS = {
    "append": lambda s: s.append(rows("z"), {"ours": 1}),
    "offsets alone": lambda s: s.commit_transactions({"ours": 1}),
    "delete": lambda s: s.delete("_key = 'a'", {"ours": 1}),
    "columns": lambda s: s.add_columns([pa.field("y", pa.string())]),
    "property": lambda s: s.set_properties({"tailrace.snapshot": "sealed"}),
    "merge": lambda s: DeltaMerge().apply(s, upserts("a", sequence=2), {"ours": 1}),
    "proven append": lambda s: DeltaMerge().apply(s, upserts("z"), {"ours": 1}),
}


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS.keys())
def test_a_commit_on_a_snapshot_that_is_not_the_newest_fails_whatever_came_between(store, commit):
    stale = store.open()
    write_deltalake(store.uri, rows("unrelated"), mode="append")
    before = store.open().version
    with pytest.raises(TableError):
        commit(stale)
    assert store.open().version == before


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS.keys())
def test_a_commit_lands_exactly_one_version_after_its_snapshot(store, commit):
    snapshot = store.open()
    commit(snapshot)
    assert store.open().version == snapshot.version + 1


def test_only_one_of_two_creates_a_table(tmp_path):
    store = TableStore(str(tmp_path / "t"), {})
    store.create(SCHEMA, name="t", description="", properties={})
    with pytest.raises(TableError):
        store.create(SCHEMA, name="t", description="", properties={})


def test_a_delete_without_effect_makes_no_commit(store):
    before = store.open()
    assert not before.delete("_key = 'none'", {"ours": 1})
    assert store.open().version == before.version


def test_a_merge_without_effect_makes_no_commit_and_says_so(store):
    before = store.open()
    merged = DeltaMerge().apply(before, upserts("a", sequence=0), {"ours": 1})
    assert not merged.committed
    assert store.open().version == before.version
    assert store.open().transaction("ours") is None


@pytest.mark.parametrize(
    ("keys", "lacks"), [(["0", "z"], True), (["aa"], False), (["a"], False), ([], True)]
)
def test_files_prove_by_their_bounds_which_keys_they_lack(store, keys, lacks):
    assert store.open().lacks(keys) is lacks


def test_a_file_without_bounds_proves_nothing(tmp_path):
    store = TableStore(str(tmp_path / "t"), {})
    properties = {"delta.dataSkippingStatsColumns": "x"}
    store.create(SCHEMA, name="t", description="", properties=properties)
    store.open().append(rows("a"), {})
    assert store.open().lacks(["zzz"]) is False


def test_keys_longer_than_the_bounds_are_not_proven_absent(store):
    """Bounds of long texts are cut off; what is cut must still cover the key."""
    long = "k" * 300
    store.open().append(rows(long + "1", long + "5"), {})
    assert store.open().lacks([long + "3"]) is False
    assert store.open().lacks([long + "\U0001f600"]) is False
    merged = DeltaMerge().apply(store.open(), upserts(long + "5", sequence=2), {})
    assert (merged.upserted, merged.appended) == (1, False)
    assert store.open().delta.count() == 4


ODD = ("a.b", "Order Total", "x`y", 'q"q', "ünï", "select", "s", "t", "_op_", "1", "a'b")


def test_columns_of_any_name_are_merged(tmp_path):
    from bridge.wire.schemas import Column, Schema

    schema = Schema("orders", "t", tuple(Column(name, "string") for name in ODD))
    world, log = World(tmp_path), Log()
    writer = world.writer()
    for sequence in (1, 2):
        log.upsert("k", sequence, schema=schema, **dict.fromkeys(ODD, f"v{sequence}"))
        writer.commit(
            log.batch(dict(writer.ledger.offsets)), {**SCHEMAS, schema.fingerprint: schema}
        )
    (row,) = [columns for _key, columns in world.view().rows(list(ODD))]
    assert row == dict.fromkeys(ODD, "v2")


def test_rows_that_are_read_keep_nothing_but_themselves(store):
    keys = [f"key-{number:06d}-{'x' * 40}" for number in range(50_000)]
    store.open().append(rows(*keys), {})
    wanted = keys[::1000]
    listed = ", ".join(f"'{key}'" for key in wanted)
    before = pa.total_allocated_bytes()
    found = store.open().rows_where(f"_key IN ({listed})")
    assert sorted(found["_key"].to_pylist()) == wanted
    size = found.get_total_buffer_size()
    # What is read comes from another allocator: whatever is not a copy is not in Arrow's pool.
    assert pa.total_allocated_bytes() - before >= size
    assert size < 50 * 500
    view = pa.RecordBatchReader.from_stream(store.open().delta.scan(predicate="x = 1")).read_all()
    assert view.get_total_buffer_size() > 50_000 * 50  # it would be seen
