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
from bridge.wire.generations import GenerationsFollower, named, write_switched
from bridge.wire.kafka import KafkaConfig, written_bounds
from bridge.wire.namespace import NamespaceState, read_namespace
from bridge.wire.topics import TopicNames, TopicSpec, admin, existing_topics
from sinks import failpoints, metrics
from sinks.controller import SLOW_CAUSES, BatchController
from sinks.dataset import Target
from sinks.deadletters import DeadLetterWriter
from sinks.engine import MergeEngine
from sinks.failpoints import Failpoint
from sinks.intake import Intake
from sinks.ledger import LOADING, LedgerNames
from sinks.location import claim, path_uri
from sinks.maintenance import Caretaker
from sinks.memory import Memory
from sinks.protocol import Committed, PositionsMovedError, TableWriter
from sinks.rebuilding import sweep
from sinks.rows import Batch
from sinks.schemas import SchemaBook
from sinks.table import TableError, TableStore, beside_uri, hidden_uri, tombstones_uri
from sinks.tombstones import LogStarts, Tombstones

logger = logging.getLogger(__name__)

WAIT_LOG_S = 10.0
WAIT_STEP_S = 0.5
PURGE_INTERVAL_S = 3600.0


@dataclass(slots=True)
class Session:
    """What one session works with; `start` are the offsets it began at."""

    dataset: str
    generation: int
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
        self.show_controller()
        self.show()

    def show_controller(self) -> None:
        """Gauges of what the controller decides, and how much waits for it."""
        metrics.BATCH_FULL_ROWS.labels(self.dataset).set(self.controller.rows_full)
        metrics.BATCH_INTERVAL_SECONDS.labels(self.dataset).set(self.controller.interval_s)
        metrics.LAG_ROWS.labels(self.dataset).set(self.intake.backlog)
        slow = self.controller.slow
        for cause in SLOW_CAUSES:
            is_it = slow is not None and slow.cause == cause
            metrics.OVER_TARGET.labels(self.dataset, cause).set(is_it)

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
        memory: of the process.
        follower: knows the generations; see `bridge.wire.generations`.
        building: the generation that is filled in a hidden table; None: the dataset's own table, at
            whatever generation it is.
        dead_letter_spec: how a missing dead-letter topic is created.
        failpoint: where tests kill.
    """

    kafka: KafkaConfig
    target: Target
    lake: str
    storage_options: Mapping[str, str]
    engine: MergeEngine
    new_controller: Callable[[], BatchController]
    memory: Memory
    follower: GenerationsFollower
    dead_letter_spec: Callable[[str], TopicSpec]
    failpoint: Failpoint
    building: int | None = None

    @property
    def label(self) -> str:
        """The dataset, and its generation where that is not shown yet."""
        return named(self.target.dataset.id, self.building or 1)

    def open(self, stop: threading.Event, note: Callable[[str], None]) -> Session | None:
        """Wait for what must be there, then begin; None if told to stop.

        Raises:
            GapError: what was not read yet is gone.
            BrokerUnreachableError, TableError: try again.
        """
        if self.building is None:
            claim(self.lake, self.target.dataset, self.storage_options)
        found = self._await_namespace(stop, note)
        if found is None:
            return None
        partitions, state, names = found
        if self.building is None:
            self._follow_up(names.generation)
        name = named(self.target.dataset.id, names.generation)
        schemas = SchemaBook(self.kafka, name)
        schemas.read()
        tombstones = self._tombstones(names)
        writer = self._writer(names, partitions, schemas, tombstones)
        start = self._start(writer.open().offsets, partitions, state, names.topic)
        controller = self.new_controller()
        intake = Intake(
            self.kafka,
            dataset=name,
            topic=names.topic,
            start=start,
            schemas=schemas,
            controller=controller,
            memory=self.memory,
        )
        return Session(
            dataset=self.label,
            generation=names.generation,
            start=start,
            writer=writer,
            intake=intake,
            schemas=schemas,
            controller=controller,
            tombstones=tombstones,
            log_starts=lambda: self._log_starts(names.topic, partitions),
            tombstone_caretaker=Caretaker(tombstones.snapshot),
            purged_at_s=time.monotonic(),
        )

    def change_over(self, session: Session, generation: int) -> None:
        """Put the rows of a generation that was built into the session's table, in one commit.

        Raises:
            TableError: nothing is known to have landed; call again.
            PositionsMovedError: another owner writes to the table.
        """
        names = self._names(session.writer.namespace_id, generation)
        hidden = TableStore(self._uri(generation, hidden=True), self.storage_options).open()
        if hidden is None:
            raise TableError("the table that was built is gone", where=self.label)
        count = existing_topics(admin(self.kafka)).get(names.topic, 0)
        try:
            session.writer.change_over(hidden, names, range(count))
        except PositionsMovedError:
            snapshot = self._store().open()
            if snapshot is None or snapshot.transaction(names.at_generation) != generation:
                raise
        logger.info(
            "the table has changed over",
            extra={"dataset": self.target.dataset.id, "generation": generation},
        )

    def _follow_up(self, generation: int) -> None:
        """Tell which generation the table is at, and remove what it took the place of.

        The table itself is the truth; whoever opens it after a crash tells it again.
        """
        dataset = self.target.dataset.id
        known = self.follower.look()
        found = known.of_dataset(dataset)
        if found is None:
            return
        building = known.building(dataset)
        if building == generation:
            write_switched(self.kafka, found[0], dataset, generation)
            self.failpoint(failpoints.AFTER_ANNOUNCED)
            building = None
        beside = beside_uri(self.lake, dataset)
        if sweep(beside, self.storage_options, generation, building):
            self.failpoint(failpoints.AFTER_SWEPT)

    def _generation(self, namespace_id: str) -> int:
        """The table's own word; where there is none, what Kafka knows."""
        if self.building is not None:
            return self.building
        dataset = self.target.dataset.id
        snapshot = self._store().open()
        name = LedgerNames(namespace_id, "").at_generation
        recorded = snapshot.transaction(name) if snapshot else None
        return recorded or self.follower.look().current(dataset)

    def _names(self, namespace_id: str, generation: int) -> LedgerNames:
        topic = TopicNames(self.kafka.namespace).rows(named(self.target.dataset.id, generation))
        return LedgerNames(namespace_id, topic, generation)

    def _uri(self, generation: int, *, hidden: bool) -> str:
        dataset = self.target.dataset.id
        if hidden:
            return hidden_uri(self.lake, dataset, generation)
        return path_uri(self.lake, dataset, self.target.dataset.path)

    def _store(self) -> TableStore:
        uri = self._uri(self.building or 1, hidden=self.building is not None)
        return TableStore(uri, self.storage_options)

    def _await_namespace(
        self, stop: threading.Event, note: Callable[[str], None]
    ) -> tuple[range, NamespaceState, LedgerNames] | None:
        """Partitions of the rows topic, the namespace and the table's names, once all exist."""
        logged_at_s = float("-inf")
        checkpoints = TopicNames(self.kafka.namespace).checkpoints
        client = admin(self.kafka)
        while not stop.is_set():
            topics = existing_topics(client)
            missing = f"topic {checkpoints}"
            if checkpoints in topics:
                state = read_namespace(self.kafka)
                missing = "the connector's namespace id"
                if state.namespace_id is not None:
                    generation = self._generation(state.namespace_id)
                    names = self._names(state.namespace_id, generation)
                    if names.topic in topics:
                        return range(topics[names.topic]), state, names
                    missing = f"topic {names.topic}"
            note(f"waiting for {missing}")
            if time.monotonic() - logged_at_s >= WAIT_LOG_S:
                logged_at_s = time.monotonic()
                logger.info("waiting", extra={"for": missing})
            stop.wait(WAIT_STEP_S)
        return None

    def _tombstones(self, names: LedgerNames) -> Tombstones:
        uri = tombstones_uri(self.lake, self.target.dataset.id, names.generation)
        store = TableStore(uri, self.storage_options)
        every = self.target.dataset.layout.every_delete
        return Tombstones(store, names.namespace_id, every=every)

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
            topic=names.topic,
            schema_of=schemas.find,
            known=schemas.of_dataset,
            spec=self.dead_letter_spec,
        )
        return TableWriter(
            target=self.target,
            names=names,
            partitions=partitions,
            store=self._store(),
            tombstones=tombstones,
            engine=self.engine,
            set_aside=dead_letters.write,
            failpoint=self.failpoint,
        )

    def _start(
        self,
        offsets: Mapping[int, int],
        partitions: Sequence[int],
        state: NamespaceState,
        topic: str,
    ) -> dict[int, int]:
        dataset = self.target.dataset.id
        accepted = state.accepted.get((f"sink:{dataset}", topic), {})
        tables = ", ".join(self.target.tables)
        bounds = written_bounds(admin(self.kafka), topic, partitions)
        return {
            partition: check_position(
                offsets.get(partition),
                bounds[partition],
                where=f"{topic} partition {partition}",
                remedy=f"Run: tailrace backfill {tables} --accept-gap sink:{dataset}"
                if self.building is None
                else "Give it up: tailrace rebuild FILE --abandon, and begin another one",
                accepted_start=accepted.get(partition),
            )
            for partition in partitions
        }

    def _log_starts(self, rows_topic: str, partitions: Sequence[int]) -> LogStarts:
        """Where the logs begin now; a changes topic with other partitions counts as its lowest."""
        client = admin(self.kafka)
        topics = existing_topics(client)
        rows = {p: b.start for p, b in written_bounds(client, rows_topic, partitions).items()}
        changes: dict[str, dict[int, int]] = {}
        for table in self.target.tables:
            topic = TopicNames(self.kafka.namespace).changes(table)
            count = topics.get(topic, 0)
            starts = {p: b.start for p, b in written_bounds(client, topic, range(count)).items()}
            lowest = min(starts.values(), default=0)
            same = count == len(partitions)
            changes[table] = {p: starts[p] if same else lowest for p in partitions}
        return LogStarts(rows, changes)
