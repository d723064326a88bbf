"""A session: from a fresh look at table, namespace and log to the first thing that is odd.

Opening one waits for what other stages create, compares the table's offsets with what the log still
holds (GAP), and hands out a writer and an intake that start at the same place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.wire.gap import check_position
from bridge.wire.kafka import KafkaConfig, written_bounds
from bridge.wire.namespace import NamespaceState, read_namespace
from bridge.wire.topics import TopicNames, TopicSpec, admin, existing_topics
from sinks import metrics
from sinks.controller import BatchController
from sinks.dataset import Target
from sinks.deadletters import DeadLetterWriter
from sinks.engine import MergeEngine
from sinks.failpoints import Failpoint
from sinks.intake import Intake
from sinks.ledger import LOADING, LedgerNames
from sinks.maintenance import Caretaker
from sinks.protocol import Committed, TableWriter
from sinks.rows import Batch
from sinks.schemas import SchemaBook
from sinks.table import TableStore, dataset_uri, tombstones_uri
from sinks.tombstones import LogStarts, Tombstones

logger = logging.getLogger(__name__)

WAIT_LOG_S = 10.0
WAIT_STEP_S = 0.5
PURGE_INTERVAL_S = 3600.0


@dataclass(slots=True)
class Session:
    """What one session works with; `start` are the offsets it began at."""

    dataset: str
    start: Mapping[int, int]
    writer: TableWriter
    intake: Intake
    schemas: SchemaBook
    controller: BatchController
    tombstones: Tombstones
    log_starts: Callable[[], LogStarts]
    tombstone_caretaker: Caretaker
    purged_at_s: float

    @property
    def loading(self) -> bool:
        """Whether a snapshot is on its way into the table."""
        return self.writer.ledger.snapshot_state == LOADING

    def close(self) -> None:
        """Let go of Kafka."""
        self.intake.close()

    def show(self) -> None:
        """Gauges of the table as it is."""
        metrics.TABLE_VERSION.labels(self.dataset).set(self.writer.version)
        metrics.LOADING.labels(self.dataset).set(self.loading)

    def count(self, batch: Batch, done: Committed, seconds: float) -> None:
        """Metrics of one commit."""
        kinds = {
            "upserted": done.upserted,
            "deleted": done.deleted,
            "stale": done.stale,
            "collapsed": done.collapsed,
            "floor": done.below_floor,
            "dead": done.dead_lettered,
        }
        for kind, rows in kinds.items():
            metrics.ROWS.labels(self.dataset, kind).inc(rows)
        metrics.COMMITS.labels(self.dataset).inc()
        metrics.MERGE_SECONDS.labels(self.dataset).observe(seconds)
        metrics.BATCH_ROWS.labels(self.dataset, batch.reason).observe(len(batch.rows))
        if batch.oldest_ms is not None:
            lag_s = max(time.time() - batch.oldest_ms / 1000, 0.0)
            metrics.LAG_SECONDS.labels(self.dataset).set(lag_s)
        self.show()

    def tend_tombstones(self) -> None:
        """Purge tombstones nothing can come for any more, and keep their table small."""
        if time.monotonic() - self.purged_at_s >= PURGE_INTERVAL_S:
            self.purged_at_s = time.monotonic()
            feeds = self.writer.ledger.feeds.items()
            settled = {table: feed.settled for table, feed in feeds}
            self.tombstones.purge(settled, self.log_starts())
        snapshot = self.tombstones.snapshot()
        if snapshot is not None:
            self.tombstone_caretaker.look_after(snapshot.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpener:
    """Begins sessions of one dataset.

    Args:
        kafka: where.
        target: the dataset and its tables.
        lake: base URI of the tables.
        storage_options: for delta-rs.
        engine: merges.
        new_controller: a fresh controller for each session.
        dead_letter_spec: how a missing dead-letter topic is created.
        failpoint: where tests kill.
    """

    kafka: KafkaConfig
    target: Target
    lake: str
    storage_options: Mapping[str, str]
    engine: MergeEngine
    new_controller: Callable[[], BatchController]
    dead_letter_spec: Callable[[str], TopicSpec]
    failpoint: Failpoint

    @property
    def topic(self) -> str:
        """The dataset's rows topic."""
        return TopicNames(self.kafka.namespace).rows(self.target.dataset.id)

    def open(self, stop: threading.Event, note: Callable[[str], None]) -> Session | None:
        """Wait for what must be there, then begin; None if told to stop.

        Raises:
            GapError: what was not read yet is gone.
            BrokerUnreachableError, TableError: try again.
        """
        found = self._await_namespace(stop, note)
        if found is None:
            return None
        partitions, state, namespace_id = found
        schemas = SchemaBook(self.kafka, self.target.dataset.id)
        schemas.read()
        names = LedgerNames(namespace_id, self.topic)
        tombstones = self._tombstones(namespace_id)
        writer = self._writer(names, partitions, schemas, tombstones)
        start = self._start(writer.open().offsets, partitions, state)
        controller = self.new_controller()
        intake = Intake(
            self.kafka,
            dataset=self.target.dataset.id,
            topic=self.topic,
            start=start,
            schemas=schemas,
            controller=controller,
        )
        return Session(
            dataset=self.target.dataset.id,
            start=start,
            writer=writer,
            intake=intake,
            schemas=schemas,
            controller=controller,
            tombstones=tombstones,
            log_starts=lambda: self._log_starts(partitions),
            tombstone_caretaker=Caretaker(tombstones.snapshot, time.monotonic),
            purged_at_s=time.monotonic(),
        )

    def _await_namespace(
        self, stop: threading.Event, note: Callable[[str], None]
    ) -> tuple[range, NamespaceState, str] | None:
        """Partitions of the rows topic and the namespace, once both exist."""
        logged_at_s = float("-inf")
        checkpoints = TopicNames(self.kafka.namespace).checkpoints
        client = admin(self.kafka)
        while not stop.is_set():
            topics = existing_topics(client)
            if self.topic in topics and checkpoints in topics:
                state = read_namespace(self.kafka)
                if state.namespace_id is not None:
                    return range(topics[self.topic]), state, state.namespace_id
                missing = "the connector's namespace id"
            else:
                missing = f"topic {self.topic if checkpoints in topics else checkpoints}"
            note(f"waiting for {missing}")
            if time.monotonic() - logged_at_s >= WAIT_LOG_S:
                logged_at_s = time.monotonic()
                logger.info("waiting", extra={"for": missing})
            stop.wait(WAIT_STEP_S)
        return None

    def _tombstones(self, namespace_id: str) -> Tombstones:
        uri = tombstones_uri(self.lake, self.target.dataset.id)
        return Tombstones(TableStore(uri, self.storage_options), namespace_id)

    def _writer(
        self,
        names: LedgerNames,
        partitions: Sequence[int],
        schemas: SchemaBook,
        tombstones: Tombstones,
    ) -> TableWriter:
        dataset = self.target.dataset.id
        dead_letters = DeadLetterWriter(
            self.kafka,
            dataset=dataset,
            topic=self.topic,
            schema_of=schemas.find,
            known=schemas.of_dataset,
            spec=self.dead_letter_spec,
        )
        return TableWriter(
            target=self.target,
            names=names,
            partitions=partitions,
            store=TableStore(dataset_uri(self.lake, dataset), self.storage_options),
            tombstones=tombstones,
            engine=self.engine,
            set_aside=dead_letters.write,
            failpoint=self.failpoint,
        )

    def _start(
        self, offsets: Mapping[int, int], partitions: Sequence[int], state: NamespaceState
    ) -> dict[int, int]:
        dataset = self.target.dataset.id
        accepted = state.accepted.get((f"sink:{dataset}", self.topic), {})
        tables = ", ".join(self.target.tables)
        bounds = written_bounds(admin(self.kafka), self.topic, partitions)
        return {
            partition: check_position(
                offsets.get(partition),
                bounds[partition],
                where=f"{self.topic} partition {partition}",
                remedy=f"Run: tailrace backfill {tables} --accept-gap sink:{dataset}",
                accepted_start=accepted.get(partition),
            )
            for partition in partitions
        }

    def _log_starts(self, partitions: Sequence[int]) -> LogStarts:
        """Where the logs begin now; a changes topic with other partitions counts as its lowest."""
        client = admin(self.kafka)
        topics = existing_topics(client)
        rows = {p: b.start for p, b in written_bounds(client, self.topic, partitions).items()}
        changes: dict[str, dict[int, int]] = {}
        for table in self.target.tables:
            topic = TopicNames(self.kafka.namespace).changes(table)
            count = topics.get(topic, 0)
            starts = {p: b.start for p, b in written_bounds(client, topic, range(count)).items()}
            lowest = min(starts.values(), default=0)
            same = count == len(partitions)
            changes[table] = {p: starts[p] if same else lowest for p in partitions}
        return LogStarts(rows, changes)
