"""Changes by copying files: what delta-rs's MERGE does, in a few megabytes, ranges left ranges."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from bridge.wire.version import encode_version
from sinks import copying, looking
from sinks.commits import CommitLog
from sinks.conditions import known
from sinks.copying import copies
from sinks.engine import DeltaMerge, _merge
from sinks.keys import older_rows
from sinks.known_keys import KnownKeys
from sinks.layout import DELETED, DELETED_AT, OPERATION
from sinks.looking import TableFiles
from sinks.merging import merge_by_copying, take_out_by_copying
from sinks.rules import CURRENT, DELETE_VERSION, EXACT, LOG, SOFT, MergeRule
from sinks.table import TableStore
from tests.unit.sinks.test_sorted_files import SCHEMA, made

RULES = {"current": CURRENT, "soft": SOFT, "log": LOG, "exact": EXACT}
OWN = [pa.field(DELETED, pa.bool_()), pa.field(DELETED_AT, pa.timestamp("us", "UTC"))]
PARTITIONS = [[], ["City of, odd/name"], ["day"], ["ok", "n"]]


def table_schema(rule: str) -> pa.Schema:
    fields = list(SCHEMA)
    if rule == "soft":
        fields += OWN
    if rule == "log":
        fields.append(pa.field(OPERATION, pa.string()))
    return pa.schema(fields)


def rows_of(chance, rule, numbers, operations) -> list[dict]:
    """Rows with versions of one of a few sequences, so that some are equal and some are late."""
    found = []
    for number in numbers:
        row = made(chance, number) | {"n": chance.choice([None, 0, 1])}
        row["_version"] = encode_version(chance.choice([1, 2]), chance.randrange(6))
        row["day"] = chance.choice([None, dt.date(2026, 1, 1), dt.date(2026, 1, 2)])
        row["_op"] = chance.choice(operations)
        moment = dt.datetime(2026, 1, 1, 0, 0, chance.randrange(3), tzinfo=dt.UTC)
        deleted = chance.random() < 0.5
        row |= {DELETED: chance.choice([deleted, None]), DELETED_AT: moment if deleted else None}
        row[DELETE_VERSION] = chance.choice(["", row["_version"], encode_version(2, 3)])
        found.append(row)
    ids = {(row["_key"], row["_version"]) if rule in ("log", "exact") else row["_key"]: row
           for row in found}  # fmt: skip
    return list(ids.values())


def filled(uri: Path, rule: str, partition_by: list[str], seed: int) -> TableStore:
    """A table of several files, their ranges of keys one above the other."""
    schema, chance = table_schema(rule), random.Random(seed)
    for _ in range(3):
        numbers = [chance.randrange(60) for _ in range(30)]
        known_ids = {r["_key"] for r in rows_in(uri)} if rule in ("current", "soft") else ()
        known_pairs = {(r["_key"], r["_version"]) for r in rows_in(uri)}
        rows = [
            row
            for row in rows_of(chance, rule, numbers, ["upsert", "delete", "read"])
            if row["_key"] not in known_ids and (row["_key"], row["_version"]) not in known_pairs
        ]
        write_deltalake(
            uri,
            pa.Table.from_pylist(rows, schema),
            mode="append",
            partition_by=partition_by or None,
            configuration={"delta.dataSkippingStatsColumns": "_key,_version"},
        )
    return TableStore(str(uri), {})


def rows_in(uri: Path) -> list[dict]:
    store = TableStore(str(uri), {}).open()
    return store.rows_where("").to_pylist() if store else []


def contents(store: TableStore) -> list[str]:
    rows = store.open().rows_where("")
    return sorted(map(repr, rows.select(sorted(rows.column_names)).to_pylist()))


def told(lake: Path, name: str) -> tuple[object, ...]:
    """What the table's log says of its newest commit."""
    commit = CommitLog(str(lake), name).follow()[-1]
    return commit.operation, commit.rows, commit.inserted, commit.updated, commit.deleted


