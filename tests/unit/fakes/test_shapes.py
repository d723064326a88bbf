"""Every answer is made of members that botocore's service models know, and reads as AWS's do."""

import contextlib
import http.client
import zlib
from datetime import UTC, datetime
from typing import Any

import botocore.session
import orjson
import pytest
from botocore.exceptions import ClientError

from tests.fakes.dynamodb import FakeDynamoDB, VirtualClock, World
from tests.fakes.dynamodb.operations import OPERATIONS, STREAMS
from tests.unit.fakes.reader import listed, read_all

_KEY = {"id": {"S": "a"}}
_ITEM = {
    **_KEY,
    "n": {"N": "1.50"},
    "b": {"B": "AAE="},
    "bool": {"BOOL": False},
    "nothing": {"NULL": True},
    "list": {"L": [{"S": ""}, {"M": {}}]},
    "map": {"M": {"ö": {"SS": ["x", "y"]}}},
    "ns": {"NS": ["1", "2"]},
    "bs": {"BS": ["AA==", "AQ=="]},
}
_STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
_TOTAL = {"ReturnConsumedCapacity": "INDEXES"}
_TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/other"

# Every operation once, in an order in which each has what it needs.
_CALLS: list[tuple[str, dict[str, Any]]] = [
    (
        "CreateTable",
        {
            "TableName": "other",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": _STREAM,
            "Tags": [{"Key": "team", "Value": "orders"}],
        },
    ),
    ("DescribeTable", {"TableName": "other"}),
    ("ListTables", {"Limit": 1}),
    ("TagResource", {"ResourceArn": _TABLE, "Tags": [{"Key": "cdc", "Value": "yes"}]}),
    ("UntagResource", {"ResourceArn": _TABLE, "TagKeys": ["team"]}),
    ("ListTagsOfResource", {"ResourceArn": _TABLE}),
    (
        "UpdateTimeToLive",
        {"TableName": "other", "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "t"}},
    ),
    ("DescribeTimeToLive", {"TableName": "other"}),
    ("PutItem", {"TableName": "other", "Item": _ITEM, **_TOTAL}),
    ("GetItem", {"TableName": "other", "Key": _KEY, **_TOTAL}),
    ("BatchGetItem", {"RequestItems": {"other": {"Keys": [_KEY]}}, **_TOTAL}),
    ("Scan", {"TableName": "other", "Limit": 1, **_TOTAL}),
    (
        "Query",
        {
            "TableName": "other",
            "KeyConditionExpression": "id = :id",
            "ExpressionAttributeValues": {":id": {"S": "a"}},
            **_TOTAL,
        },
    ),
    (
        "UpdateItem",
        {
            "TableName": "other",
            "Key": _KEY,
            "UpdateExpression": "SET n = n + :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "ALL_NEW",
            **_TOTAL,
        },
    ),
    ("DeleteItem", {"TableName": "other", "Key": _KEY, "ReturnValues": "ALL_OLD", **_TOTAL}),
    (
        "BatchWriteItem",
        {"RequestItems": {"other": [{"PutRequest": {"Item": _ITEM}}]}, **_TOTAL},
    ),
    ("TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": "other", "Key": _KEY}}]}),
    ("ListStreams", {"TableName": "other"}),
    ("DescribeStream", {"StreamArn": "<arn>", "Limit": 1}),
    (
        "GetShardIterator",
        {"StreamArn": "<arn>", "ShardId": "<shard>", "ShardIteratorType": "TRIM_HORIZON"},
    ),
    ("GetRecords", {"ShardIterator": "<iterator>"}),
    ("UpdateTable", {"TableName": "other", "StreamSpecification": {"StreamEnabled": False}}),
    ("DeleteTable", {"TableName": "other"}),
]


