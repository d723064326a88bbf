"""The same writes against the fake and against another DynamoDB leave the same items and records.

The other one is what `--dynamodb` names. moto is known to record no-op writes, to record an upsert
by UpdateItem twice and not to normalise numbers: the tests that go there need DynamoDB Local. That
one in turn leaves numbers inside lists and of expressions as they came, orders bytes as signed and
shows an empty map in a record as `{}`: what AWS does there is taken from its documentation.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fakes.dynamodb import FakeDynamoDB
from tests.parts.dynamodb import DynamoDB
from tests.unit.fakes.clients import client

pytestmark = pytest.mark.integration

_SPECIFICATION = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
_KEY = {"h": {"S": "a"}, "r": {"N": "1"}}

Writes = Callable[[Any, str], None]


def _create(dynamodb: Any, table_name: str) -> None:
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


def _item(key: dict[str, Any], step: int) -> dict[str, Any]:
    return {
        **key,
        "v": {"N": str(step)},
        "gone": {"BOOL": step % 2 == 0},
        "m": {"M": {"list": {"L": [{"NULL": True}, {"B": b"\x00\xff"}]}}},
        "t": {"SS": ["a", "b"]},
        "words": {"S": "ö €"},
    }


def _many_writes(dynamodb: Any, table_name: str, seed: int) -> None:
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
    keys = [{"h": {"S": "b"}, "r": {"N": str(number)}} for number in (1, 2)]
    puts = [{"PutRequest": {"Item": _item(key, 1)}} for key in keys]
    dynamodb.batch_write_item(RequestItems={table_name: puts})
    dynamodb.transact_write_items(
        TransactItems=[
            {"Delete": {"TableName": table_name, "Key": keys[0]}},
            {"Put": {"TableName": table_name, "Item": _item(_KEY, 1)}},
        ]
    )


def _unusual_writes(dynamodb: Any, table_name: str) -> None:
    numbers = ["1.50", "1E3", "-0", "+7", "1e20", "1E-20", "-12.345", "9" * 38, "1e-130", "100.01"]
    mixed = {
        **_KEY,
        "ns": {"NS": ["10", "9.0", "-1e2"]},
        "bs": {"BS": [b"\x7f", b"\x00"]},
        "ss": {"SS": ["ö", "b", "Z"]},
        "all": {"L": [{"N": "-12.5"}, {"N": "100"}, {"M": {"x": {"N": "0"}}}, {"BOOL": True}]},
    }
    dynamodb.put_item(TableName=table_name, Item=mixed)
    dynamodb.put_item(TableName=table_name, Item={**mixed, "ns": {"NS": ["-100", "9", "1E1"]}})
    dynamodb.delete_item(TableName=table_name, Key={"h": {"S": "never"}, "r": {"N": "1"}})
    for number in numbers:
        key = {"h": {"S": "n"}, "r": {"N": number}}
        dynamodb.put_item(TableName=table_name, Item={**key, "v": {"N": number}})
    update = {"TableName": table_name, "ReturnValues": "ALL_NEW"}
    dynamodb.update_item(**update, Key={"h": {"S": "upsert"}, "r": {"N": "1"}})
    for expression, values in (
        ("ADD n :one, ss :s SET q = if_not_exists(q, :l)", {":one": 1, ":s": 1, ":l": 1}),
        ("SET n = n + :one, q = list_append(q, :l), w.#a = :one", {":one": 1, ":l": 1}),
        ("SET w = :m", {":m": 1}),
        ("SET w.#a = :one REMOVE q[0]", {":one": 1}),
        ("DELETE ss :s", {":s": 1}),
        ("REMOVE nothing", {}),
    ):
        _try_update(dynamodb, {**update, "Key": _KEY}, expression, set(values))


def _try_update(dynamodb: Any, request: dict[str, Any], expression: str, values: set[str]) -> None:
    known = {
        ":one": {"N": "1"},
        ":s": {"SS": ["b", "x"]},
        ":l": {"L": [{"S": "y"}]},
        ":m": {"M": {"z": {"NULL": True}}},
    }
    if values:
        used = {name: value for name, value in known.items() if name in values}
        request = {**request, "ExpressionAttributeValues": used}
    if "#a" in expression:
        request = {**request, "ExpressionAttributeNames": {"#a": "a.b"}}
    try:
        dynamodb.update_item(**request, UpdateExpression=expression)
    except ClientError as error:
        # Both must refuse it; the refusal leaves a mark that is compared.
        mark = {**_KEY, "h": {"S": f"{error.response['Error']['Code']} {expression}"}}
        dynamodb.put_item(TableName=request["TableName"], Item=mark)


def _records(streams: Any, arn: str, members: tuple[str, ...]) -> list[Any]:
    """By item, in order: what happened and the images."""
    found: list[Any] = []
    description = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    for shard in description["Shards"]:
        token = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found += streams.get_records(ShardIterator=token)["Records"]
    shown = [
        (
            record["eventName"],
            record["eventSource"],
            {name: record["dynamodb"].get(name) for name in members},
        )
        for record in found
    ]
    # Sorting keeps the order of records of one item, which lie in one shard.
    return sorted(shown, key=lambda record: sorted(map(str, record[2]["Keys"].values())))


def _outcome(
    endpoint: str, table_name: str, write: Writes, members: tuple[str, ...]
) -> tuple[list[Any], list[Any]]:
    dynamodb, streams = (client(name, endpoint) for name in ("dynamodb", "dynamodbstreams"))
    _create(dynamodb, table_name)
    write(dynamodb, table_name)
    table = dynamodb.describe_table(TableName=table_name)["Table"]
    assert table["StreamSpecification"] == _SPECIFICATION
    items = dynamodb.scan(TableName=table_name, ConsistentRead=True)["Items"]
    records = _records(streams, table["LatestStreamArn"], members)
    dynamodb.close()
    streams.close()
    items.sort(key=lambda item: (item["h"]["S"], float(item["r"]["N"])))
    return items, records


_MEMBERS = ("Keys", "OldImage", "NewImage", "StreamViewType")


@pytest.mark.parametrize("seed", [1, 2])
def test_items_and_records_are_the_same(
    dynamodb: DynamoDB, server: FakeDynamoDB, namespace: str, seed: int
) -> None:
    def write(made: Any, table_name: str) -> None:
        _many_writes(made, table_name, seed)

    theirs = _outcome(dynamodb.endpoint, namespace, write, _MEMBERS)
    ours = _outcome(server.endpoint, namespace, write, _MEMBERS)
    assert ours == theirs
    assert len(ours[1]) > 80


@pytest.mark.real
def test_numbers_sets_upserts_and_sizes_are_the_same(
    dynamodb: DynamoDB, server: FakeDynamoDB, namespace: str
) -> None:
    members = (*_MEMBERS, "SizeBytes")
    theirs = _outcome(dynamodb.endpoint, namespace, _unusual_writes, members)
    ours = _outcome(server.endpoint, namespace, _unusual_writes, members)
    assert ours == theirs
    assert len(ours[1]) > 15


@pytest.mark.real
@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("put_item", {"Item": {"h": {"S": ""}, "r": {"N": "1"}}}),
        ("put_item", {"Item": {"h": {"S": "a"}}}),
        ("put_item", {"Item": {**_KEY, "v": {"SS": []}}}),
        ("put_item", {"Item": {**_KEY, "v": {"NS": ["1", "1.0"]}}}),
        ("put_item", {"Item": {**_KEY, "v": {"N": "1e126"}}}),
        ("put_item", {"Item": {**_KEY, "v": {"N": "1" * 39}}}),
        ("put_item", {"Item": {**_KEY, "v": {"S": "x" * 410_000}}}),
        ("put_item", {"Item": _KEY, "ExpressionAttributeNames": {"#a": "a"}}),
        ("get_item", {"Key": {"h": {"S": "a"}}}),
        ("get_item", {"Key": _KEY, "ProjectionExpression": "status"}),
        ("delete_item", {"Key": _KEY, "ConditionExpression": "attribute_exists(h)"}),
        ("scan", {"Segment": 2, "TotalSegments": 2}),
        ("scan", {"Segment": 0}),
        ("describe_table", {"TableName": "not-there"}),
        ("update_table", {"StreamSpecification": _SPECIFICATION}),
    ],
)
def test_what_is_refused_is_refused_alike(
    dynamodb: DynamoDB,
    server: FakeDynamoDB,
    namespace: str,
    operation: str,
    request_: dict[str, Any],
) -> None:
    codes = []
    for endpoint in (dynamodb.endpoint, server.endpoint):
        made = client("dynamodb", endpoint)
        _create(made, namespace)
        with pytest.raises(ClientError) as refused:
            getattr(made, operation)(**{"TableName": namespace, **request_})
        codes.append(refused.value.response["Error"]["Code"])
        made.close()
    assert codes[0] == codes[1]
