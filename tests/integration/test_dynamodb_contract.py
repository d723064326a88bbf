"""What we need of a DynamoDB endpoint: streams whose records tell an item's story in order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parts.dynamodb import DynamoDB
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def table(dynamodb: DynamoDB, namespace: str) -> str:
    """A fresh table with a stream of both images."""
    client = dynamodb.client()
    client.create_table(
        TableName=namespace,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    client.get_waiter("table_exists").wait(TableName=namespace, WaiterConfig={"Delay": 1})
    return namespace


def read_stream(dynamodb: DynamoDB, table: str) -> list[dict[str, Any]]:
    """Every record the stream holds now, shard by shard from the trim horizon."""
    arn = dynamodb.client().describe_table(TableName=table)["Table"]["LatestStreamArn"]
    streams = dynamodb.client("dynamodbstreams")
    found: list[dict[str, Any]] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        page = {"NextShardIterator": iterator, "Records": [None]}
        while page["Records"] and page.get("NextShardIterator"):
            page = streams.get_records(ShardIterator=page["NextShardIterator"])
            found.extend(page["Records"])
    return found


def test_stream_tells_an_items_changes_in_order(dynamodb: DynamoDB, table: str) -> None:
    client = dynamodb.client()
    key = {"id": {"S": "o-1"}}
    for total in ("1", "2"):
        client.put_item(TableName=table, Item={**key, "total": {"N": total}})
    client.delete_item(TableName=table, Key=key)
    client.put_item(TableName=table, Item={**key, "total": {"N": "3"}})

    def whole() -> list[dict[str, Any]]:
        found = read_stream(dynamodb, table)
        return found if len(found) >= 4 else []

    records = wait_until(whole, timeout_s=20, what="four stream records")
    names = [record["eventName"] for record in records]
    assert names == ["INSERT", "MODIFY", "REMOVE", "INSERT"]
    changes = [record["dynamodb"] for record in records]
    assert [change.get("NewImage", {}).get("total") for change in changes] == [
        {"N": "1"},
        {"N": "2"},
        None,
        {"N": "3"},
    ]
    assert [change.get("OldImage", {}).get("total") for change in changes] == [
        None,
        {"N": "1"},
        {"N": "2"},
        None,
    ]
    assert all(change["Keys"] == key for change in changes)
    sequence = [int(change["SequenceNumber"]) for change in changes]
    assert sequence == sorted(set(sequence))
