"""A connector process in the simulator: its own view, which may lag, and what it thinks it owns.

It runs the connector's view, plan, readers, composer and leader's decisions; only threads, Kafka
and AWS are the simulator's.
"""

from __future__ import annotations

import operator
import random
import zlib
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from bridge.connector.backlog import Backlog
from bridge.connector.backoff import Backoff, PollPace
from bridge.connector.begin import Habits, begin
from bridge.connector.failures import Failure
from bridge.connector.generation import Survey, TablePolicy, decide
from bridge.connector.leader import decision_messages
from bridge.connector.plan import BucketShare, halted, plan_table, usable
from bridge.connector.pruning import forget_progress
from bridge.connector.reader import ShardReader, Step
from bridge.connector.records import ScanIdentity, decode_scan
from bridge.connector.segment import SegmentReader
from bridge.connector.view import CheckpointView
from bridge.connector.work import Composer, Marks, Message
from bridge.wire.namespace import NAMESPACE_PARTITION
from tests.fakes.dynamodb import World
from tests.fault.log import SimKafka, SimProducer

TABLE = "orders"
BUCKETS = 3
PARTITIONS = 2
CHECKPOINTS = "checkpoints"
CHANGES = "changes"
_HABITS = Habits(pace=PollPace(), backoff=Backoff())


class Surroundings(Protocol):
    """What a worker meets."""

    kafka: SimKafka
    world: World
    draw: random.Random
    policy: TablePolicy
    pruned: int

    def call(self, name: str, **request: Any) -> bytes:
        """A call to AWS."""

    def ask(self, reader: ShardReader) -> Step:
        """One request of a reader."""

    def look(self, view: CheckpointView) -> Survey | None:
        """What the leader sees."""


@dataclass(slots=True)
class Owned:
    """A bucket as one worker holds it; `target` are the ends to be read before it may be used."""

    producer: SimProducer
    backlog: Backlog
    target: tuple[int, ...]
    begun: bool = False
    readers: list[ShardReader] = field(default_factory=list)
    segments: list[SegmentReader] = field(default_factory=list)


