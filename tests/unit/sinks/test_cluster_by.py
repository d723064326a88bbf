"""Tables in an order of one's choice: sorted when it pays, by partition, never another table."""

from __future__ import annotations

import dataclasses
import random

import orjson
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from bridge.wire.errors import ConfigurationError
from sinks import cluster_by, clustering, failpoints
from sinks.cluster_by import order_of, out_of_order
from sinks.clustering import Part, parts_of
from sinks.dataset import Dataset, Target
from sinks.maintenance import CHECK_COMMITS, Caretaker
from sinks.optimizing import planned
from sinks.table import TableError
from sinks.upkeep import MEGABYTE, files_of_value
from tests.unit.sinks.build import SCHEMAS, TABLE, Crash, CrashAt, Log, World

COLUMNS = {"order_id": "string", "total": "decimal(10,2)", "city": "string", "ok": "boolean",
           "rate": "double", "at": "timestamp", "day": "date"}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cluster_by": "city"}, "is not a list"),
        ({"cluster_by": ["city", "city"]}, "each once"),
        ({"cluster_by": ["city", "day", "at", "total", "order_id"]}, "up to 4"),
        ({"cluster_by": ["town"]}, "does not select"),
        ({"cluster_by": ["ok"]}, "is a boolean"),
        ({"cluster_by": ["rate"]}, "Cast it in the transform"),
        ({"cluster_by": ["total"]}, "is a decimal"),
        ({"cluster_by": ["valid_from"]}, "does not select"),
        ({"cluster_by": ["city"], "partition_by": ["city"]}, "the same in all of a partition"),
        ({"cluster_by": ["at_day"], "partition_by": ["days(at)"]}, "the same in all"),
    ],
)
def test_what_can_not_be_is_told_with_the_way_out(options, said):
    with pytest.raises(ConfigurationError) as error:
        Dataset(id="orders", **options).check_columns(COLUMNS)
    assert said in str(error.value)


def test_columns_of_the_table_itself_can_be_chosen():
    Dataset(id="orders", cluster_by=["_event_time", "order_id", "at", "day"]).check_columns(COLUMNS)
    Dataset(id="orders", cluster_by=["valid_from"], mode="history").check_columns(COLUMNS)


def world(folder, **options) -> World:
    return World(folder, target=Target(Dataset(id="orders", **options), (TABLE,)))


@pytest.fixture
def small(monkeypatch):
    """What is a table's size by hundreds of megabytes, by tens of kilobytes."""
    monkeypatch.setattr(cluster_by, "CHOSEN_LEAST", 4_000)
    monkeypatch.setattr(cluster_by, "_TIME_SHARE", 1e9)
    monkeypatch.setattr(clustering, "MEDIUM_TARGET", 4_000)
    monkeypatch.setattr("sinks.upkeep.MEDIUM_TARGET", 4_000)
    monkeypatch.setattr(clustering, "ranges_of", lambda _: 10)


def fill(writer, log, commits, rows=300, seed=1):
    chance = random.Random(seed)
    for _ in range(commits):
        start = len(log.partitions[0])
        for number in range(start, start + rows):
            log.upsert(
                f"k{number:05d}", number, order_id=chance.randbytes(24).hex(),
                total=chance.choice(["1.5", "20.5", "300.5", None]),
            )  # fmt: skip
        writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)


def contents(world):
    rows = world.store.open().reader().read_all()
    return sorted(map(repr, rows.select(sorted(rows.column_names)).to_pylist()))


def test_a_table_is_sorted_by_its_columns_and_again_when_enough_is_new(tmp_path, small):
    made = world(tmp_path, cluster_by=["order_id"])
    log, writer = Log(), made.writer()
    fill(writer, log, CHECK_COMMITS)
    before, offsets = contents(made), dict(writer.ledger.offsets)
    assert files_of_value(writer.fresh().files(), "order_id") == CHECK_COMMITS
    Caretaker(writer.fresh).look_after(writer.version)
    files = writer.fresh().files()
    assert files.num_rows > 3
    assert files_of_value(files, "order_id") < 3
    assert contents(made) == before
    # When it was sorted outlives the process: an eighth is new, which is not worth it.
    writer = made.writer()
    assert writer.ledger.offsets == offsets
    fill(writer, log, CHECK_COMMITS, rows=30, seed=2)
    caretaker = Caretaker(writer.fresh)
    caretaker.look_after(writer.version)
    assert sortings(made) == 1
    assert files_of_value(writer.fresh().files(), "order_id") > 3
    fill(writer, log, CHECK_COMMITS, rows=200, seed=3)
    before = contents(made)
    caretaker.look_after(writer.version)
    assert sortings(made) == 2
    assert files_of_value(writer.fresh().files(), "order_id") < 3
    assert contents(made) == before


