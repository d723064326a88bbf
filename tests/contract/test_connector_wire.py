"""Checkpoint records are pinned byte for byte, and the raw path asks and reads what boto3 would.

A worker of this release and one of the next share `_checkpoints` during a deployment, so what one
wrote the other must read. A golden file is never edited.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
from botocore.config import Config

from bridge.connector.calls import Endpoint, RawClient
from bridge.connector.checkpoints import (
    AddressedScan,
    AddressedSegment,
    Bump,
    Gap,
    Generation,
    Position,
    Record,
    Request,
    SealedMark,
    Segment,
    Shard,
    namespace_value,
    read_record,
)
from bridge.connector.records import HashKey, ScanIdentity, decode_records, decode_scan
from bridge.connector.signing import Keys
from bridge.connector.view import CheckpointView
from bridge.wire.attributes import canonical_key
from bridge.wire.errors import UnknownVersionError, WireError
from bridge.wire.found import FoundTables, declared, read_found
from bridge.wire.namespace import decode_key, decode_value, namespace_key
from tests.fakes.dynamodb import FakeDynamoDB, World

GOLDEN = Path(__file__).parent / "golden" / "connector"
ARN = "arn:aws:dynamodb:us-west-2:123456789012:table/orders/stream/2026-11-23T00:00:00.000"
SHARD = "shardId-00000001541626099285-f35f62ef"
NUMBER = "820400000000000001192334"

RECORDS: dict[str, Record] = {
    "generation": Generation(
        table="orders",
        epoch=1763907400,
        arn=ARN,
        segments=8,
        consistent=True,
        reason="requested",
        at_s=1763907400,
    ),
    "shard": Shard(arn=ARN, shard=SHARD, parent="shardId-p", start=NUMBER, first=True),
    "position": Position(
        arn=ARN, shard=SHARD, epoch=1763907400, sequence=NUMBER, whole=True, at_s=1763907404
    ),
    "position_ended": Position(
        arn=ARN,
        shard=SHARD,
        epoch=1763907400,
        sequence=NUMBER,
        ended=True,
        at_s=1763907404,
        children=(("shardId-a", NUMBER), ("shardId-b", None)),
    ),
    "bump": Bump(arn=ARN, bucket=3, epoch=1763907400),
    "segment": Segment(
        table="orders", epoch=1763907400, index=2, start='{"id":{"S":"a"}}', items=41
    ),
    "gap": Gap(
        table="orders",
        arn=ARN,
        shard=SHARD,
        epoch=1763907400,
        after=NUMBER,
        cause="it was trimmed before it was read",
        at_s=1763907404,
    ),
    "sealed": SealedMark(table="orders", epoch=1763907400),
    "sealed_unscanned": SealedMark(table="orders", epoch=1763907400, scanned=False),
    "request": Request(table="orders", id="0123", at_s=1763907404),
    "request_addressed": Request(table="orders", id="0123", at_s=1763907404, addressed_to="lines"),
    "addressed": AddressedScan(
        table="orders",
        transform="lines",
        id="0123",
        epoch=1763907400,
        arn=ARN,
        segments=8,
        at_s=1763907404,
    ),
    "addressed_segment": AddressedSegment(
        table="orders",
        transform="lines",
        id="0123",
        epoch=1763907400,
        index=2,
        start='{"id":{"S":"a"}}',
        items=41,
    ),
}


FOUND = FoundTables(
    declared("us-west-2", {"team": "orders", "stage": "live"}), ("orders-b", "orders-a")
)


def written() -> dict[str, bytes]:
    lines = {name: record.key() + b"\n" + record.value() for name, record in RECORDS.items()}
    lines["namespace"] = namespace_key() + b"\n" + namespace_value("0" * 32)
    lines["found"] = FOUND.key() + b"\n" + FOUND.value()
    return {f"{name}.txt": text + b"\n" for name, text in lines.items()}


@pytest.mark.parametrize("name", sorted(written()))
def test_what_is_written_is_what_the_golden_file_holds(name: str) -> None:
    assert written()[name] == (GOLDEN / name).read_bytes()


def test_every_golden_file_is_written_by_somebody() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(written())


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_golden_files_are_read_back(name: str) -> None:
    key, value = (GOLDEN / f"{name}.txt").read_bytes().splitlines()
    kind, *parts = decode_key(key)
    assert read_record(kind, parts, decode_value(value, kind)) == RECORDS[name]


def test_the_golden_file_of_found_tables_is_read_back() -> None:
    key, value = (GOLDEN / "found.txt").read_bytes().splitlines()
    assert read_found(key, value) == FOUND
    with pytest.raises(UnknownVersionError):
        read_found(key, value.replace(b'"v":1', b'"v":2'))


def test_a_checkpoint_of_a_newer_release_stops_the_reader() -> None:
    key, value = (GOLDEN / "position.txt").read_bytes().splitlines()
    with pytest.raises(UnknownVersionError):
        CheckpointView().apply(key, value.replace(b'"v":1', b'"v":2'))


def test_a_field_that_a_newer_release_added_is_passed_over() -> None:
    key, value = (GOLDEN / "position.txt").read_bytes().splitlines()
    view = CheckpointView()
    view.apply(key, value.replace(b'"v":1', b'"novelty":true,"v":1'))
    assert view.positions[ARN][SHARD] == RECORDS["position"]


@pytest.mark.parametrize("value", [b'{"v":1}', b"[]", b"no json"])
def test_a_malformed_checkpoint_is_told_as_such(value: bytes) -> None:
    key, _ = (GOLDEN / "position.txt").read_bytes().splitlines()
    with pytest.raises(WireError):
        CheckpointView().apply(key, value)


def test_kinds_of_a_newer_release_are_left_alone() -> None:
    assert CheckpointView().apply(b'["novelty","x"]', b'{"v":1}') is False


# The raw path against boto3.


@pytest.fixture
def world() -> Iterator[tuple[World, str]]:
    world = World(shards=2, seed=3)
    with FakeDynamoDB(world) as server:
        world.create_table("orders", "id", "N", range_key="at", range_type="B")
        for number in range(60):
            item = {"id": {"N": str(number % 5)}, "at": {"B": "AA=="}, "v": {"N": str(number)}}
            world.put("orders", {**item, "m": {"M": {"ä\u2028": {"L": [{"NULL": True}]}}}})
        world.delete("orders", {"id": {"N": "3"}, "at": {"B": "AA=="}})
        yield world, server.endpoint


def clients(endpoint: str) -> tuple[Any, Any, RawClient, RawClient]:
    account = {"aws_access_key_id": "AK", "aws_secret_access_key": "secret"}
    config = Config(retries={"total_max_attempts": 1})
    place: dict[str, Any] = {"endpoint_url": endpoint, "region_name": "us-east-1", "config": config}
    make: Any = boto3.client
    targets = ("DynamoDBStreams_20120810", "DynamoDB_20120810")
    raw = [
        RawClient(
            Endpoint(url=endpoint, region="us-east-1", target=target),
            lambda: Keys("AK", "secret"),
        )
        for target in targets
    ]
    return (
        make("dynamodbstreams", **place, **account),
        make("dynamodb", **place, **account),
        raw[0],
        raw[1],
    )


def test_the_raw_path_reads_what_boto3_reads(world: tuple[World, str]) -> None:
    fake, endpoint = world
    streams, _, raw, _ = clients(endpoint)
    arn = fake.stream_arn("orders")
    compared = 0
    for shard in fake.open_shards("orders"):
        ask = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator = orjson.loads(raw.call("GetShardIterator", ask))["ShardIterator"]
        body = raw.call("GetRecords", {"ShardIterator": iterator})
        page = decode_records(body, HashKey("id"), None)
        theirs = streams.get_records(
            ShardIterator=streams.get_shard_iterator(**ask)["ShardIterator"]
        )
        assert len(page.records) == len(theirs["Records"])
        for keyed, record in zip(page.records, theirs["Records"], strict=True):
            part, ours = record["dynamodb"], orjson.loads(keyed.record)
            assert ours["eventID"] == record["eventID"]
            assert ours["dynamodb"]["SequenceNumber"] == part["SequenceNumber"]
            assert keyed.key == canonical_key({"id": part["Keys"]["id"]})
            compared += 1
        if theirs["Records"]:
            assert page.last == theirs["Records"][-1]["dynamodb"]["SequenceNumber"]
    assert compared == fake.history.count("orders")
    raw.close()


def test_a_change_by_time_to_live_is_what_the_golden_file_holds(
    world: tuple[World, str],
) -> None:
    fake, endpoint = world
    _, _, raw, _ = clients(endpoint)
    fake.expire("orders", {"id": {"N": "1"}, "at": {"B": "AA=="}})
    found = []
    for shard in fake.open_shards("orders"):
        ask = {"StreamArn": fake.stream_arn("orders"), "ShardId": shard}
        ask["ShardIteratorType"] = "TRIM_HORIZON"
        iterator = orjson.loads(raw.call("GetShardIterator", ask))["ShardIterator"]
        page = decode_records(
            raw.call("GetRecords", {"ShardIterator": iterator}), HashKey("id"), None
        )
        found += [k.record for k in page.records if b"userIdentity" in k.record]
    (record,) = found
    golden = (GOLDEN.parent / "streams" / "user_identity.json").read_bytes().strip()
    assert golden in record
    assert b"PrincipalId" not in record
    raw.close()


def test_the_raw_scan_reads_what_boto3_scans(world: tuple[World, str]) -> None:
    _, endpoint = world
    _, tables, _, raw = clients(endpoint)
    theirs = {item["v"]["N"] for item in tables.scan(TableName="orders")["Items"]}
    identity = ScanIdentity(arn=ARN, region="us-east-1", epoch=7, key_names=("id", "at"))
    ours: list[str] = []
    for segment in range(2):
        ask = {"TableName": "orders", "Segment": segment, "TotalSegments": 2, "Limit": 1}
        while True:
            page = decode_scan(raw.call("Scan", ask), identity, 0)
            ours += [orjson.loads(k.record)["dynamodb"]["NewImage"]["v"]["N"] for k in page.records]
            if page.next_start is None:
                break
            ask["ExclusiveStartKey"] = orjson.loads(page.next_start)
    assert sorted(ours) == sorted(theirs)
    raw.close()