@pytest.mark.parametrize("partition_by", PARTITIONS, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_it_does_what_the_rule_says_in_sql(tmp_path, rule, partition_by):
    for seed in range(4):
        chance = random.Random(seed)
        operations = ["upsert", "delete", "read"] if rule == "log" else ["upsert", "delete"]
        numbers = [chance.randrange(80) for _ in range(chance.choice([1, 40]))]
        schema = table_schema(rule)
        for field in (pa.field(OPERATION, pa.string()), pa.field(DELETE_VERSION, pa.string())):
            schema = schema if field.name in schema.names else schema.append(field)
        changes = pa.Table.from_pylist(rows_of(chance, rule, numbers, operations), schema)
        stores = [filled(tmp_path / f"{n}-{seed}", rule, partition_by, seed) for n in "ab"]
        before = stores[0].open()
        ours = merge_by_copying(before, changes, {"offset": seed}, RULES[rule])
        theirs = _merge(stores[1].open(), changes, {"offset": seed}, RULES[rule])
        assert contents(stores[0]) == contents(stores[1])
        assert ours == theirs
        if ours.committed:
            assert told(tmp_path, f"a-{seed}") == told(tmp_path, f"b-{seed}")
        after = stores[0].open()
        assert after.version == before.version + ours.committed
        assert after.transaction("offset") == (seed if ours.committed else None)
        assert sum(after.files()["num_records"].to_pylist()) == len(contents(stores[0]))


@pytest.mark.parametrize("partition_by", PARTITIONS, ids=str)
@pytest.mark.parametrize("tables", [("orders",), ("orders", "returns")])
def test_what_older_epochs_left_goes_as_by_sql(tmp_path, tables, partition_by):
    stores = [filled(tmp_path / name, "current", partition_by, 7) for name in "ab"]
    for store in stores if len(tables) > 1 else []:
        named = store.open().rows_where("").sort_by("_key")
        keys = [f'["{tables[n % 2]}",{{"k":{n}}}]' for n in range(len(named))]
        at = named.schema.get_field_index("_key")
        named = named.set_column(at, named.schema.field(at), pa.array(keys))
        store.open().replace(
            pa.RecordBatchReader.from_batches(named.schema, named.to_batches()), {}, partition_by
        )
    assert take_out_by_copying(stores[0].open(), "orders", tables, 2, {"x": 1})
    assert stores[1].open().delete(older_rows("orders", tables, 2), {"x": 1})
    newest = [CommitLog(str(tmp_path), name).follow()[-1] for name in "ab"]
    assert [each.operation for each in newest] == ["DELETE", "DELETE"]
    assert newest[0].deleted == newest[1].deleted > 0
    assert contents(stores[0]) == contents(stores[1])
    assert 0 < len(contents(stores[0])) < 60
    version = stores[0].open().version
    assert not take_out_by_copying(stores[0].open(), "orders", tables, 2, {"x": 2})
    assert stores[0].open().version == version


def narrow(keys, sequence=1, width=10) -> pa.Table:
    number = len(keys)
    columns = {
        "_key": pa.array(keys, pa.string()),
        "_version": pa.array([encode_version(1, sequence)] * number, pa.string()),
        "body": pa.array([f"{key}{'x' * width}" for key in keys], pa.string()),
        "city": pa.array([key[0] for key in keys], pa.string()),
    }
    return pa.table(columns)


def upserts(keys, sequence=2, width=10) -> pa.Table:
    found = narrow(keys, sequence, width)
    return found.append_column(OPERATION, pa.array(["upsert"] * len(found)))


def ranges(store) -> list[tuple[str, str]]:
    files = store.open().files()
    return sorted(zip(files["min._key"].to_pylist(), files["max._key"].to_pylist(), strict=True))


def in_ranges(uri: Path, **options) -> TableStore:
    for letter in "abcd":
        keys = [f"{letter}{n:03d}" for n in range(100)]
        write_deltalake(
            uri,
            narrow(keys),
            mode="append",
            configuration={"delta.dataSkippingStatsColumns": "_key,_version"},
            **options,
        )
    return TableStore(str(uri), {})


def test_files_that_hold_no_change_stay_and_ranges_of_keys_too(tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "MEDIUM_TARGET", 1)
    store = in_ranges(tmp_path / "t")
    before = dict(zip(ranges(store), sorted(store.open().files()["path"].to_pylist()), strict=True))
    changes = upserts(["b017", "b500", "c003"])
    merged = merge_by_copying(store.open(), changes, {}, CURRENT)
    assert (merged.upserted, merged.files_rewritten) == (3, 2)
    assert [high[0] for _, high in ranges(store)] == list("abcd")
    assert ranges(store)[1] == ("b000", "b500")
    assert all(one[1] < other[0] for one, other in pairwise(ranges(store)))
    assert len({*before.values()} & {*store.open().files()["path"].to_pylist()}) == 2


def test_small_neighbours_become_one_on_the_way(tmp_path):
    store = in_ranges(tmp_path / "t")
    merge_by_copying(store.open(), upserts(["a001", "b001", "d001"]), {}, CURRENT)
    assert ranges(store) == [("a000", "b099"), ("c000", "c099"), ("d000", "d099")]
    merge_by_copying(store.open(), upserts(["a001", "c001", "d001"], sequence=3), {}, CURRENT)
    assert ranges(store) == [("a000", "d099")]


def test_new_keys_in_the_range_of_a_file_that_stays_get_one_of_their_own(tmp_path):
    store = in_ranges(tmp_path / "t")
    changes = upserts(["A", "a001", "b099x", "c050x", "c051x", "d001", "e"])
    merge_by_copying(store.open(), changes, {}, CURRENT)
    assert ranges(store) == [
        ("A", "c051x"),
        ("a000", "a099"),
        ("b000", "b099"),
        ("c000", "c099"),
        ("d000", "e"),
    ]
    assert len(store.open().rows_where("")) == 405


def test_a_row_that_moves_leaves_its_partition_and_new_ones_lie_where_others_look(tmp_path):
    store = in_ranges(tmp_path / "t", partition_by=["city"])
    odd = ["a001", "a/b=c d%", "o'hare"]
    changes = upserts(odd)
    at = changes.schema.get_field_index("city")
    for city in (["b", "z /=%", None], ["z /=%", "b", "ü:+~"]):
        changes = changes.set_column(at, changes.schema.field(at), pa.array(city, pa.string()))
        merge_by_copying(store.open(), changes, {}, CURRENT)
        rows = {row["_key"]: row["city"] for row in store.open().rows_where("").to_pylist()}
        assert len(rows) == 402
        assert [rows[key] for key in odd] == city
        versions = [encode_version(1, 3)] * 3
        where = changes.schema.get_field_index("_version")
        changes = changes.set_column(where, changes.schema.field(where), pa.array(versions))
    copied = {Path(p).parent for p in DeltaTable(store.uri).file_uris()}
    write_deltalake(tmp_path / "theirs", store.open().rows_where(""), partition_by=["city"])
    theirs = {Path(p).parent for p in DeltaTable(tmp_path / "theirs").file_uris()}
    assert {path.name for path in copied} == {path.name for path in theirs}


def test_a_key_that_somebody_doubled_is_there_once_after_its_next_change(tmp_path):
    store = in_ranges(tmp_path / "t")
    write_deltalake(store.uri, narrow(["a001"]), mode="append")
    merged = merge_by_copying(store.open(), upserts(["a001"]), {}, CURRENT)
    assert merged.committed
    rows = store.open().rows_where("_key = 'a001'")
    assert rows["_version"].to_pylist() == [encode_version(1, 2)]


def test_columns_that_came_later_are_null_in_what_is_copied(tmp_path):
    store = in_ranges(tmp_path / "t")
    store.open().add_columns([pa.field("late", pa.int64())])
    changes = upserts(["a001"]).append_column("late", pa.array([5], pa.int64()))
    merge_by_copying(store.open(), changes, {}, CURRENT)
    late = {r["_key"]: r["late"] for r in store.open().rows_where("_key < 'b'").to_pylist()}
    assert late.pop("a001") == 5
    assert set(late.values()) == {None}
    assert len(late) == 99


@pytest.mark.parametrize(
    "properties", [{"delta.enableChangeDataFeed": "true"}, {"delta.constraints.c": "city <> ''"}]
)
def test_what_only_the_library_knows_is_left_to_it(tmp_path, properties):
    store = in_ranges(tmp_path / "t")
    assert copies(store.open())
    if "delta.constraints.c" in properties:
        DeltaTable(store.uri).alter.add_constraint({"c": "city <> ''"})
    else:
        store.open().set_properties(properties)
    assert not copies(store.open())
    assert DeltaMerge().apply(store.open(), upserts(["a001"]), {}).committed
    if "delta.enableChangeDataFeed" in properties:
        newest = store.open().version
        feed = pa.table(DeltaTable(store.uri).load_cdf(starting_version=newest).read_all())
        assert sorted(feed["_change_type"].to_pylist()) == ["update_postimage", "update_preimage"]
    assert DeltaMerge().take_out(store.open(), "orders", ["orders"], 2, {})
    assert not store.open().files().num_rows


def test_a_rule_with_words_of_its_own_is_left_to_the_library_too():
    assert all(map(known, RULES.values()))
    assert not known(MergeRule(update="s._version > 'x'"))
    assert not known(MergeRule(insert="s.city = 'a'"))


def test_the_known_keys_outlive_a_seal(tmp_path, monkeypatch):
    store, keys = in_ranges(tmp_path / "t"), KnownKeys()
    assert keys.lacks(store.open(), ["x"])
    take_out_by_copying(store.open(), "orders", ["orders"], 2, {})
    monkeypatch.setattr(KnownKeys, "_read", lambda *_: pytest.fail("read again"))
    assert keys.lacks(store.open(), ["x"])


@pytest.mark.parametrize("text", ["alike", "unlike"])
def test_long_texts_are_read_a_few_at_a_time_also_where_they_repeat(tmp_path, monkeypatch, text):
    monkeypatch.setattr(looking, "PART_BYTES", 1024**2)
    chance = random.Random(1)
    bodies = [("x" * 200_000 if text == "alike" else chance.randbytes(100_000).hex())] * 40
    table = narrow([f"k{n:03d}" for n in range(40)]).set_column(2, "body", pa.array(bodies))
    write_deltalake(tmp_path / "t", table)
    snapshot = TableStore(str(tmp_path / "t"), {}).open()
    (path,) = snapshot.files()["path"].to_pylist()
    parts = list(TableFiles(snapshot).rows(path))
    assert sum(map(len, parts)) == 40
    assert max(part.nbytes for part in parts) <= 2 * 1024**2


_WIDE = """
import os, random, sys
import pyarrow as pa
from deltalake import write_deltalake
from sinks.engine import DeltaMerge
from sinks.table import TableStore
from tests.benchmarks.meter import peak_rss_bytes
from tests.unit.sinks.test_copying import narrow, upserts

uri, items = sys.argv[1], int(sys.argv[2])
chance = random.Random(1)
keys = [f"{chance.randbytes(4).hex()}-{n:06d}" for n in range(items)]

def wide(rows):
    bodies = [chance.randbytes(195_000).hex() for _ in range(len(rows))]
    return rows.set_column(rows.schema.get_field_index("body"), "body", pa.array(bodies))
"""
_FILL = """
for begin in range(0, items, 50):
    write_deltalake(uri, wide(narrow(keys[begin : begin + 50])), mode="append")
"""
_CHANGE = """
changes = wide(upserts([*chance.sample(keys, 20), "new"]))
before = peak_rss_bytes(os.getpid())
assert DeltaMerge().apply(TableStore(uri, {}).open(), changes, {}).upserted == 21
assert DeltaMerge().take_out(TableStore(uri, {}).open(), "orders", ["orders"], 2, {})
print((peak_rss_bytes(os.getpid()) - before) // 10**6)
"""


def megabytes_to_change(folder: Path, items: int) -> int:
    """Memory to change a few items and to take all out, over what a process takes anyhow."""
    for part in (_FILL, _CHANGE):
        command = [sys.executable, "-c", _WIDE + part, str(folder / "t"), str(items)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_changing_items_of_400_kb_takes_no_more_memory_than_a_few_of_them(tmp_path):
    assert megabytes_to_change(tmp_path, 600) < 700


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_nor_does_a_table_of_thousands_of_them(tmp_path):
    assert megabytes_to_change(tmp_path, 6_000) < 700
