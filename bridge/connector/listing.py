"""The shards of a stream as DescribeStream lists them: paged, inconsistent, never believed alone.

AWS allows ten DescribeStream calls a second in an account and region. All of a process's calls, of
whatever table, share one rate below that; who does not need an answer goes without it.
Source: DescribeStream, Amazon DynamoDB Streams API Reference.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from bridge.connector.aws import AwsRegion
from bridge.connector.checkpoints import Shard
from bridge.connector.failures import Failure, Trouble

_PAGES_MAX = 10_000


def _shard(arn: str, listed: Mapping[str, Any]) -> Shard:
    numbers = listed.get("SequenceNumberRange") or {}
    start = numbers.get("StartingSequenceNumber")
    return Shard(
        arn=arn,
        shard=listed["ShardId"],
        parent=listed.get("ParentShardId") or None,
        start=start if start and str(start).isdecimal() else None,
    )


def list_shards(region: AwsRegion, arn: str, stop: threading.Event) -> tuple[Shard, ...]:
    """Every shard that a complete listing shows.

    Raises:
        Failure: a page could not be had.
    """
    shards: dict[str, Shard] = {}
    last: str | None = None
    for _ in range(_PAGES_MAX):
        more = {"ExclusiveStartShardId": last} if last else {}
        stop.wait(region.describes.reserve(time.monotonic()))
        answer = region.ask(region.streams_client.describe_stream, StreamArn=arn, **more)
        described = answer["StreamDescription"]
        for listed in described.get("Shards") or ():
            shard = _shard(arn, listed)
            shards[shard.shard] = shard
        following = described.get("LastEvaluatedShardId")
        if not following or following == last:
            return tuple(shards.values())
        last = following
    raise Failure(Trouble.UNAVAILABLE, "a listing of shards without an end")


def list_streams(region: AwsRegion, table: str) -> tuple[str, ...]:
    """The ARNs of a table's streams that can still be read, oldest first.

    Raises:
        Failure: a page could not be had.
    """
    labels: dict[str, str] = {}
    more: dict[str, str] = {}
    for _ in range(_PAGES_MAX):
        answer = region.ask(region.streams_client.list_streams, TableName=table, **more)
        for stream in answer.get("Streams") or ():
            if stream.get("TableName", table) == table:
                labels[stream["StreamArn"]] = str(stream.get("StreamLabel", ""))
        last = answer.get("LastEvaluatedStreamArn")
        if not last or more.get("ExclusiveStartStreamArn") == last:
            break
        more = {"ExclusiveStartStreamArn": last}
    return tuple(sorted(labels, key=lambda arn: (labels[arn], arn)))


def list_children(region: AwsRegion, arn: str, shard: str) -> tuple[tuple[str, str | None], ...]:
    """Shards that continue this one, `(shard, start)`; () where the service can't filter.

    Also () when many shards end at once: the leader's listing, a hundred shards a call, finds the
    children of them all, and the threads that read do not wait in line.

    Raises:
        Failure: no answer.
    """
    if not region.describes.free(time.monotonic()):
        return ()
    answer = region.ask(
        region.streams_client.describe_stream,
        StreamArn=arn,
        ShardFilter={"Type": "CHILD_SHARDS", "ShardId": shard},
    )
    listed = [_shard(arn, one) for one in answer["StreamDescription"].get("Shards") or ()]
    return tuple((child.shard, child.start) for child in listed if child.parent == shard)


def exists(region: AwsRegion, arn: str, shard: str) -> bool:
    """Whether the service knows the shard, whatever its listings show.

    Raises:
        Failure: no answer that tells.
    """
    try:
        region.ask(
            region.streams_client.get_shard_iterator,
            StreamArn=arn,
            ShardId=shard,
            ShardIteratorType="TRIM_HORIZON",
        )
    except Failure as failure:
        if failure.trouble in (Trouble.GONE, Trouble.INVALID):
            return False
        if failure.trouble is Trouble.TRIMMED:
            return False
        raise
    return True
