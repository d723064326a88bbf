"""What the workers of a simulation ask of AWS, and what its leader sees there."""

from __future__ import annotations

import random
from typing import Any

import orjson

from bridge.connector.checkpoints import Shard
from bridge.connector.failures import Failure, classify
from bridge.connector.generation import Survey, TablePolicy
from bridge.connector.pruning import aged_shards
from bridge.connector.reader import GetRecords, ListChildren, OpenIterator, ShardReader, Step
from bridge.connector.records import HashKey, decode_records
from bridge.connector.shards import unlisted_parents
from bridge.connector.tables import table_of
from bridge.connector.view import CheckpointView
from tests.fakes.dynamodb import AwsError, NoAnswerError, World
from tests.fault.sim_worker import BUCKETS, TABLE


class SimAws:
    """The AWS side of a simulation: the fake's answers, as the raw client gives them.

    `scan_page_s` is how long each page of a scan takes, `scans_s` when they came.
    """

    draw: random.Random
    world: World
    policy: TablePolicy
    scan_page_s = 0.0

    def __init__(self) -> None:
        self.scans_s: list[float] = []

    def call(self, name: str, **request: Any) -> bytes:
        """A call to AWS as the raw client makes it."""
        if name == "Scan":
            self.world.clock.advance(self.scan_page_s)
            self.scans_s.append(self.world.clock.now())
        try:
            return self.world.answer(name, request).body
        except AwsError as error:
            raise Failure(classify(error.status, error.type_name), error.code) from None
        except NoAnswerError as error:
            raise Failure(classify(500, ""), str(error)) from None

    def ask(self, reader: ShardReader) -> Step:
        """Carry out one request of a reader."""
        match reader.request():
            case OpenIterator(arn, shard, kind, sequence):
                more = {"SequenceNumber": sequence} if sequence is not None else {}
                body = self.call(
                    "GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **more
                )
                return reader.opened(orjson.loads(body)["ShardIterator"])
            case GetRecords(iterator):
                limit = self.draw.choice([1, 3, 1000])
                body = self.call("GetRecords", ShardIterator=iterator, Limit=limit)
                return reader.received(decode_records(body, HashKey("id"), reader.read_to))
            case ListChildren(arn, shard):
                listed = self.list_shards(arn)
                return reader.listed(tuple((s.shard, s.start) for s in listed if s.parent == shard))

    def list_shards(self, arn: str) -> list[Shard]:
        """A complete listing, lies included."""
        body = orjson.loads(self.call("DescribeStream", StreamArn=arn))
        return [
            Shard(
                arn=arn,
                shard=shard["ShardId"],
                parent=shard.get("ParentShardId"),
                start=shard["SequenceNumberRange"]["StartingSequenceNumber"],
            )
            for shard in body["StreamDescription"]["Shards"]
        ]

    def exists(self, arn: str, shard: str) -> bool:
        """Whether AWS knows a shard, whatever its listings show."""
        try:
            self.call(
                "GetShardIterator", StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
            )
        except Failure:
            return False
        return True

    def look(self, view: CheckpointView) -> Survey | None:
        """What a leader sees of the table; None where it has to look again."""
        table = orjson.loads(self.call("DescribeTable", TableName=TABLE))["Table"]
        latest: str = table["LatestStreamArn"]
        generation = view.generations.get(TABLE)
        known = generation.arn if generation else None
        streams = orjson.loads(self.call("ListStreams", TableName=TABLE))["Streams"]
        arns = sorted(stream["StreamArn"] for stream in streams)
        following = tuple(arns[arns.index(known) + 1 :]) if known else ()
        wanted = {latest, known, *following[:1]} - {None}
        listings = {arn: tuple(self.list_shards(arn)) for arn in wanted if arn}
        for arn in {latest, *following[:1]} - {known}:
            names = {shard.shard for shard in listings[arn]}
            absent = {s.parent for s in listings[arn] if s.parent and s.parent not in names}
            if any(self.exists(arn, parent) for parent in absent):
                return None
        parents = set(unlisted_parents(view, TABLE, known).values()) if known else set()
        if generation is not None:
            now_s = self.world.clock.now()
            parents |= aged_shards(view, generation, now_s, self.policy.keep_s)
        gone = frozenset((known, p) for p in parents if known and not self.exists(known, p))
        return Survey(
            arn=latest,
            age_s=table_of(table).stream_age_s(self.world.clock.now()),
            following=following,
            listings=listings,
            gone=gone,
            segments=BUCKETS,
        )
