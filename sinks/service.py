"""The sink as a process: leases decide which datasets are ours, each runs as a worker.

One writer per table at a time is what leases aim at; that a table stays right when it is not so for
a moment is the commit protocol's work.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import GenerationsFollower
from bridge.wire.kafka import KafkaConfig
from bridge.wire.leases import Lease, bucket_of
from bridge.wire.pauses import PausesFollower, pauses_spec
from bridge.wire.topics import (
    DEFAULT_BUCKETS,
    DEFAULT_RETENTION_MS,
    TopicNames,
    TopicSpec,
    admin,
    ensure_topics,
)
from sinks import failpoints
from sinks.controller import ROWS_MAX, AdaptiveBatches, BatchController
from sinks.dataset import Target
from sinks.engine import DeltaMerge, MergeEngine
from sinks.failpoints import Failpoint
from sinks.memory import DEFAULT_CEILING, Memory
from sinks.session import SessionOpener
from sinks.table import lake_storage_options
from sinks.worker import DatasetWorker, WorkerStatus

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.2
REVOKE_TIMEOUT_S = 60.0
# New objects before a young, a middle and a full collection: the first counted in objects.
_COLLECT_AFTER = (100_000, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """What a sink process needs to know.

    Args:
        kafka: where and who.
        targets: the datasets, each with the tables that feed it.
        lake: base URI of the tables: a local path or `s3://bucket/prefix`.
        storage_options: as delta-rs takes them (`AWS_ENDPOINT_URL`, …); never logged.
        freshness_s: the target: seconds from a row's arrival in Kafka to its commit.
        memory_bytes: what the process may take; batches and commits are kept small enough for it.
        batch_rows_max: messages of one batch, whatever the controller learned.
        buckets: how far datasets can spread over processes; fixed once `_leases` exists.
        replication: of topics that are created here, -1 for the broker's default.
        retention_ms: of a dead-letter topic that is created here.
        failpoint: where tests kill.
    """

    kafka: KafkaConfig
    targets: tuple[Target, ...]
    lake: str
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    freshness_s: float = 5.0
    memory_bytes: int = DEFAULT_CEILING
    batch_rows_max: int = ROWS_MAX
    buckets: int = DEFAULT_BUCKETS
    replication: int = -1
    retention_ms: int = DEFAULT_RETENTION_MS
    failpoint: Failpoint = failpoints.never


def collect_rarely() -> None:
    """Let Python's collector of cycles look seldom.

    A batch is hundreds of thousands of objects that live until its commit and hold no cycles. By
    default the collector walks them again and again: a fifth of a sink's processor time.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