def _unknown(shape: Any, value: Any, where: str) -> list[str]:
    """The members of an answer that the model does not have, or has with another type."""
    if value is None:
        return []
    if shape.type_name == "structure":
        if set(value) - set(shape.members):
            return [f"{where}: {sorted(set(value) - set(shape.members))}"]
        return [
            problem
            for name, inner in value.items()
            for problem in _unknown(shape.members[name], inner, f"{where}.{name}")
        ]
    if shape.type_name == "list":
        return [p for i, v in enumerate(value) for p in _unknown(shape.member, v, f"{where}[{i}]")]
    if shape.type_name == "map":
        return [p for k, v in value.items() for p in _unknown(shape.value, v, f"{where}.{k}")]
    kinds = {
        "string": str,
        "blob": str,
        "boolean": bool,
        "integer": int,
        "long": int,
        "double": float | int,
        "timestamp": float | int,
    }
    if not isinstance(value, kinds[shape.type_name]):
        return [f"{where}: {value!r} is no {shape.type_name}"]
    least, most = (shape.metadata.get(bound) for bound in ("min", "max"))
    # AWS itself sends zeros where its model says at least one, so only texts are measured.
    size = len(value) if isinstance(value, str) else None
    if size is not None and not (least or 0) <= size <= (most or size):
        return [f"{where}: {value!r} is not within {least} and {most}"]
    return []


def _filled(request: dict[str, Any], world: World, arn: str) -> dict[str, Any]:
    values = {"<arn>": arn}
    if "<shard>" in request.values() or "<iterator>" in request.values():
        shard_id = next(shard.id for shard in world.shards("other") if shard.records)
        values["<shard>"] = shard_id
        values["<iterator>"] = world.call(
            "GetShardIterator",
            StreamArn=arn,
            ShardId=shard_id,
            ShardIteratorType="TRIM_HORIZON",
        )["ShardIterator"]
    return {
        name: values.get(value, value) if isinstance(value, str) else value
        for name, value in request.items()
    }


def test_every_answer_fits_botocores_model(world: World) -> None:
    session = botocore.session.get_session()
    models = {
        service: session.get_service_model(service) for service in ("dynamodb", "dynamodbstreams")
    }
    world.create_table("first")
    assert {name for name, _ in _CALLS} == set(OPERATIONS)
    arn = ""
    for name, request in _CALLS:
        answer = world.call(name, **_filled(request, world, arn))
        service = "dynamodbstreams" if OPERATIONS[name].service == STREAMS else "dynamodb"
        model = models[service].operation_model(name)
        if model.output_shape is None:
            assert answer == {}
        else:
            assert _unknown(model.output_shape, answer, name) == []
        arn = arn or world.stream_arn("other")


def test_every_error_is_one_that_the_model_or_the_protocol_knows(
    world: World, dynamodb_client: Any, streams_client: Any
) -> None:
    with pytest.raises(
        dynamodb_client.exceptions.ResourceNotFoundException, match="Table: nowhere"
    ):
        dynamodb_client.describe_table(TableName="nowhere")
    with pytest.raises(streams_client.exceptions.ResourceNotFoundException, match="Stream"):
        streams_client.describe_stream(StreamArn="arn:aws:dynamodb:us-east-1:1:table/x/stream/none")
    world.create_table("orders")
    with pytest.raises(
        dynamodb_client.exceptions.ResourceInUseException, match="already exists: orders"
    ):
        dynamodb_client.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    with pytest.raises(ClientError) as refused:
        dynamodb_client.put_item(TableName="orders", Item={"other": {"S": "x"}})
    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "One or more parameter values were invalid: Missing the key id in the item",
    }


