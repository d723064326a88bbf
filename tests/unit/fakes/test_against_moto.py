"""The same writes against moto and against the fake leave the same items and the same records.

What moto is known to do unlike AWS stays out of the comparison: it records no-op writes, and an
upsert by UpdateItem twice; it does not normalise numbers.
"""

import random
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

from tests.fakes.dynamodb import FakeDynamoDB
from tests.unit.fakes.clients import client

_SPECIFICATION = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.fixture
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _write(dynamodb: Any, table_name: str, seed: int) -> None:
    dynamodb.create_table(
        TableName=table_name,
        KeySchema=[
            {"AttributeName": "h", "KeyType": "HASH"},
            {"AttributeName": "r", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "h", "AttributeType": "S"},
            {"AttributeName": "r", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification=_SPECIFICATION,
    )
    chance = random.Random(seed)
    present: set[tuple[str, str]] = set()
    for step in range(120):
        names = (f"h-{chance.randrange(4)}", str(chance.randrange(4)))
        key = {"h": {"S": names[0]}, "r": {"N": names[1]}}
        act = chance.random()
        if act < 0.3:
            dynamodb.delete_item(TableName=table_name, Key=key)
            present.discard(names)
        elif act < 0.5 and names in present:
            dynamodb.update_item(
                TableName=table_name,
                Key=key,
                UpdateExpression="SET v = :v, m.k = :v REMOVE gone",
                ExpressionAttributeValues={":v": {"N": str(step)}},
            )
        else:
            dynamodb.put_item(TableName=table_name, Item=_item(key, step))
            present.add(names)
    puts = [
        {"PutRequest": {"Item": _item({"h": {"S": "b"}, "r": {"N": str(n)}}, n)}} for n in (1, 2)
    ]
    dynamodb.batch_write_item(RequestItems={table_name: puts})
    dynamodb.transact_write_items(
        TransactItems=[
            {"Delete": {"TableName": table_name, "Key": {"h": {"S": "b"}, "r": {"N": "1"}}}},
            {
                "Put": {
                    "TableName": table_name,
                    "Item": _item({"h": {"S": "c"}, "r": {"N": "1"}}, 1),
                }
            },
        ]
    )


def _item(key: dict[str, Any], step: int) -> dict[str, Any]:
    return {
        **key,
        "v": {"N": str(step)},
        "gone": {"BOOL": step % 2 == 0},
        "m": {"M": {"list": {"L": [{"NULL": True}, {"B": b"\x00\xff"}]}}},
        "set": {"SS": ["a", "b"]},
        "text": {"S": "ö €"},
    }


def _in_key_order(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: (item["h"]["S"], int(item["r"]["N"])))


def _records(streams: Any, arn: str) -> list[Any]:
    """By item, in order: what happened and the images."""
    found: list[Any] = []
    description = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    for shard in description["Shards"]:
        token = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found += streams.get_records(ShardIterator=token)["Records"]
    members = ("Keys", "OldImage", "NewImage", "StreamViewType")
    shown = [
        (
            record["eventName"],
            record["eventSource"],
            record["awsRegion"],
            {name: record["dynamodb"].get(name) for name in members},
        )
        for record in found
    ]
    # Sorting keeps the order of records of one item, which lie in one shard.
    return sorted(shown, key=lambda record: sorted(map(str, record[3]["Keys"].values())))


@pytest.mark.parametrize("seed", [1, 2])
def test_items_and_records_are_motos(moto: str, server: FakeDynamoDB, seed: int) -> None:
    # All moto servers of a process share one world.
    table_name = f"orders-{uuid4().hex}"
    seen = []
    for endpoint in (moto, server.endpoint):
        dynamodb, streams = (client(name, endpoint) for name in ("dynamodb", "dynamodbstreams"))
        _write(dynamodb, table_name, seed)
        table = dynamodb.describe_table(TableName=table_name)["Table"]
        assert table["StreamSpecification"] == _SPECIFICATION
        items = _in_key_order(dynamodb.scan(TableName=table_name, ConsistentRead=True)["Items"])
        seen.append((items, _records(streams, table["LatestStreamArn"])))
        dynamodb.close()
        streams.close()
    (their_items, their_records), (items, records) = seen
    assert items == their_items
    assert records == their_records
    assert len(records) > 100