class SimWorker:
    """One connector process: its view, which may lag, and the buckets it thinks it owns."""

    def __init__(self, simulation: Surroundings) -> None:
        self.simulation = simulation
        self.view = CheckpointView()
        self.positions = [0] * BUCKETS
        self.owned: dict[int, Owned] = {}
        self.survey: Survey | None = None

    def acquire(self, bucket: int) -> None:
        """Become the owner: fence the one before, then read the own partition to its end.

        Of the others, what was committed by then: what the owner before had acted on.
        """
        kafka = self.simulation.kafka
        producer = kafka.init(f"bucket-{bucket}")
        composer = Composer(
            bucket=bucket,
            checkpoints=CHECKPOINTS,
            changes={TABLE: CHANGES},
            dead_letters="dead",
        )
        target = tuple(
            (kafka.end if number == bucket else kafka.stable_end)((CHECKPOINTS, number))
            for number in range(BUCKETS)
        )
        self.owned[bucket] = Owned(producer, Backlog(composer), target)

    def ready(self) -> dict[int, Owned]:
        """Buckets after whose fencing all partitions were read as far as `acquire` noted."""
        ready = {
            bucket: owned
            for bucket, owned in self.owned.items()
            if owned.begun or all(map(operator.ge, self.positions, owned.target))
        }
        for bucket, owned in ready.items():
            if not owned.begun:
                bumps = self.view.bumps.items()
                epochs = {arn: found[bucket] for arn, found in bumps if bucket in found}
                owned.backlog.composer.epochs.update(epochs)
                owned.begun = True
        return ready

    def tail(self, bucket: int, most: int) -> None:
        """Read some committed checkpoints of one partition."""
        place = (CHECKPOINTS, bucket)
        messages, self.positions[bucket] = self.simulation.kafka.read(
            place, self.positions[bucket], most
        )
        for message in messages:
            assert message.key is not None
            self.view.apply(message.key, message.value)
            for owned in self.owned.values():
                owned.backlog.pending.discard(message.key)

    def plan(self) -> None:
        """Begin what the plan wants in the buckets that are ready."""
        ready = self.ready()
        now_s = self.simulation.world.clock.now()
        owned_buckets = usable(self.view, TABLE, {b: o.backlog for b, o in ready.items()})
        for action in plan_table(self.view, TABLE, owned_buckets, BUCKETS):
            owned = ready[action.bucket]
            match begin(action, TABLE, owned.backlog, _HABITS, now_s):
                case ShardReader() as reader:
                    owned.readers.append(reader)
                case SegmentReader() as reader:
                    owned.segments.append(reader)
                case None:
                    pass
                case work:
                    owned.backlog.put(work)

    def prune(self) -> None:
        """Delete from the owned partitions what nothing follows from any more."""
        generation = self.view.generations.get(TABLE)
        if generation is None:
            return
        ready, keep_s = self.ready(), self.simulation.policy.keep_s
        now_s = self.simulation.world.clock.now()
        for bucket in usable(self.view, TABLE, {b: o.backlog for b, o in ready.items()}):
            backlog, share = ready[bucket].backlog, BucketShare(bucket, BUCKETS)
            keys = forget_progress(self.view, generation, share, now_s, keep_s)
            if keys and not backlog.pending:
                messages = tuple(backlog.composer.checkpoint(key, None) for key in keys)
                backlog.expect(messages)
                backlog.put(Marks(messages))
                self.simulation.pruned += len(keys)

    def lead(self) -> None:
        """What the owner of bucket 0 does: look, decide, write."""
        leader = self.ready().get(NAMESPACE_PARTITION)
        if leader is None:
            self.survey = None
            return
        if self.survey is None or self.simulation.draw.random() < 0.5:
            self.survey = self.simulation.look(self.view)
        if self.survey is None or leader.backlog.pending:
            return
        now_s = self.simulation.world.clock.now()
        decision = decide(self.view, self.simulation.policy, self.survey, now_s)
        if not decision.empty:
            messages = decision_messages(decision, CHECKPOINTS, CHANGES, PARTITIONS)
            leader.backlog.expect(messages)
            leader.backlog.put(Marks(tuple(messages)))

    def read(self, owned: Owned) -> None:
        """One step of one reader or segment of a bucket."""
        generation = self.view.generations.get(TABLE)
        if generation is None or halted(self.view, TABLE):
            return
        draw = self.simulation.draw
        if owned.segments and draw.random() < 0.4:
            segment = draw.choice(owned.segments)
            if segment.generation.epoch != generation.epoch:
                owned.segments.remove(segment)
            else:
                self._scan(owned, segment)
        elif owned.readers:
            reader = draw.choice(owned.readers)
            if reader.shard.arn != generation.arn:
                owned.readers.remove(reader)
            else:
                self._read(owned, reader)

    def _read(self, owned: Owned, reader: ShardReader) -> None:
        reader.renew(owned.backlog.composer.epochs[reader.shard.arn])
        try:
            step = self.simulation.ask(reader)
        except Failure as failure:
            step = reader.failed(failure, 0.5)
        if step.page is not None:
            owned.backlog.put(step.page)
        if step.gap is not None:
            scans = self.view.generations[TABLE].segments > 0
            now_s = self.simulation.world.clock.now()
            gap = reader.loss(step.gap, scans=scans, now_s=now_s)
            message = owned.backlog.composer.checkpoint(gap.key(), gap.value())
            owned.backlog.expect([message])
            owned.backlog.put(Marks((message,)))
        if step.finished:
            owned.readers.remove(reader)

    def _scan(self, owned: Owned, reader: SegmentReader) -> None:
        ask = reader.request()
        identity = ScanIdentity(
            arn=reader.generation.arn,
            region="sim",
            epoch=reader.generation.epoch,
            key_names=("id",),
        )
        parameters: dict[str, Any] = {
            "TableName": TABLE,
            "Segment": ask.segment,
            "TotalSegments": ask.segments,
            "ConsistentRead": ask.consistent,
            "Limit": 3,
        }
        start = reader.segment.start
        if start is not None:
            parameters["ExclusiveStartKey"] = orjson.loads(start)
        try:
            body = self.simulation.call("Scan", **parameters)
        except Failure as failure:
            reader.failed(failure, 0.5)
            return
        step = reader.received(decode_scan(body, identity, int(self.simulation.world.clock.now())))
        if step.page is not None:
            owned.backlog.put(step.page)
        if step.finished:
            owned.segments.remove(reader)

    def commit(self, bucket: int, *, die_after: int | None = None) -> None:
        """One transaction; `die_after` so many messages the process is gone.

        Raises:
            FencedError: another worker owns the bucket.
        """
        owned, kafka = self.owned[bucket], self.simulation.kafka
        batch = owned.backlog.take(self.simulation.draw.choice([1, 10**9]))
        if not batch:
            return
        kafka.begin(owned.producer)
        now_s = self.simulation.world.clock.now()
        for count, message in enumerate(owned.backlog.composer.compose(batch, now_s)):
            if count == die_after:
                return
            kafka.produce(owned.producer, message, partition_of(message))
        if die_after is None:
            kafka.commit(owned.producer)
            owned.backlog.settle(batch)


def partition_of(message: Message) -> int:
    """The partition a message goes to: its own, or its key's."""
    if message.partition is not None:
        return message.partition
    return zlib.crc32(message.key or b"") % PARTITIONS