def test_sorting_takes_the_writer_a_tenth_of_its_time(tmp_path, small, monkeypatch):
    monkeypatch.setattr(cluster_by, "_TIME_SHARE", 0.1)
    made = world(tmp_path, cluster_by=["order_id"])
    log, writer = Log(), made.writer()
    now = [0.0]

    def clock():
        now[0] += 1
        return now[0]

    caretaker = Caretaker(writer.fresh, clock)
    fill(writer, log, CHECK_COMMITS)
    caretaker.look_after(writer.version)
    done_s = now[0]
    fill(writer, log, CHECK_COMMITS, seed=2)
    caretaker.look_after(writer.version)
    assert sortings(made) == 1
    while sortings(made) == 1:
        fill(writer, log, CHECK_COMMITS, rows=1)
        caretaker.look_after(writer.version)
        assert now[0] < 100
    assert now[0] - done_s > 10  # sorting took one tick


def test_more_than_fits_a_turn_is_sorted_in_several(tmp_path, small, monkeypatch):
    made = world(tmp_path, cluster_by=["order_id"], partition_by=["city"])
    schemas, log, writer = with_city(SCHEMAS), Log(), made.writer()
    fill_cities(writer, log, schemas, ["a", "b", "c"])
    snapshot = writer.fresh()
    largest = max(part.bytes for part in parts_of(snapshot))
    monkeypatch.setattr(cluster_by, "CLUSTER_MOST", largest)
    caretaker = Caretaker(writer.fresh)
    for turn in (1, 2, 3, 3):
        caretaker.look_after(writer.version)
        assert sortings(made) == turn
        fill_cities(writer, log, schemas, ["d"], commits=CHECK_COMMITS, rows=1)


def sortings(made) -> int:
    return sum("tailrace.sorted" in commit for commit in made.store.open().history(1000))


def test_each_partition_is_sorted_by_itself_its_null_too(tmp_path, small):
    made = world(tmp_path, cluster_by=["order_id"], partition_by=["city"])
    schemas, log, writer = with_city(SCHEMAS), Log(), made.writer()
    (schema,) = schemas.values()
    fill_cities(writer, log, schemas, ["o'hare", "a/b=c", None])
    before = contents(made)
    Caretaker(writer.fresh).look_after(writer.version)
    snapshot = writer.fresh()
    parts = parts_of(snapshot)
    assert len(parts) == 3
    assert sortings(made) == 3
    for part in parts:
        assert part.files.num_rows > 1, part.files["size_bytes"]
        assert files_of_value(part.files, "order_id") < part.files.num_rows / 2 + 1
    assert contents(made) == before
    log.delete("k00001", 10_000, schema=schema)
    writer.commit(log.batch(dict(writer.ledger.offsets)), schemas)
    assert len(made.rows()) == CHECK_COMMITS * 900 - 1


def fill_cities(writer, log, schemas, cities, commits=CHECK_COMMITS, rows=900, *, shuffled=False):
    (schema,) = schemas.values()
    chance = random.Random(5)
    for _ in range(commits):
        for number in range(len(log.partitions[0]), len(log.partitions[0]) + rows):
            order_id = chance.randbytes(24).hex()
            city = chance.choice(cities)
            key = order_id[:4] if shuffled else "k"
            log.upsert(f"{key}{number:05d}", number, schema=schema, order_id=order_id, city=city)
        writer.commit(log.batch(dict(writer.ledger.offsets)), schemas)


def with_city(schemas):
    (schema,) = schemas.values()
    column = dataclasses.replace(schema.columns[0], name="city")
    found = dataclasses.replace(schema, columns=(*schema.columns, column))
    return {found.fingerprint: found}


@pytest.mark.parametrize("mode", ["history", "log"])
def test_histories_and_logs_are_kept_in_order_too(tmp_path, small, mode):
    made = world(tmp_path, cluster_by=["order_id"], mode=mode)
    log, writer = Log(), made.writer()
    fill(writer, log, CHECK_COMMITS)
    before = contents(made)
    Caretaker(writer.fresh).look_after(writer.version)
    assert sortings(made) == 1
    assert contents(made) == before
    fill(writer, log, 1)
    assert len(contents(made)) == (CHECK_COMMITS + 1) * 300


@pytest.mark.parametrize("point", [failpoints.AFTER_COMPACTION, failpoints.AFTER_MAINTENANCE])
def test_a_crash_after_sorting_costs_nothing(tmp_path, small, point):
    made = world(tmp_path, cluster_by=["order_id"])
    log, writer = Log(), made.writer()
    fill(writer, log, CHECK_COMMITS)
    before = contents(made)
    with pytest.raises(Crash):
        Caretaker(writer.fresh, failpoint=CrashAt(point)).look_after(writer.version)
    successor = made.writer()
    assert contents(made) == before
    Caretaker(successor.fresh).look_after(successor.version)
    fill(successor, log, 1)
    assert sortings(made) == 1
    assert len(made.rows()) == (CHECK_COMMITS + 1) * 300


def test_ranges_that_lose_or_double_a_row_never_become_the_table(tmp_path, small, monkeypatch):
    made = world(tmp_path, cluster_by=["order_id"])
    log, writer = Log(), made.writer()
    fill(writer, log, CHECK_COMMITS)
    version, before = made.version(), contents(made)
    snapshot = writer.fresh()
    (whole,) = parts_of(snapshot)
    for wrong in ("order_id > '5'", ""):
        monkeypatch.setattr(clustering, "between", lambda *_, wrong=wrong: wrong)
        with pytest.raises(TableError, match=r"sorting found \d+ rows where the table has 2400"):
            clustering.sort_part(snapshot, ["order_id", "_key"], whole, [("5", "k")], lambda: True)
    assert made.version() == version
    assert contents(made) == before


