"""What a Dataset may say, what a table says of it, and that a table never takes another layout."""

from __future__ import annotations

import orjson
import pytest
from deltalake import DeltaTable

from bridge.wire.errors import ConfigurationError
from sinks.dataset import Dataset, Target
from sinks.layout import Layout
from tests.unit.sinks.build import SCHEMAS, TABLE, Log, World

COLUMNS = {"city": "string", "at": "timestamp", "total": "decimal(18,2)"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "scd2"}, "Use 'current', 'history' or 'log'"),
        ({"deletes": "keep"}, "Use 'remove' or 'soft'"),
        ({"mode": "log", "deletes": "soft"}, "no meaning in mode 'log'"),
        ({"partition_by": "city"}, "is not a list of texts"),
        ({"partition_by": ["hours(at)"]}, "days(created_at)"),
        ({"partition_by": ["bucket(0, city)"]}, "1 to 4096 buckets"),
        ({"partition_by": ["city", "CITY"]}, "twice"),
        ({"properties": {"delta.appendOnly": "true"}}, "These can be set"),
        ({"properties": {"delta.logRetentionDuration": "a week"}}, "interval 30 days"),
        ({"properties": {"tailrace.tags": "x"}}, "Tailrace's own"),
        ({"properties": {"owner": "me"}}, "no name with a dot"),
    ],
)
def test_what_can_not_be_is_told_with_the_way_out(options, said):
    with pytest.raises(ConfigurationError) as error:
        Dataset(id="orders", **options)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(partition_by=("town",)), "does not select"),
        (Layout(partition_by=("days(city)",)), "a timestamp is needed"),
        (Layout(partition_by=("total",)), "a string, bigint, boolean or date is needed"),
        (Layout(partition_by=("bucket(4, at)",)), "a string, bigint or date is needed"),
    ],
)
def test_a_partition_is_made_of_a_column_that_is_there_and_fits(layout, said):
    with pytest.raises(ConfigurationError) as error:
        layout.check_columns(COLUMNS, "here")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("layout", "name"),
    [(Layout("history"), "valid_to"), (Layout("log"), "_op"), (Layout(deletes="soft"), "_Deleted")],
)
def test_a_column_of_the_transform_is_none_of_the_layouts(layout, name):
    with pytest.raises(ConfigurationError, match="the table uses itself"):
        layout.check_columns({**COLUMNS, name: "string"}, "here")


def world(folder, **options) -> World:
    return World(folder, target=Target(Dataset(id="orders", **options), (TABLE,)))


def written(folder, log=None, **options) -> World:
    """A table with what a log holds."""
    made = world(folder, **options)
    if log is None:
        log = Log()
        log.upsert("a", 0)
    writer = made.writer()
    writer.commit(log.batch({}), SCHEMAS)
    writer.seal_what_is_due()
    return made


@pytest.mark.parametrize(
    "other",
    [{"mode": "log"}, {"mode": "history"}, {"deletes": "soft"}, {"partition_by": ["city"]}],
)
def test_a_table_never_takes_rows_of_another_layout(tmp_path, other):
    before = written(tmp_path)
    version = before.version()
    with pytest.raises(ConfigurationError) as error:
        world(tmp_path, **other).writer()
    assert "in place" in str(error.value)
    assert "another id" in str(error.value)
    assert before.version() == version


def test_what_is_declared_besides_rows_stands_in_the_metadata_and_follows_changes(tmp_path):
    first = written(
        tmp_path,
        tags=["a", "b"],
        description="Orders.",
        properties={"acme.owner": "sales", "delta.checkpointInterval": "7"},
    )
    table = DeltaTable(first.store.uri)
    said = table.metadata().configuration
    assert (table.metadata().name, table.metadata().description) == ("orders", "Orders.")
    assert orjson.loads(said["tailrace.tags"]) == ["a", "b"]
    assert (said["acme.owner"], said["delta.checkpointInterval"]) == ("sales", "7")
    offsets = dict(first.writer().ledger.offsets)
    second = world(tmp_path, tags=["c"], description="All orders.")
    assert dict(second.writer().ledger.offsets) == offsets
    table = DeltaTable(first.store.uri)
    assert table.metadata().description == "All orders."
    assert orjson.loads(table.metadata().configuration["tailrace.tags"]) == ["c"]
    version = table.version()
    second.writer()
    assert second.version() == version, "a table that says the right thing needs no commit"


def test_a_plain_reader_finds_each_mode(tmp_path):
    log = Log()
    log.upsert("a", 0)
    log.upsert("a", 2)
    log.delete("a", 3)
    log.upsert("b", 1)
    entries = read(written(tmp_path / "log", log, mode="log"), "_key", "_op")
    assert entries == [("a", "delete"), ("a", "read"), ("a", "upsert"), ("b", "upsert")]
    history = read(written(tmp_path / "history", log, mode="history"), "_key", "is_current")
    assert history == [("b", True)], "what lasted less than a second was never seen"
    soft = read(written(tmp_path / "soft", log, deletes="soft"), "_key", "_deleted")
    assert soft == [("a", True), ("b", False)]


def read(world: World, *columns: str) -> list[tuple]:
    rows = DeltaTable(world.store.uri).to_pyarrow_table(columns=list(columns)).to_pylist()
    return sorted(tuple(row[name] for name in columns) for row in rows)


@pytest.mark.parametrize("options", [{"deletes": "soft"}, {"mode": "history"}, {"mode": "log"}])
def test_what_became_of_a_batch_is_never_counted_below_zero(tmp_path, options):
    log, writer = Log(), world(tmp_path, **options).writer()
    for number, key in enumerate("abc"):
        log.upsert(key, number, event_time="2026-11-23T14:00:00Z")
    writer.commit(log.batch({}), SCHEMAS)
    for number, key in enumerate("abc", 10):
        log.delete(key, number)
    log.upsert("d", 20)
    done = writer.commit(log.batch({0: 3}), SCHEMAS)
    counts = (done.upserted, done.deleted, done.stale, done.collapsed, done.below_floor)
    assert min(counts) >= 0, counts
    again = writer.commit(Log().batch({0: 7}), SCHEMAS)
    assert (again.upserted, again.stale) == (0, 0)


@pytest.mark.parametrize("options", [{"mode": "history"}, {"mode": "log"}, {"deletes": "soft"}, {}])
def test_a_batch_may_have_more_keys_than_a_predicate(tmp_path, options):
    log, made = Log(), world(tmp_path, **options)
    keys = [f"k{number:05d}" for number in range(1_200)]
    for turn in (1, 2):
        for key in keys:
            log.upsert(key, turn, event_time=f"2026-11-23T14:00:0{turn}Z")
        made.writer().commit(log.batch(dict(made.writer().ledger.offsets)), SCHEMAS)
    states = len(keys) * (2 if options.get("mode") else 1)
    assert len(read(made, "_key", "_version")) == states
    if options.get("mode") == "history":
        assert sum(current for _, current in read(made, "_key", "is_current")) == len(keys)
