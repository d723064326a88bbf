"""The source's side, against an embedded DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.control import source_items
from bridge.control.source_items import SourceTable, as_client, as_json, dynamodb_client
from bridge.source import DynamoDBSource
from bridge.wire.errors import ConfigurationError, TailraceError
from tests.parts.aws import credentials
from tests.parts.dynamodb import DynamoDB
from tests.parts.ports import free_port


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, dynamodb: DynamoDB) -> DynamoDB:
    """This process talks to the test's DynamoDB."""
    for name, value in dynamodb.environment.items():
        monkeypatch.setenv(name, value)
    return dynamodb


@pytest.fixture
def table(account: DynamoDB, namespace: str) -> Iterator[str]:
    """A table with a number hash key and a binary range key."""
    client: Any = account.client()
    client.create_table(
        TableName=namespace,
        KeySchema=[
            {"AttributeName": "n", "KeyType": "HASH"},
            {"AttributeName": "b", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "n", "AttributeType": "N"},
            {"AttributeName": "b", "AttributeType": "B"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    yield namespace
    client.delete_table(TableName=namespace)


def put(account: DynamoDB, table: str, count: int, **more: Any) -> None:
    client = account.client()
    for n in range(count):
        item = {"n": {"N": f"{n}"}, "b": {"B": bytes([n % 256, 255])}, **more}
        client.put_item(TableName=table, Item=item)


def test_every_page_is_read_as_json(account: DynamoDB, table: str) -> None:
    put(account, table, 6, big={"S": "x" * 300_000}, l={"L": [{"B": b"\x00"}, {"BS": [b"\x01"]}]})

    items = list(SourceTable(DynamoDBSource(table_name=table)).scan())

    assert len(items) == 6
    assert items[0]["l"] == {"L": [{"B": "AA=="}, {"BS": ["AQ=="]}]}
    assert isinstance(items[0]["b"]["B"], str)


def test_items_are_read_again_by_their_canonical_keys(account: DynamoDB, table: str) -> None:
    put(account, table, 120)
    source = SourceTable(DynamoDBSource(table_name=table))
    keys = [source.item_key(item) for item in source.scan()]

    absent = '{"b":{"B":"AAAA"},"n":{"N":"7"}}'
    found = [source.item_key(item) for item in source.get([*keys, absent])]

    assert sorted(found) == sorted(keys)
    assert len(found) == 120


def test_a_missing_table_is_one_line(account: DynamoDB) -> None:
    with pytest.raises(ConfigurationError, match="DynamoDB table absent: there is no such table"):
        SourceTable(DynamoDBSource(table_name="absent"))


def test_no_region_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))

    with pytest.raises(ConfigurationError, match="region"):
        dynamodb_client(None)


def test_no_credentials_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(TailraceError, match=r"DynamoDB table orders: .*credentials"):
        SourceTable(DynamoDBSource(table_name="orders", region="us-west-2"))


def test_an_unreachable_endpoint_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(source_items, "_ATTEMPTS", 1)

    with pytest.raises(TailraceError, match="AWS_ENDPOINT_URL"):
        SourceTable(DynamoDBSource(table_name="orders"))


def test_keys_and_items_convert_both_ways() -> None:
    key = {"b": {"B": "AP8="}, "n": {"N": "1.5"}}

    assert as_client(key) == {"b": {"B": b"\x00\xff"}, "n": {"N": "1.5"}}
    assert as_json(as_client(key)) == key
