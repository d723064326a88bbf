"""Where tables lie: where `path` says, found by id, and never in each other's way."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pytest

from bridge.wire.errors import ConfigurationError
from sinks.dataset import Dataset
from sinks.location import claim, located, noted_datasets, path_uri
from sinks.reader import datasets
from sinks.table import TableStore

SCHEMA = pa.schema([("_key", pa.string())])


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


def make(uri: str, name: str) -> None:
    TableStore(uri, {}).create(SCHEMA, name=name, description="", properties={})


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (None, "s3://b/lake/orders"),
        ("finance/orders", "s3://b/lake/finance/orders"),
        ("s3://other/orders", "s3://other/orders"),
        ("/data/orders", "/data/orders"),
    ],
)
def test_a_path_lies_in_the_lake_or_is_a_place_of_its_own(path, uri):
    assert path_uri("s3://b/lake/", "orders", path) == uri


@pytest.mark.parametrize("path", ["", "/", "a//b", "../a", "a/./b", "_tailrace/x", 5, "s3://b//c"])
def test_what_is_no_place_is_refused(path):
    with pytest.raises(ConfigurationError, match="no place for a table"):
        Dataset(id="orders", path=path)


def test_a_table_is_found_by_its_id(lake):
    orders = Dataset(id="orders", path="finance/all")
    assert located(lake, "orders", {}) == f"{lake}/orders"
    uri = claim(lake, orders, {})
    make(uri, "orders")
    make(claim(lake, Dataset(id="plain"), {}), "plain")
    assert claim(lake, orders, {}) == located(lake, "orders", {}) == f"{lake}/finance/all"
    assert noted_datasets(lake, {}) == {"orders": f"{lake}/finance/all"}
    assert datasets(lake) == ["orders", "plain"]


def test_a_path_that_looks_like_another_id_is_listed_once_by_its_own(lake):
    make(claim(lake, Dataset(id="orders", path="all"), {}), "orders")
    assert datasets(lake) == ["orders"]


def test_a_table_does_not_move_by_itself_and_follows_its_folder(lake):
    make(claim(lake, Dataset(id="orders"), {}), "orders")
    moved = Dataset(id="orders", path="finance/orders")
    with pytest.raises(ConfigurationError, match="its table lies at"):
        claim(lake, moved, {})
    assert located(lake, "orders", {}) == f"{lake}/orders"
    shutil.move(f"{lake}/orders", f"{lake}/finance/orders")
    assert claim(lake, moved, {}) == located(lake, "orders", {}) == f"{lake}/finance/orders"
    with pytest.raises(ConfigurationError, match="path='finance/orders'"):
        claim(lake, Dataset(id="orders"), {})
    shutil.move(f"{lake}/finance/orders", f"{lake}/orders")
    assert claim(lake, Dataset(id="orders"), {}) == located(lake, "orders", {}) == f"{lake}/orders"


def test_another_tables_place_is_not_taken(lake):
    make(f"{lake}/shared", "theirs")
    with pytest.raises(ConfigurationError, match="a table of something else"):
        claim(lake, Dataset(id="orders", path="shared"), {})


@pytest.mark.parametrize("path", ["s3://bucket/orders", "gs://bucket/orders"])
def test_a_lake_and_its_tables_are_in_one_kind_of_store(lake, path):
    with pytest.raises(ConfigurationError, match="another kind of store"):
        claim(lake, Dataset(id="orders", path=path), {})


def test_a_table_does_not_hold_the_lake(lake, tmp_path):
    with pytest.raises(ConfigurationError, match="lies in its table's place"):
        claim(lake, Dataset(id="orders", path=str(tmp_path)), {})