class Sink:
    """Keeps the tables of all targets whose buckets this process holds.

    Raises:
        ConfigurationError: two targets are one dataset.
    """

    def __init__(self, config: SinkConfig) -> None:
        ids = [target.dataset.id for target in config.targets]
        twice = {name for name in ids if ids.count(name) > 1}
        if twice:
            raise ConfigurationError(
                "two outputs write to it",
                where=f"Dataset(id={min(twice)!r})",
                remedy="Give each output a dataset of its own",
            )
        self._config = config
        self._names = TopicNames(config.kafka.namespace)
        self._engine: MergeEngine = DeltaMerge()
        self._memory = Memory(config.memory_bytes, len(config.targets))
        self._workers: dict[str, DatasetWorker] = {}
        self._lock = threading.Lock()
        self._buckets = config.buckets
        self._lease: Lease | None = None
        self._ending = False
        self._follower = GenerationsFollower(config.kafka)
        self._pauses = PausesFollower(config.kafka)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop, then commit what is in hand and leave the group.

        Raises:
            GapError: a dataset lost what it had not read, and no other dataset is left to serve.
            TailraceError: whatever else stops every dataset for good.
        """
        collect_rarely()
        self._buckets = self._ensure_topics()
        self._lease = Lease(
            self._config.kafka,
            topic=self._names.leases,
            group=self._names.group("sink"),
            stage="sink",
            holder=self,
        )
        self._lease.start()
        try:
            while not stop.wait(CHECK_INTERVAL_S):
                self._lease.check()
                self._raise_if_all_failed()
        finally:
            self._ending = True
            self._lease.stop(REVOKE_TIMEOUT_S)
            self._end(self._workers_now())
            self._follower.close()
            self._pauses.close()

    def health(self) -> str | None:
        """None when healthy, else what stalls and for how long."""
        if self._lease is None:
            return "starting"
        if self._lease.problem is not None:
            return self._lease.problem  # whatever it held: without an answer it holds nothing
        stalled = (status.stalled for status in self.status())
        return next((line for line in stalled if line), None)

    def status(self) -> list[WorkerStatus]:
        """The datasets this process holds."""
        return [worker.status() for worker in self._workers_now()]

    def acquired(self, buckets: frozenset[int]) -> None:
        """Start the datasets of these buckets, each as a new owner."""
        for target in self._config.targets:
            if bucket_of(self._buckets, target.dataset.id) in buckets and not self._ending:
                self._start(target)

    def revoked(self, buckets: frozenset[int]) -> None:
        """Let every dataset finish its commit; the next owner waits for it."""
        self._end(self._held(buckets))

    def lost(self, buckets: frozenset[int]) -> None:
        """Somebody else may own them already; their tables turn away whatever still comes."""
        for worker in self._held(buckets):
            worker.ask_to_stop()

    def _ensure_topics(self) -> int:
        config = self._config
        leases = TopicSpec(
            name=self._names.leases,
            partitions=config.buckets,
            replication=config.replication,
            retention_ms=config.retention_ms,
        )
        schemas = TopicSpec(
            name=self._names.schemas, partitions=1, replication=config.replication, compacted=True
        )
        pauses = pauses_spec(config.kafka, config.replication)
        return ensure_topics(admin(config.kafka), [leases, schemas, pauses])[leases.name]

    def _dead_letter_spec(self, topic: str) -> TopicSpec:
        return TopicSpec(
            name=topic,
            partitions=1,
            replication=self._config.replication,
            retention_ms=self._config.retention_ms,
            exact=False,
        )

    def _start(self, target: Target) -> None:
        config = self._config
        opener = SessionOpener(
            kafka=config.kafka,
            target=target,
            lake=config.lake,
            storage_options=lake_storage_options(config.lake, config.storage_options),
            engine=self._engine,
            new_controller=self._controller,
            memory=self._memory,
            follower=self._follower,
            dead_letter_spec=self._dead_letter_spec,
            failpoint=config.failpoint,
        )
        before = self._workers.get(target.dataset.id)
        if before is not None:  # of a lost assignment; its table would turn it away anyway
            self._end([before])
        bucket = bucket_of(self._buckets, target.dataset.id)
        worker = DatasetWorker(
            opener,
            still_ours=self._holds(bucket),
            fenced=self._rejoin,
            resting=lambda: self._pauses.paused("dataset", target.dataset.id) is not None,
        )
        with self._lock:
            self._workers[target.dataset.id] = worker
        worker.start()

    def _controller(self) -> BatchController:
        return AdaptiveBatches(
            freshness_s=self._config.freshness_s,
            memory_bytes=self._memory.batch_bytes,
            rows_max=self._config.batch_rows_max,
        )

    def _holds(self, bucket: int) -> Callable[[], bool]:
        lease = self._lease
        return lambda: lease is not None and bucket in lease.owned

    def _rejoin(self) -> None:
        if self._lease is not None:
            self._lease.rejoin()

    def _workers_now(self) -> list[DatasetWorker]:
        with self._lock:
            return list(self._workers.values())

    def _held(self, buckets: frozenset[int]) -> list[DatasetWorker]:
        workers = self._workers_now()
        return [w for w in workers if bucket_of(self._buckets, w.dataset) in buckets]

    def _end(self, workers: list[DatasetWorker]) -> None:
        for worker in workers:
            worker.ask_to_stop()
        for worker in workers:
            if not worker.join(REVOKE_TIMEOUT_S):
                logger.warning("still committing", extra={"dataset": worker.dataset})
                continue
            with self._lock:
                if self._workers.get(worker.dataset) is worker and worker.failure is None:
                    del self._workers[worker.dataset]

    def _raise_if_all_failed(self) -> None:
        """A dataset that can't go on does not stop the others, but a process without any ends."""
        failures = [worker.failure for worker in self._workers_now()]
        if len(failures) == len(self._config.targets) and all(failures):
            failure = failures[0]
            assert failure is not None
            raise failure
