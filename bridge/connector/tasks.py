"""Readers at work: each asks AWS once per step and hands what came to its bucket.

A task belongs to one bucket for that bucket's life; when the bucket is closed the task is over, and
whoever owns the bucket next begins at the committed position.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.connector import listing, metrics
from bridge.connector.aws import AwsRegion
from bridge.connector.bucket import Bucket
from bridge.connector.failures import Failure, Trouble
from bridge.connector.gaps import gap_line
from bridge.connector.reader import GetRecords, ListChildren, OpenIterator, ShardReader, Step
from bridge.connector.records import HashKey, ScanIdentity, decode_records, decode_scan
from bridge.connector.segment import SegmentReader
from bridge.wire.errors import WireError
from bridge.wire.turns import STALLED_S

logger = logging.getLogger(__name__)

_HALTED_POLL_S = 0.5
_COMPLAIN_AFTER = 4
# Beyond the pace at which shards without changes are asked.
_UNREAD_S = 15.0


@dataclass(slots=True)
class Feed:
    """A table as all of its tasks in this worker share it.

    `arn`, `epoch`, `scans` and `halted` follow the committed generation. `asked` holds since when
    (monotonic) a shard or segment waits for an answer from AWS, `problem` is the last failure.
    `items_expected` is AWS's figure.
    `paused_at_s`: since when a person lets it rest, seconds since 1970.
    """

    table: str
    region: AwsRegion
    key_names: tuple[str, ...]
    arn: str = ""
    epoch: int = 0
    halted: bool = False
    paused_at_s: float | None = None
    scans: bool = False
    problem: str = ""
    items_expected: int = 0
    lags: dict[str, tuple[float, float]] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    hash_key: HashKey = field(init=False)

    def __post_init__(self) -> None:
        self.hash_key = HashKey(self.key_names[0])

    @property
    def rests(self) -> bool:
        """Whether nothing is asked of AWS, for a gap or because a person said so."""
        return self.halted or self.paused_at_s is not None

    def asks(self, of: str) -> None:
        """A call begins; what was not answered before goes on waiting since then."""
        self.asked.setdefault(of, time.monotonic())

    def failed(self, of: str, failure: Failure, failures: int) -> None:
        """Note a failed call; throttles are counted, a repeated one is logged."""
        if failure.trouble in (Trouble.THROTTLED, Trouble.EXPIRED):
            self.answered(of)
            if failure.trouble is Trouble.THROTTLED:
                metrics.THROTTLES.labels(self.table).inc()
            return
        self.problem = str(failure)
        if failures == _COMPLAIN_AFTER:
            logger.warning("aws call failed", extra={"table": self.table, "cause": str(failure)})

    def answered(self, of: str) -> None:
        """AWS answered, or nothing is asked any more."""
        self.asked.pop(of, None)
        if not self.asked:
            self.problem = ""

    @property
    def stall(self) -> str | None:
        """What has gone without an answer for too long, None if nothing has."""
        now = time.monotonic()
        silent_s = max((now - since for since in list(self.asked.values())), default=0.0)
        if silent_s <= STALLED_S:
            return None
        return f"table {self.table}: {self.problem or 'AWS does not answer'} for {silent_s:.0f} s"

    def behind(self, shard: str, newest_s: float) -> None:
        """The creation time of the newest record read from a shard, 0 when it gave nothing."""
        self.lags[shard] = (newest_s, time.time())

    def lag_s(self, now_s: float) -> float:
        """How far the slowest shard is behind, seconds; a shard that was not read for a while is
        behind by that while."""
        lags = (_behind_s(newest, seen, now_s) for newest, seen in list(self.lags.values()))
        return max(lags, default=0)

    def unread_s(self, now_s: float) -> float:
        """How old a change can be that no answer has given yet, seconds.

        A shard that gave nothing was read up to that answer: when none comes any more, because AWS
        fails or a gap halts the table, its unread changes age.
        """
        return max((now_s - (newest or at) for newest, at in list(self.lags.values())), default=0)


def _behind_s(newest_s: float, seen_s: float, now_s: float) -> float:
    silent_s = now_s - seen_s
    return max(now_s - newest_s if newest_s else 0.0, silent_s if silent_s > _UNREAD_S else 0.0)


class ShardTask:
    """Reads one shard into its bucket."""

    def __init__(self, feed: Feed, bucket: Bucket, reader: ShardReader) -> None:
        self._feed = feed
        self._bucket = bucket
        self._reader = reader
        self._arn = reader.shard.arn
        self._shard = reader.shard.shard

    def step(self) -> float | None:
        """Ask once; see `fetch.Task`."""
        if self._bucket.closed or self._feed.arn != self._arn:
            self._feed.lags.pop(self._shard, None)
            self._feed.answered(self._shard)
            return None
        if self._feed.rests:
            self._feed.answered(self._shard)
            return _HALTED_POLL_S
        self._feed.asks(self._shard)
        self._reader.renew(self._bucket.composer.epochs[self._arn])
        try:
            step = self._ask()
        except Failure as failure:
            self._feed.failed(self._shard, failure, self._reader.failures + 1)
            step = self._reader.failed(failure, random.random())  # noqa: S311 (jitter)
        else:
            self._feed.answered(self._shard)
        return self._carry(step)

    def _carry(self, step: Step) -> float | None:
        if step.page is not None:
            self._bucket.put(step.page, urgent=step.page.ended)
        if step.gap is not None:
            self._report_gap(step.gap)
        if step.finished:
            self._feed.lags.pop(self._shard, None)
            return None
        return step.delay_s

    def _ask(self) -> Step:
        match self._reader.request():
            case OpenIterator(arn, shard, kind, sequence):
                parameters = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": kind}
                if sequence is not None:
                    parameters["SequenceNumber"] = sequence
                body = self._feed.region.streams.call("GetShardIterator", parameters)
                return self._reader.opened(_iterator(body))
            case GetRecords(iterator):
                return self._get_records(iterator)
            case ListChildren(arn, shard):
                return self._reader.listed(listing.list_children(self._feed.region, arn, shard))

    def _get_records(self, iterator: str) -> Step:
        body = self._feed.region.streams.call("GetRecords", {"ShardIterator": iterator})
        try:
            page = decode_records(body, self._feed.hash_key, self._reader.read_to)
        except WireError as error:
            raise Failure(Trouble.UNAVAILABLE, str(error)) from None
        if not page.records:
            metrics.EMPTY_READS.labels(self._feed.table).inc()
        if page.repeated:
            metrics.REPEATED.labels(self._feed.table).inc(page.repeated)
        if page.backwards:
            metrics.BACKWARDS.labels(self._feed.table).inc()
            logger.error("sequence numbers fell", extra={"shard": self._shard})
        self._feed.behind(self._shard, page.newest_s)
        return self._reader.received(page)

    def _report_gap(self, cause: str) -> None:
        gap = self._reader.loss(cause, scans=self._feed.scans, now_s=time.time())
        if gap.epoch < self._feed.epoch:
            logger.error("%s (the snapshot that is about to begin repairs it)", gap_line(gap))
        self._bucket.mark([self._bucket.composer.checkpoint(gap.key(), gap.value())])


class SegmentTask:
    """Scans one segment into its bucket."""

    def __init__(self, feed: Feed, bucket: Bucket, reader: SegmentReader) -> None:
        self._feed = feed
        self._bucket = bucket
        self._reader = reader
        self.over = False
        self._name = f"scan-{id(self)}"  # addressed scans have segments of the same numbers
        self._identity = ScanIdentity(
            arn=reader.generation.arn,
            region=feed.region.name,
            epoch=reader.generation.epoch,
            key_names=feed.key_names,
        )

    def step(self) -> float | None:
        """Ask once; see `fetch.Task`."""
        if self._bucket.closed or self._feed.epoch != self._reader.generation.epoch:
            self.over = True
            self._feed.answered(self._name)
            return None
        if self._feed.rests:
            self._feed.answered(self._name)
            return _HALTED_POLL_S
        wait_s = self._reader.wait_s(time.monotonic())
        if wait_s:
            return wait_s
        self._feed.asks(self._name)
        try:
            body = self._feed.region.table_calls.call("Scan", self._parameters())
            step = self._reader.received(decode_scan(body, self._identity, int(time.time())))
        except WireError as error:
            step = self._failed(Failure(Trouble.UNAVAILABLE, str(error)))
        except Failure as failure:
            step = self._failed(failure)
        else:
            self._feed.answered(self._name)
        if step.page is not None:
            self._bucket.put(step.page, urgent=step.finished)
        self.over = step.finished
        return None if step.finished else step.delay_s

    def _failed(self, failure: Failure) -> Any:
        self._feed.failed(self._name, failure, self._reader.failures + 1)
        return self._reader.failed(failure, random.random())  # noqa: S311 (jitter)

    def _parameters(self) -> dict[str, Any]:
        ask = self._reader.request()
        parameters: dict[str, Any] = {
            "TableName": ask.table,
            "Segment": ask.segment,
            "TotalSegments": ask.segments,
            "ConsistentRead": ask.consistent,
            "ReturnConsumedCapacity": "TOTAL",
        }
        if ask.start is not None:
            parameters["ExclusiveStartKey"] = orjson.loads(ask.start)
        return parameters


def _iterator(body: bytes) -> str:
    try:
        answer: Mapping[str, Any] = orjson.loads(body)
        return str(answer["ShardIterator"])
    except (ValueError, KeyError, TypeError):
        raise Failure(Trouble.UNAVAILABLE, "an answer without a shard iterator") from None
