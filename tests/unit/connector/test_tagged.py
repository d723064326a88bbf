"""Tables by their tags: found through either API, told to the other stages, never taken back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge import DynamoDBSource
from bridge.connector import tagged
from bridge.connector.aws import AwsRegion
from bridge.connector.tagged import Finder, Growth, Seen, tagged_tables
from bridge.connector.view import CheckpointView
from bridge.wire.errors import ConfigurationError, WireError
from bridge.wire.found import FoundTables, declared, read_found
from tests.parts.dynamodb import MotoServer
from tests.parts.waiting import wait_until
from tests.product.workload import ORDERS

TAGS = {"team": "orders", "stage": "live"}
REGION = "us-west-2"
SOURCE = DynamoDBSource(table_tags=TAGS, region=REGION)
OF = declared(REGION, TAGS)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    server = MotoServer(tmp_path_factory.mktemp("moto"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def account(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes tables in an empty account."""
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    dynamodb = moto.client()
    for table in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=table)

    def make(table: str, *, stream: bool = True, **tags: str) -> None:
        ORDERS.create(dynamodb, table, stream=stream)
        arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
        given = [{"Key": name, "Value": value} for name, value in tags.items()]
        if given:
            dynamodb.tag_resource(ResourceArn=arn, Tags=given)

    return make


@pytest.mark.parametrize("by_resources", [True, False])
def test_all_tags_must_match(
    account: Callable[..., None],
    moto: MotoServer,
    monkeypatch: pytest.MonkeyPatch,
    by_resources: bool,
) -> None:
    if by_resources:  # the tagging API has the same endpoint then
        monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint)
    account("both", **TAGS)
    account("one", team="orders")
    account("other", team="orders", stage="test")
    account("none")
    region = AwsRegion(REGION)
    assert (tagged._tagging_client(region) is not None) is by_resources
    assert tagged_tables(region, TAGS, (), threading.Event()) == {"both"}


def finder(committed: dict[Any, tuple[str, ...]] | None = None) -> Finder:
    region = AwsRegion(REGION)
    return Finder(
        (SOURCE,),
        region=lambda _name: region,
        committed=lambda: committed or {},
        enable_streams=False,
    )


def test_a_table_that_cannot_be_read_stops_no_other(account: Callable[..., None]) -> None:
    account("ready", **TAGS)
    account("still", stream=False, **TAGS)
    seen = finder().look(threading.Event())
    assert set(seen.tables) == set(seen.setups) == set(seen.sources) == {"ready"}
    assert seen.found == (FoundTables(OF, ("ready",)),)
    assert "aws dynamodb update-table --table-name still" in seen.problems["still"]
    assert seen.sources["ready"] == DynamoDBSource(table_name="ready", region=REGION)


def test_what_was_found_once_stays(account: Callable[..., None]) -> None:
    account("lost-its-tags")
    account("b-new", **TAGS)
    seen = finder({OF: ("lost-its-tags", "deleted")}).look(threading.Event())
    assert set(seen.tables) == {"lost-its-tags", "b-new"}
    assert seen.found == (FoundTables(OF, ("lost-its-tags", "deleted", "b-new")),)
    assert not seen.problems


def test_nothing_found_is_nothing_to_read(account: Callable[..., None]) -> None:
    account("none")
    seen = finder().look(threading.Event())
    assert (seen.tables, seen.found) == ({}, (FoundTables(OF, ()),))


def test_more_tables_end_the_run(account: Callable[..., None]) -> None:
    account("first", **TAGS)
    looks, stop = finder(), threading.Event()
    seen = looks.look(stop)
    looks.pause_s = 0.05
    with Growth(looks, seen, stop) as growth:
        account("second", **TAGS)
        wait_until(growth.ended.is_set, timeout_s=20, what="the run to end")
        growth.check()
    assert set(looks.seen.tables) == {"first", "second"}
    assert not stop.is_set()


def test_a_stop_ends_the_run() -> None:
    class Idle:
        pause_s = 60.0

    stop = threading.Event()
    with Growth(Idle(), Seen(), stop) as growth:  # type: ignore[arg-type]
        stop.set()
        wait_until(growth.ended.is_set, timeout_s=5, what="the run to end")


def test_only_what_is_new_is_written() -> None:
    view = CheckpointView()
    known = FoundTables(OF, ("b", "a"))
    assert view.not_found_yet([known]) == [FoundTables(OF, ("a", "b"))]
    view.apply(known.key(), known.value())
    assert view.not_found_yet([FoundTables(OF, ("a",))]) == []
    assert view.not_found_yet([FoundTables(OF, ("c", "a"))]) == [FoundTables(OF, ("b", "a", "c"))]


def test_other_records_are_passed_over_and_malformed_ones_refused() -> None:
    found = FoundTables(OF, ("orders-b", "orders-a"))
    assert read_found(found.key(), None) is None
    assert read_found(b'["namespace"]', b"{}") is None
    with pytest.raises(WireError, match="found tables"):
        read_found(found.key(), b'{"tables":"orders","v":1}')


@pytest.mark.parametrize("tags", [{"team": 1}, {"": "x"}, {1: "x"}, "team=orders"])
def test_tags_that_are_none(tags: Any) -> None:
    with pytest.raises(ConfigurationError, match="table_tags"):
        DynamoDBSource(table_tags=tags)


def test_tags_and_a_name_exclude_one_another() -> None:
    with pytest.raises(ConfigurationError, match="both given"):
        DynamoDBSource(table_name="orders", table_tags=TAGS)


def test_a_source_once_its_tables_are_known() -> None:
    source = SOURCE.found(("a-1", "b-2"))
    assert source.table_names == ("a-1", "b-2")
    assert [each.table_name for each in source.each] == ["a-1", "b-2"]
    assert not any(each.table_tags for each in source.each)
    assert SOURCE.each == (SOURCE,)
