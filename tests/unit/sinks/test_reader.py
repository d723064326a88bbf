"""What verify and query read."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bridge.wire.errors import TailraceError
from sinks.properties import DATASET_PROPERTY, TAGS_PROPERTY
from sinks.reader import datasets, open_table, query
from sinks.table import lake_storage_options
from tests.unit.sinks.build import SCHEMAS, TOPIC, Log, World, version


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    log, writer = Log(), world.writer()
    for i in range(30):
        log.upsert(f"it's {i}", i)
    log.delete("it's 0", 99)
    writer.commit(log.batch({}), SCHEMAS)
    return world


def test_rows_come_as_key_and_columns(world):
    rows = dict(world.view().rows())
    assert len(rows) == world.view().count() == 29
    assert rows["it's 7"]["total"] == Decimal("7.50")
    assert rows["it's 7"]["_version"] == version(7)
    assert "_key" not in rows["it's 7"]


def test_rows_are_looked_up_by_key(world):
    found = world.view().lookup(["it's 3", "none"], ["order_id"])
    assert found == {"it's 3": {"order_id": "it's 3"}}


def test_a_snapshot_says_how_far_it_is(world):
    assert world.view().offsets("ns1", TOPIC, range(1)) == {0: 31}
    assert world.view().offsets("other", TOPIC, range(1)) == {0: None}
    assert world.view().columns == ["order_id", "total"]


def test_datasets_are_listed_without_our_own_tables(world, tmp_path):
    assert datasets(str(tmp_path)) == ["orders"]
    assert datasets(str(tmp_path / "none")) == []


def test_a_table_that_is_not_there_is_none(tmp_path):
    assert open_table(str(tmp_path), "orders") is None


def test_sql_over_the_lake(world, tmp_path):
    answer = query(str(tmp_path), "select count(*) as n from orders where total > 10")
    assert answer.read_all().to_pylist() == [{"n": 20}]


def test_a_wrong_query_names_what_there_is(world, tmp_path):
    with pytest.raises(TailraceError, match="Tables here: orders"):
        query(str(tmp_path), "select * from missing")


def test_the_table_says_what_it_is(world):
    snapshot = world.store.open()
    metadata = snapshot.delta.metadata()
    assert (metadata.name, metadata.description) == ("orders", "All orders")
    assert snapshot.properties[DATASET_PROPERTY] == "orders"
    assert snapshot.properties[TAGS_PROPERTY] == '["a","b"]'


def test_s3_commits_are_conditional_puts():
    options = lake_storage_options("s3://b/l", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert options["aws_conditional_put"] == "etag"
    assert options["AWS_ALLOW_HTTP"] == "true"
    assert lake_storage_options("/tmp/l", {}) == {}
