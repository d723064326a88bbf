"""The connector against the DynamoDB of `--dynamodb`: moto, or Amazon's DynamoDB Local."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import DynamoDBSource
from bridge.connector.service import ConnectorConfig
from bridge.wire.attributes import canonical_key
from bridge.wire.kafka import KafkaConfig
from tests.fault import lab
from tests.parts.aws import REGION
from tests.parts.dynamodb import DynamoDB

pytestmark = pytest.mark.integration

ITEMS = 40


@pytest.fixture
def account(dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> DynamoDB:
    for name, value in dynamodb.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return dynamodb


def create(client: Any, table: str) -> None:
    client.create_table(
        TableName=table,
        KeySchema=[
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "line", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "line", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def key(number: int) -> dict[str, Any]:
    return {"id": {"S": f"item-{number % 7}"}, "line": {"N": str(number)}}


def put(client: Any, table: str, value: int) -> None:
    for number in range(ITEMS):
        client.put_item(TableName=table, Item={**key(number), "n": {"N": str(value)}})


def source_items(client: Any, table: str) -> dict[str, Any]:
    items = client.scan(TableName=table, ConsistentRead=True)["Items"]
    return {canonical_key({"id": i["id"], "line": i["line"]}).decode(): i["n"] for i in items}


def config(kafka: KafkaConfig, *tables: str) -> ConnectorConfig:
    return lab.config(kafka, *(DynamoDBSource(table_name=t, region=REGION) for t in tables))


def test_two_tables_arrive_whole_also_after_a_restart(
    account: DynamoDB, namespace: str, kafka: KafkaConfig
) -> None:
    client = account.client()
    tables = [f"{namespace}-orders", f"{namespace}-others"]
    for table in tables:
        create(client, table)
        put(client, table, 1)
    with lab.Running(config(kafka, *tables)):
        for table in tables:
            put(client, table, 2)
            lab.await_changes(kafka, table, lambda topic: len(topic.seals) == 4)
    for table in tables:
        put(client, table, 3)
        client.delete_item(TableName=table, Key=key(5))
    with lab.Running(config(kafka, *tables)):
        for table in tables:
            wanted = ITEMS * 3 + 1
            topic = lab.await_changes(kafka, table, lambda t: len(t.stream()) >= wanted)  # noqa: B023
            for changes in lab.versions_by_item(topic.stream()).values():
                versions = [change.version for change in changes]
                assert versions == sorted(set(versions))
            state = {k: image["n"] for k, image in lab.replay(topic).items()}
            assert state == source_items(client, table)
            assert len(topic.reads()) == ITEMS
