"""Each scripted trouble reaches an SDK as AWS's own would, and does what it says to the data."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.exceptions import ConnectionError as ConnectionBrokenError

from tests.fakes.dynamodb import (
    AnswerLostError,
    AwsError,
    FakeDynamoDB,
    RequestLostError,
    VirtualClock,
    World,
)
from tests.unit.fakes.clients import client

_ITEM = {"id": {"S": "a"}}


@pytest.fixture
def arn(world: World) -> str:
    return world.create_table("orders", shards=2) or ""


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("throttle", "ProvisionedThroughputExceededException", 400),
        ("server_error", "InternalServerError", 500),
        ("unavailable", "ServiceUnavailable", 503),
        ("expired_token", "ExpiredTokenException", 400),
        ("denied", "AccessDeniedException", 400),
    ],
)
def test_refusals_come_as_aws_sends_them_and_take_no_effect(
    world: World, arn: str, dynamodb_client: Any, kind: Any, code: str, status: int
) -> None:
    world.fail("PutItem", kind)
    with pytest.raises(ClientError) as refused:
        dynamodb_client.put_item(TableName="orders", Item=_ITEM)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert world.items("orders") == []
    dynamodb_client.put_item(TableName="orders", Item=_ITEM)
    assert world.items("orders") == [_ITEM]


@pytest.mark.parametrize(("kind", "items"), [("reset", []), ("lost", [_ITEM])])
def test_broken_connections_are_broken_before_or_after_the_effect(
    world: World, arn: str, dynamodb_client: Any, kind: Any, items: list[Any]
) -> None:
    world.fail("PutItem", kind)
    with pytest.raises((ConnectionClosedError, ConnectionBrokenError)):
        dynamodb_client.put_item(TableName="orders", Item=_ITEM)
    assert world.items("orders") == items
    dynamodb_client.put_item(TableName="orders", Item={"id": {"S": "b"}})
    assert world.history.count("orders") == len(items) + 1


def test_without_http_the_same_troubles_are_exceptions(world: World, arn: str) -> None:
    world.fail("PutItem", "reset")
    world.fail("PutItem", "lost")
    with pytest.raises(RequestLostError):
        world.call("PutItem", TableName="orders", Item=_ITEM)
    assert world.items("orders") == []
    with pytest.raises(AnswerLostError):
        world.call("PutItem", TableName="orders", Item=_ITEM)
    assert world.items("orders") == [_ITEM]


def test_a_wrong_checksum_is_noticed_by_the_sdk(
    world: World, arn: str, server: FakeDynamoDB
) -> None:
    retrying = client("dynamodb", server.endpoint, attempts=2)
    world.fail("ListTables", "bad_checksum")
    assert retrying.list_tables()["TableNames"] == ["orders"]
    assert world.calls["ListTables"] == 2
    retrying.close()


def test_slow_answers_are_late_and_hold_up_nobody_else(
    world: World, arn: str, dynamodb_client: Any, streams_client: Any
) -> None:
    world.slow("ListTables", delay_s=0.3)
    started_s = time.monotonic()
    dynamodb_client.list_tables()
    assert time.monotonic() - started_s >= 0.3
    assert world.answer("ListStreams", {}).delay_s == 0
    world.slow("*", delay_s=5, times=1)
    assert world.answer("ListStreams", {}).delay_s == 5


def test_a_refusal_can_be_slow_too(world: World, arn: str) -> None:
    world.slow("GetItem", delay_s=2)
    world.fail("GetItem", "server_error", delay_s=1)
    with pytest.raises(AwsError) as refused:
        world.call("GetItem", TableName="orders", Key=_ITEM)
    assert refused.value.delay_s == 3


def test_faults_strike_so_often_and_only_their_operation(world: World, arn: str) -> None:
    world.throttle("DescribeStream", times=2)
    world.call("ListStreams")
    for _ in range(2):
        with pytest.raises(AwsError, match="ThrottlingException"):
            world.call("DescribeStream", StreamArn=arn)
    world.call("DescribeStream", StreamArn=arn)
    assert world.faults.struck == {"throttle": 2}


def test_faults_strike_by_chance_the_same_for_one_seed() -> None:
    def outcomes(seed: int) -> list[bool]:
        world = World(clock=VirtualClock(), seed=seed)
        world.throttle("ListTables", times=None, probability=0.3)
        return [_succeeds(world) for _ in range(200)]

    assert 100 < sum(outcomes(1)) < 180
    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)


def _succeeds(world: World) -> bool:
    try:
        world.call("ListTables")
    except AwsError:
        return False
    return True


def test_faults_can_be_cleared(world: World) -> None:
    world.throttle("*", times=None)
    assert not _succeeds(world)
    world.clear_faults()
    assert _succeeds(world)


def test_a_throttle_can_have_another_name(world: World, arn: str) -> None:
    world.throttle("*", code="LimitExceededException")
    with pytest.raises(AwsError, match="LimitExceededException"):
        world.call("ListStreams")


def test_an_unknown_fault_is_a_mistake(world: World) -> None:
    with pytest.raises(ValueError, match="no fault 'meteor'"):
        world.fail("*", "meteor")  # type: ignore[arg-type]


def test_a_fault_can_be_for_one_shard_or_table(world: World, arn: str) -> None:
    one, two = world.open_shards("orders")
    tokens = [
        world.call(
            "GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for shard in (one, two)
    ]
    world.fail("GetRecords", "server_error", times=None, mentioning=two)
    world.call("GetRecords", ShardIterator=tokens[0])
    with pytest.raises(AwsError, match="InternalServerError"):
        world.call("GetRecords", ShardIterator=tokens[1])
    world.fail("BatchGetItem", "server_error", mentioning="orders")
    with pytest.raises(AwsError, match="InternalServerError"):
        world.call("BatchGetItem", RequestItems={"orders": {"Keys": [_ITEM]}})


def test_expired_credentials_work_again_once_they_are_others(
    world: World, arn: str, server: FakeDynamoDB
) -> None:
    old = client("dynamodb", server.endpoint, access_key="AKIDOLD")
    new = client("dynamodb", server.endpoint, access_key="AKIDNEW")
    old.list_tables()
    world.expire_credentials("AKIDOLD")
    with pytest.raises(ClientError, match="ExpiredTokenException"):
        old.list_tables()
    new.list_tables()
    old.close()
    new.close()


def test_requests_signed_by_a_wrong_clock_are_refused() -> None:
    clock = VirtualClock(now_s=time.time())
    with FakeDynamoDB(World(clock=clock, clock_skew_max_s=300)) as server:
        dynamodb = client("dynamodb", server.endpoint)
        dynamodb.list_tables()
        clock.advance(3600)
        with pytest.raises(ClientError, match="InvalidSignatureException"):
            dynamodb.list_tables()
        dynamodb.close()


def test_batches_may_be_done_by_half(world: World, arn: str) -> None:
    puts = [{"PutRequest": {"Item": {"id": {"S": str(number)}}}} for number in range(5)]
    world.fail("BatchWriteItem", "partial")
    answer = world.call("BatchWriteItem", RequestItems={"orders": puts})
    assert len(world.items("orders")) == 3
    assert answer["UnprocessedItems"] == {"orders": puts[3:]}
    assert world.call("BatchWriteItem", RequestItems=answer["UnprocessedItems"]) == {
        "UnprocessedItems": {}
    }
    keys = [{"id": {"S": str(number)}} for number in range(5)]
    world.fail("BatchGetItem", "partial")
    wanted = {"orders": {"Keys": keys, "ConsistentRead": True}}
    answer = world.call("BatchGetItem", RequestItems=wanted)
    assert len(answer["Responses"]["orders"]) == 3
    assert answer["UnprocessedKeys"] == {"orders": {"Keys": keys[3:], "ConsistentRead": True}}


def test_call_rates_can_be_held_to_awss(world: World, clock: VirtualClock, arn: str) -> None:
    world.configure(rates_max={"DescribeStream": 10})
    for _ in range(10):
        world.call("DescribeStream", StreamArn=arn)
    with pytest.raises(AwsError, match="ThrottlingException"):
        world.call("DescribeStream", StreamArn=arn)
    clock.advance(1)
    world.call("DescribeStream", StreamArn=arn)
