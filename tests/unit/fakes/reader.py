"""A plain reader of a world: what any correct connector must be able to read."""

from typing import Any

from tests.fakes.dynamodb import World

Record = dict[str, Any]


def listed(world: World, arn: str, **request: Any) -> list[dict[str, Any]]:
    """Every shard that DescribeStream shows, over all its pages."""
    shards: list[dict[str, Any]] = []
    start: dict[str, str] = {}
    while True:
        page = world.call("DescribeStream", StreamArn=arn, **request, **start)
        description = page["StreamDescription"]
        shards += description["Shards"]
        if "LastEvaluatedShardId" not in description:
            return shards
        start = {"ExclusiveStartShardId": description["LastEvaluatedShardId"]}


def iterator(world: World, arn: str, shard_id: str, kind: str, sequence: str = "") -> str:
    """A shard iterator."""
    number = {"SequenceNumber": sequence} if sequence else {}
    answer = world.call(
        "GetShardIterator", StreamArn=arn, ShardId=shard_id, ShardIteratorType=kind, **number
    )
    token: str = answer["ShardIterator"]
    return token


def read(world: World, token: str | None, pages_max: int = 1000) -> tuple[list[Record], str | None]:
    """Records up to the shard's end or to an empty page, and the iterator that is left."""
    records: list[Record] = []
    for _ in range(pages_max):
        if token is None:
            break
        answer = world.call("GetRecords", ShardIterator=token)
        records += answer["Records"]
        token = answer.get("NextShardIterator")
        if not answer["Records"]:
            break
    return records, token


def read_all(world: World, arn: str) -> list[tuple[str, Record]]:
    """Every record with its shard's id, parents before children."""
    shards = {shard["ShardId"]: shard for shard in listed(world, arn)}
    done: set[str] = set()
    records: list[tuple[str, Record]] = []
    while len(done) < len(shards):
        for shard_id, shard in shards.items():
            parent = shard.get("ParentShardId")
            if shard_id not in done and (parent not in shards or parent in done):
                found, _ = read(world, iterator(world, arn, shard_id, "TRIM_HORIZON"))
                records += [(shard_id, record) for record in found]
                done.add(shard_id)
    return records


def sequence(record: Record) -> int:
    """The record's sequence number as what it is: a whole number."""
    return int(record["dynamodb"]["SequenceNumber"])
