"""One connector process at work: the loop that reads what is committed, decides, and acts.

The loop's thread owns the view. The lease's thread hands buckets in and takes them away; the pool's
threads ask AWS; each bucket has a thread that commits. Whatever a bucket had under way is dropped
with it, and its next owner begins at what is committed.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bridge.connector import metrics
from bridge.connector.begin import Habits, begin
from bridge.connector.bucket import Bucket, CommitPolicy, Failpoint
from bridge.connector.checkpoints import Gap, Generation, namespace_value
from bridge.connector.fetch import Budget, Pool
from bridge.connector.gaps import gap_line
from bridge.connector.generation import TablePolicy, decide
from bridge.connector.leader import Order, Surveyor, decision_messages
from bridge.connector.plan import (
    Action,
    BucketShare,
    ScanSegment,
    halted,
    plan_table,
    usable,
)
from bridge.connector.pruning import aged_shards, forget_progress
from bridge.connector.reader import ShardReader
from bridge.connector.rests import Rests
from bridge.connector.segment import SegmentReader
from bridge.connector.shards import childless_ends, unlisted_parents
from bridge.connector.status import TableStatus, show_table, table_status
from bridge.connector.tail import Tail
from bridge.connector.tasks import Feed, SegmentTask, ShardTask
from bridge.connector.view import CheckpointView
from bridge.connector.work import Composer, EpochMark, Message, ShardPage
from bridge.wire.errors import BrokerUnreachableError, TailraceError
from bridge.wire.found import FoundTables
from bridge.wire.kafka import KafkaConfig
from bridge.wire.leases import Lease
from bridge.wire.namespace import NAMESPACE_PARTITION, namespace_key, new_namespace_id
from bridge.wire.topics import TopicNames
from bridge.wire.turns import Turns

logger = logging.getLogger(__name__)

_TICK_S = 0.05
_PLAN_INTERVAL_S = 1.0
_REPORT_S = 30.0
_ASK_AGAIN_S = 1.0
_PRUNE_INTERVAL_S = 60.0
_AGED_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What the worker needs besides its tables; see `service.ConnectorConfig`."""

    kafka: KafkaConfig
    buckets: int
    partitions: Mapping[str, int]
    commit: CommitPolicy
    threads: int
    buffer_bytes: int
    survey_interval_s: float
    habits: Habits


