"""Who lists shards, and how often: one rate for all, and nobody who reads waits for it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from bridge.connector.aws import AwsRegion
from bridge.connector.backoff import CallRate
from bridge.connector.listing import list_children, list_shards


class Region:
    """Answers DescribeStream with one shard a page, or with the child that was asked for."""

    streams_client = SimpleNamespace(describe_stream="DescribeStream")

    def __init__(self, rate: CallRate, pages: int) -> None:
        self.describes = rate
        self.calls: list[dict[str, Any]] = []
        self._pages = pages

    def ask(self, call: str, **parameters: Any) -> dict[str, Any]:
        assert call == "DescribeStream"
        self.calls.append(parameters)
        if "ShardFilter" in parameters:
            parent = parameters["ShardFilter"]["ShardId"]
            return {"StreamDescription": {"Shards": [{"ShardId": "c", "ParentShardId": parent}]}}
        number = len(self.calls)
        described: dict[str, Any] = {"Shards": [{"ShardId": f"s-{number}"}]}
        if number < self._pages:
            described["LastEvaluatedShardId"] = f"s-{number}"
        return {"StreamDescription": described}


class Waits(threading.Event):
    """Notes how long it is waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return False


def test_the_pages_of_a_listing_keep_to_the_rate() -> None:
    region, stop = Region(CallRate(per_s=0.01, burst=2), pages=4), Waits()
    shards = list_shards(cast("AwsRegion", region), "arn", stop)
    assert [shard.shard for shard in shards] == ["s-1", "s-2", "s-3", "s-4"]
    assert [round(wait_s, -1) for wait_s in stop.waits] == [0, 0, 100, 200]


def test_children_are_asked_for_while_the_rate_allows_it_and_left_to_the_listing_else() -> None:
    region = Region(CallRate(per_s=0.01, burst=3), pages=1)
    aws = cast("AwsRegion", region)
    assert [list_children(aws, "arn", "p") for _ in range(5)] == [(("c", None),)] * 3 + [()] * 2
    assert len(region.calls) == 3
    stop = Waits()
    list_shards(aws, "arn", stop)
    assert round(stop.waits[0], -1) == 100, "the listing shares the rate"