def test_the_order_may_change_at_any_time_and_is_measured(tmp_path, small):
    made = world(tmp_path)
    log, writer = Log(), made.writer()
    fill(writer, log, 1)
    assert order_of(made.store.open()) == ("_key",)
    offsets = dict(writer.ledger.offsets)
    made = world(tmp_path, cluster_by=["_event_time", "order_id"])
    writer = made.writer()
    assert writer.ledger.offsets == offsets
    fill(writer, log, 1)
    assert order_of(made.store.open()) == ("_event_time", "order_id", "_key")
    said = DeltaTable(made.store.uri).metadata().configuration
    assert orjson.loads(said["tailrace.cluster_by"]) == ["_event_time", "order_id"]
    assert {"min.order_id", "max.order_id"} <= set(made.store.open().files().column_names)
    made = world(tmp_path)
    fill(made.writer(), log, 1)
    assert order_of(made.store.open()) == ("_key",)


def test_another_order_counts_nothing_as_sorted_till_it_was(tmp_path, small):
    made = world(tmp_path, cluster_by=["order_id"])
    log, writer = Log(), made.writer()
    fill(writer, log, CHECK_COMMITS)
    Caretaker(writer.fresh).look_after(writer.version)
    assert sortings(made) == 1
    before = contents(made)
    made = world(tmp_path, cluster_by=["_version"])
    writer = made.writer()
    fill(writer, log, 1, rows=0)
    assert planned(writer.fresh(), sort=True)[0].pays
    Caretaker(writer.fresh).look_after(writer.version)
    assert sortings(made) == 2
    assert files_of_value(writer.fresh().files(), "_version") < 3
    assert not planned(writer.fresh(), sort=True)[0].pays
    # Back again: what was written since is not in the former order.
    made = world(tmp_path, cluster_by=["order_id"])
    writer = made.writer()
    assert planned(writer.fresh(), sort=True)[0].pays
    Caretaker(writer.fresh).look_after(writer.version)
    assert sortings(made) == 3
    assert files_of_value(writer.fresh().files(), "order_id") < 3
    assert contents(made) == before


def test_the_key_can_be_chosen_for_a_table_with_partitions(tmp_path, small):
    made = world(tmp_path, cluster_by=["_key"], partition_by=["city"])
    schemas, log, writer = with_city(SCHEMAS), Log(), made.writer()
    fill_cities(writer, log, schemas, ["a", "b"], shuffled=True)
    before = contents(made)
    assert max(map(files_of_key, parts_of(writer.fresh()))) > 3
    Caretaker(writer.fresh).look_after(writer.version)
    assert sortings(made) == 2
    assert max(map(files_of_key, parts_of(writer.fresh()))) < 3
    assert contents(made) == before


def files_of_key(part):
    return files_of_value(part.files, "_key")


def test_a_chosen_column_that_is_not_there_yet_ends_the_order(tmp_path, small):
    made = world(tmp_path, cluster_by=["order_id", "city", "_event_time"])
    log, writer = Log(), made.writer()
    fill(writer, log, 1)
    assert order_of(made.store.open()) == ("order_id", "_key")


def files(*each):
    """Files given as (megabytes, lowest, highest, when written in milliseconds)."""
    names = ("size_bytes", "min.city", "max.city", "modification_time")
    columns = {name: [row[at] for row in each] for at, name in enumerate(names)}
    columns["size_bytes"] = [size * MEGABYTE for size in columns["size_bytes"]]
    columns["num_records"], columns["null_count.city"] = [9] * len(each), [0] * len(each)
    return Part("", pa.table(columns))


def test_a_part_is_sorted_where_a_quarter_is_newer_and_lies_across():
    across = [(30, "a", "z", 5)] * 6
    in_order = [(30, f"{n}0", f"{n}9", 5) for n in range(6)]
    assert out_of_order(files(*across), "city", 0)
    assert not out_of_order(files(*across), "city", 5)
    assert not out_of_order(files(*in_order), "city", 0)
    assert not out_of_order(files((30, "a", "z", 5), (2, "a", "z", 5)), "city", 0)
    assert not out_of_order(files(*in_order, (30, "0", "9", 6)), "city", 5)
    assert out_of_order(files(*in_order, *[(30, "0", "9", 6)] * 2), "city", 5)
    assert out_of_order(files(*across), "town", 0)  # nothing is known of it


def test_files_of_nothing_but_null_are_not_in_the_way():
    part = files(*[(30, f"{n}0", f"{n}9", 5) for n in range(6)], (30, None, None, 5))
    nulls = pa.array([0] * 6 + [9])
    at = part.files.column_names.index("null_count.city")
    assert files_of_value(part.files, "city") == 7
    assert files_of_value(part.files.set_column(at, "null_count.city", nulls), "city") == 1