class Worker:
    """Holds buckets, reads their shards and segments, and leads when it holds bucket 0.

    Args:
        config: sizes and intervals.
        feeds: the tables, by name.
        policies: what their sources declare.
        found: sets of tables that were found by their tags; the leader tells the other stages.
        turn_on: enables a table's stream, None where that is refused.
        failpoint: called at named moments, for tests that kill.
    """

    def __init__(
        self,
        config: WorkerConfig,
        feeds: Mapping[str, Feed],
        policies: Mapping[str, TablePolicy],
        *,
        found: Sequence[FoundTables] = (),
        turn_on: Callable[[str], object] | None,
        failpoint: Failpoint,
    ) -> None:
        self._config = config
        self._feeds = feeds
        self._policies = policies
        self._found = found
        self._failpoint = failpoint
        self._names = TopicNames(config.kafka.namespace)
        self.view = CheckpointView()
        self.buckets: dict[int, Bucket] = {}
        self.ready: dict[int, Bucket] = {}
        self._targets: dict[int, dict[int, int]] = {}
        self._lock = threading.Lock()  # guards `buckets`, which two threads change
        self._crashes: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._budget = Budget(config.buffer_bytes)
        self._pool = Pool(
            config.threads, self._budget, crashed=self._crashes.put, leave=self._leave_thread
        )
        self.surveyor = Surveyor(
            feeds,
            segments_min=config.buckets,
            interval_s=config.survey_interval_s,
            turn_on=turn_on,
            streamless=frozenset(n for n, p in policies.items() if not p.reads_stream),
        )
        self._tail = Tail(config.kafka, self._names.checkpoints, config.buckets)
        self._rests = Rests(config.kafka)
        self.lease = Lease(
            config.kafka,
            topic=self._names.checkpoints,
            group=self._names.group("connector"),
            stage="connector",
            holder=self,
        )
        self._scans: list[SegmentTask] = []
        self.gaps: tuple[Gap, ...] = ()
        self.status: tuple[TableStatus, ...] = ()
        self.turns, self._dirty = Turns(), True
        self._planned_at = self._ask_ends_at = self._shown_at = 0.0
        self._reported_at = self._pruned_at = 0.0

    @property
    def buffered_bytes(self) -> int:
        """Read and not committed yet."""
        return self._budget.used_bytes

    # What the lease's thread calls.

    def acquired(self, buckets: frozenset[int]) -> None:
        """Start as a new owner of each."""
        with self._lock:
            for number in buckets:
                composer = Composer(
                    bucket=number,
                    checkpoints=self._names.checkpoints,
                    changes={name: self._names.changes(name) for name in self._feeds},
                    dead_letters=self._names.dead_letters("connector"),
                )
                self.buckets[number] = Bucket(
                    self._config.kafka,
                    composer,
                    policy=self._config.commit,
                    budget=self._budget,
                    fenced=self._bucket_failed,
                    failpoint=self._failpoint,
                )
                self.buckets[number].start()

    def revoked(self, buckets: frozenset[int]) -> None:
        """Commit what goes quickly, then let go of the producers."""
        self._release(buckets, Bucket.finish)

    def lost(self, buckets: frozenset[int]) -> None:
        """Drop everything: somebody else may have gone on already."""
        self._release(buckets, Bucket.drop)

    def _release(self, numbers: Iterable[int], end: Callable[[Bucket], None]) -> None:
        with self._lock:
            leaving = [self.buckets.pop(n) for n in numbers if n in self.buckets]
        for bucket in leaving:
            end(bucket)
        for bucket in leaving:
            bucket.join()

    def _bucket_failed(self, bucket: Bucket, error: BaseException) -> None:
        if isinstance(error, TailraceError) and error.retryable:
            for table in bucket.composer.changes:
                metrics.FENCES.labels(table).inc()
            logger.warning("bucket fenced", extra={"bucket": bucket.number, "cause": str(error)})
            self.lease.rejoin()
        else:
            self._crashes.put(error)

    # The loop.

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; everything is finished or given back on return.

        Raises:
            TailraceError: something a person has to look at.
        """
        self._pool.start()
        self.surveyor.start()
        self.lease.start()
        try:
            while not stop.is_set():
                self._turn()
        finally:
            self.turns.rest()
            self.lease.stop()
            self._pool.stop()
            self.surveyor.stop()
            self._tail.close()
            self._rests.close()

    def _turn(self) -> None:
        self.turns.turn("a turn of the loop")
        self.lease.check()
        if not self._crashes.empty():
            raise self._crashes.get()
        self._tail.poll(_TICK_S, self._apply)
        self._take_over()
        if self._dirty or time.monotonic() - self._planned_at >= _PLAN_INTERVAL_S:
            self._dirty, self._planned_at = False, time.monotonic()
            self._plan()
        if time.monotonic() - self._shown_at >= _PLAN_INTERVAL_S:
            self._shown_at = time.monotonic()
            self._show()

    def _show(self) -> None:
        """Keep the gauges true, and a gap in the log until it is repaired."""
        now_s = time.time()
        self.status = tuple(table_status(self.view, f, now_s) for f in self._feeds.values())
        for status in self.status:
            show_table(status)
        self.gaps = tuple(gap for name in self._feeds for gap in self.view.active_gaps(name))
        if self.gaps and time.monotonic() - self._reported_at >= _REPORT_S:
            self._reported_at = time.monotonic()
            for gap in self.gaps:
                logger.error(gap_line(gap))

    def _apply(self, key: bytes, value: bytes | None) -> None:
        self._dirty |= self.view.apply(key, value)
        for bucket in self.ready.values():
            if key in bucket.backlog.pending:
                bucket.backlog.pending.discard(key)
                self._dirty = True

    def _take_over(self) -> None:
        """A bucket may be used once all partitions are read as far as `Tail.targets` says.

        Its own tells how far the bucket came. The others hold what that followed from: a position
        that was deleted there must not look as though it had never been (see `pruning`).
        """
        with self._lock:
            current = dict(self.buckets)
        for number in [n for n, bucket in self.ready.items() if current.get(n) is not bucket]:
            del self.ready[number]
        for number in [n for n in self._targets if n not in current]:
            del self._targets[number]
        waiting = {
            number: bucket
            for number, bucket in current.items()
            if number not in self.ready and bucket.initialised
        }
        self._ask_ends([number for number in waiting if number not in self._targets])
        for number, bucket in waiting.items():
            ends = self._targets.get(number)
            if ends is not None and all(self._tail.position(p) >= e for p, e in ends.items()):
                del self._targets[number]
                self._begin(number, bucket)

    def _ask_ends(self, numbers: list[int]) -> None:
        if not numbers or time.monotonic() < self._ask_ends_at:
            return
        try:
            self._targets.update(self._tail.targets(numbers))
        except BrokerUnreachableError as error:
            self._ask_ends_at = time.monotonic() + _ASK_AGAIN_S
            logger.warning("asking for the log's ends failed", extra={"cause": str(error)})

    def _begin(self, number: int, bucket: Bucket) -> None:
        bucket.composer.epochs.update(
            {arn: bumps[number] for arn, bumps in self.view.bumps.items() if number in bumps}
        )
        self.ready[number] = bucket
        self._dirty = True
        logger.info("bucket taken over", extra={"bucket": number})

    def _plan(self) -> None:
        for budget in self._config.habits.budgets.values():
            budget.share = len(self.ready) / self._config.buckets
        for name, feed in self._feeds.items():
            generation = self.view.generations.get(name)
            if generation is not None:
                feed.arn, feed.epoch = generation.arn, generation.epoch
                feed.scans = generation.segments > 0
            feed.halted = halted(self.view, name)
            self._rests.apply(feed)
            backlogs = {number: bucket.backlog for number, bucket in self.ready.items()}
            owned = usable(self.view, name, backlogs)
            for action in plan_table(self.view, name, owned, self._config.buckets):
                self._act(feed, action)
        if time.monotonic() - self._pruned_at >= _PRUNE_INTERVAL_S:
            self._pruned_at = time.monotonic()
            self._prune()
        if NAMESPACE_PARTITION in self.ready:
            self._lead(self.ready[NAMESPACE_PARTITION])
        else:
            self.surveyor.follow()

    def _act(self, feed: Feed, action: Action) -> None:
        bucket = self.ready[action.bucket]
        if isinstance(action, ScanSegment) and not self._may_scan():
            return
        match begin(action, feed.table, bucket.backlog, self._config.habits, time.time()):
            case ShardReader() as reader:
                self._pool.add(ShardTask(feed, bucket, reader))
            case SegmentReader() as reader:
                task = SegmentTask(feed, bucket, reader)
                self._scans.append(task)
                self._pool.add(task)
            case EpochMark() | ShardPage() as work:
                bucket.put(work, urgent=True)
            case None:
                pass

    def _may_scan(self) -> bool:
        """Scans take no more than half of the threads: the stream must not wait for them."""
        self._scans = [task for task in self._scans if not task.over]
        return len(self._scans) < max(1, self._config.threads // 2)

    def _lead(self, bucket: Bucket) -> None:
        orders = {name: self._order(name) for name in self._feeds}
        surveys = self.surveyor.lead(orders)
        if bucket.backlog.pending:
            return
        if self.view.namespace_id is None:
            value = namespace_value(new_namespace_id())
            bucket.mark([bucket.composer.checkpoint(namespace_key(), value)])
            return
        new = self.view.not_found_yet(self._found)
        if new:
            bucket.mark([bucket.composer.checkpoint(f.key(), f.value()) for f in new])
            return
        for name, policy in self._policies.items():
            if name not in surveys:
                continue
            decision = decide(self.view, policy, surveys[name], time.time())
            if not decision.empty:
                messages = decision_messages(
                    decision,
                    self._names.checkpoints,
                    self._names.changes(name),
                    self._config.partitions[name],
                )
                self._commit_decision(bucket, name, messages)

    def _commit_decision(self, bucket: Bucket, table: str, messages: list[Message]) -> None:
        logger.info("leader decided", extra={"table": table, "records": len(messages)})
        bucket.mark(messages)

    def _order(self, name: str) -> Order:
        generation = self.view.generations.get(name)
        if generation is None:
            return Order()
        arn = generation.arn
        if not generation.reads_stream:
            return Order()
        unlisted = unlisted_parents(self.view, name, arn)
        return Order(
            streams=frozenset({arn}),
            known=arn,
            parents=frozenset((arn, parent) for parent in unlisted.values()),
            aged=frozenset((arn, shard) for shard in self._aged(generation)),
            childless=childless_ends(self.view, arn),
        )

    def _aged(self, generation: Generation) -> list[str]:
        keep_s = self._policies[generation.table].keep_s
        aged = aged_shards(self.view, generation, time.time(), keep_s)
        return sorted(aged)[:_AGED_AT_ONCE]

    def _prune(self) -> None:
        """Delete from the owned partitions what nothing follows from any more."""
        for name, policy in self._policies.items():
            generation = self.view.generations.get(name)
            if generation is None:
                continue
            backlogs = {number: bucket.backlog for number, bucket in self.ready.items()}
            for number in usable(self.view, name, backlogs):
                bucket = self.ready[number]
                if bucket.backlog.pending:
                    continue
                share = BucketShare(number, self._config.buckets)
                keys = forget_progress(self.view, generation, share, time.time(), policy.keep_s)
                if keys:
                    logger.info(
                        "checkpoints pruned", extra={"bucket": number, "records": len(keys)}
                    )
                    bucket.mark([bucket.composer.checkpoint(key, None) for key in keys])

    def _leave_thread(self) -> None:
        for region in {id(feed.region): feed.region for feed in self._feeds.values()}.values():
            region.streams.close()
            region.table_calls.close()