def test_a_record_is_as_aws_sends_it(
    world: World, clock: VirtualClock, streams_client: Any
) -> None:
    arn = world.create_table("orders", shards=1)
    world.put("orders", {"id": {"S": "a"}, "n": {"N": "1.50"}, "b": {"B": "AAE="}})
    clock.advance(0.9)
    world.expire("orders", {"id": {"S": "a"}})
    (shard,) = listed(world, arn or "")
    token = streams_client.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    insert, remove = streams_client.get_records(ShardIterator=token)["Records"]
    number = insert["dynamodb"]["SequenceNumber"]
    assert insert == {
        "eventID": insert["eventID"],
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": datetime.fromtimestamp(1_790_000_000, UTC),
            "Keys": {"id": {"S": "a"}},
            "NewImage": {"id": {"S": "a"}, "n": {"N": "1.5"}, "b": {"B": b"\x00\x01"}},
            "SequenceNumber": number,
            "SizeBytes": 13,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
    }
    assert len(insert["eventID"]) == 32
    assert insert["eventID"] != remove["eventID"]
    assert 21 <= len(number) <= 40
    assert remove["eventName"] == "REMOVE"
    assert remove["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    assert "NewImage" not in remove["dynamodb"]
    # Rounded down to the second.
    assert remove["dynamodb"]["ApproximateCreationDateTime"].timestamp() == 1_790_000_000


def test_times_are_numbers_in_exponent_form(world: World) -> None:
    arn = world.create_table("orders", shards=1)
    world.put("orders", {"id": {"S": "a"}})
    (shard,) = world.shards("orders")
    assert b'"ApproximateCreationDateTime":1.79E9,' in shard.records[0].body
    ((_, record),) = read_all(world, arn or "")
    assert record["dynamodb"]["ApproximateCreationDateTime"] == 1_790_000_000


@pytest.mark.parametrize(
    ("view_type", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
def test_each_view_type_has_its_images(world: World, view_type: Any, images: set[str]) -> None:
    arn = world.create_table("orders", view_type=view_type)
    world.put("orders", {"id": {"S": "a"}, "v": {"N": "1"}})
    world.put("orders", {"id": {"S": "a"}, "v": {"N": "2"}})
    modify = read_all(world, arn or "")[1][1]["dynamodb"]
    assert modify.keys() & {"NewImage", "OldImage"} == images
    assert modify["StreamViewType"] == view_type
    assert modify["Keys"] == {"id": {"S": "a"}}


def _post(
    server: FakeDynamoDB, target: str, body: bytes, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """The status, headers and body that answer a request made by hand."""
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=5)
    with contextlib.closing(connection):
        connection.request("POST", "/", body, {"X-Amz-Target": target, **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKID/20260921/us-east-1/dynamodb/aws4_request,"
    " SignedHeaders=host, Signature=0"
}


def test_answers_carry_their_checksum(server: FakeDynamoDB) -> None:
    status, headers, body = _post(server, "DynamoDB_20120810.ListTables", b"{}", **_SIGNED)
    assert (status, body) == (200, b'{"TableNames":[]}')
    assert headers["x-amz-crc32"] == str(zlib.crc32(body))
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert len(headers["x-amzn-requestid"]) == 32


@pytest.mark.parametrize(
    ("target", "body", "headers", "code"),
    [
        ("DynamoDB_20120810.ListTables", b"{}", {}, "MissingAuthenticationTokenException"),
        ("DynamoDB_20120810.GetRecords", b"{}", _SIGNED, "UnknownOperationException"),
        ("DynamoDB_20120810.Nothing", b"{}", _SIGNED, "UnknownOperationException"),
        ("DynamoDB_20120810.ListTables", b"{", _SIGNED, "SerializationException"),
        ("DynamoDB_20120810.DescribeTable", b"{}", _SIGNED, "ValidationException"),
        ("DynamoDB_20120810.ListTables", b'{"Limits":1}', _SIGNED, "ValidationException"),
    ],
)
def test_malformed_requests_are_refused_by_name(
    server: FakeDynamoDB, target: str, body: bytes, headers: dict[str, str], code: str
) -> None:
    status, _, refusal = _post(server, target, body, **headers)
    assert status == 400
    assert orjson.loads(refusal)["__type"].partition("#")[2] == code
