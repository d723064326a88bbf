"""The connector as one object: what a container runs.

Any number of them may run for the same tables; there is nothing to name. Each owns a share of the
buckets; when one dies the others take over within the session timeout.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bridge.connector.arenas import limit_arenas
from bridge.connector.aws import AwsRegion
from bridge.connector.backoff import Backoff, PollPace
from bridge.connector.begin import Habits
from bridge.connector.bucket import CommitPolicy
from bridge.connector.capacity import ReadBudget
from bridge.connector.gaps import gap_line
from bridge.connector.generation import TablePolicy
from bridge.connector.status import TableStatus
from bridge.connector.tables import Table, TableSetup
from bridge.connector.tagged import Finder, Growth, Seen
from bridge.connector.tasks import Feed
from bridge.connector.view import CheckpointView
from bridge.connector.worker import Worker, WorkerConfig
from bridge.source import DynamoDBSource
from bridge.wire.errors import ConfigurationError
from bridge.wire.found import read_found_tables
from bridge.wire.kafka import KafkaConfig
from bridge.wire.pauses import pauses_spec
from bridge.wire.topics import (
    DEFAULT_BUCKETS,
    DEFAULT_PARTITIONS,
    DEFAULT_RETENTION_MS,
    TopicNames,
    TopicSpec,
    admin,
    ensure_topics,
)

logger = logging.getLogger(__name__)

_GAPS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorConfig:
    """What a connector reads and how.

    Args:
        kafka: where Kafka is and who we are there.
        sources: the tables, by name or by tags.
        enable_streams: turn on a stream that is off; otherwise that is refused with the command.
        partitions: of each new changes topic; an existing one keeps its own.
        buckets: of the namespace, the same in every worker; shards are dealt out to them.
        replication: replication factor of new topics, -1 is the broker's default.
        retention_ms: how long changes are kept in Kafka.
        transaction_interval_s: at most one transaction per bucket in this time.
        poll_idle_s: how rarely a shard without changes is asked.
        survey_interval_s: how often tables and shards are listed when nothing presses.
        threads: calls to AWS under way at once.
        buffer_bytes: read and not committed yet, at most about this.
    """

    kafka: KafkaConfig
    sources: tuple[DynamoDBSource, ...]
    enable_streams: bool = False
    partitions: int = DEFAULT_PARTITIONS
    buckets: int = DEFAULT_BUCKETS
    replication: int = -1
    retention_ms: int = DEFAULT_RETENTION_MS
    transaction_interval_s: float = 1.0
    poll_idle_s: float = 1.0
    survey_interval_s: float = 30.0
    threads: int = 16
    buffer_bytes: int = 32 * 1024 * 1024
    topic_settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def commit(self) -> CommitPolicy:
        """When a bucket commits: four buckets may wait with so much at once."""
        bytes_max = max(1024 * 1024, self.buffer_bytes // 4)
        return CommitPolicy(interval_s=self.transaction_interval_s, bytes_max=bytes_max)


def _nothing(_point: str) -> None:
    """The failpoint of production."""


class Connector:
    """Reads the sources' tables into Kafka until told to stop.

    Args:
        config: what and how.
        failpoint: called at named moments, for tests that kill.

    Raises:
        ConfigurationError: no source, or two of one table.
    """

    def __init__(
        self, config: ConnectorConfig, *, failpoint: Callable[[str], None] = _nothing
    ) -> None:
        names = [source.table_name for source in config.sources]
        if not names or len(set(names)) != len(names):
            raise ConfigurationError(
                "no table to read" if not names else "a table is named twice",
                where="sources",
                remedy="Name each DynamoDB table once",
            )
        self._config = config
        self._failpoint = failpoint
        self._worker: Worker | None = None
        self._feeds: dict[str, Feed] = {}
        self._regions: dict[str | None, AwsRegion] = {}
        self._finder: Finder | None = None

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set; what was read is committed or given back on return.

        Limits malloc's heaps in this process, see `arenas`.

        Raises:
            ConfigurationError: a table can't be replicated as it is; names the remedy.
            BrokerUnreachableError: Kafka does not answer at the start.
            TopicError: a topic exists with settings that would break a promise.
        """
        limit_arenas()
        named = tuple(source for source in self._config.sources if not source.table_tags)
        tagged = tuple(source for source in self._config.sources if source.table_tags)
        if not tagged:
            self._run_tables(named, self._setups(named, stop), Seen(), stop)
            return
        self._finder = Finder(
            tagged,
            region=self._region,
            committed=lambda: read_found_tables(self._config.kafka),
            enable_streams=self._config.enable_streams,
        )
        while not stop.is_set():
            seen = self._finder.look(stop)
            sources = _joined(named, seen)
            if not sources:
                names = "; ".join(source.table_name for source in tagged)
                logger.info("waiting for tables", extra={"tags": names})
                stop.wait(self._finder.pause_s)
                continue
            with Growth(self._finder, seen, stop) as growth:
                setups = self._setups(named, stop)
                self._run_tables(sources, setups, seen, growth.ended)
            growth.check()

    def _run_tables(
        self,
        sources: tuple[DynamoDBSource, ...],
        named: Mapping[str, TableSetup],
        seen: Seen,
        stop: threading.Event,
    ) -> None:
        tables = {name: setup.ready() for name, setup in named.items()} | seen.tables
        setups = {**named, **seen.setups}
        counts = self._ensure_topics(sources)
        self._feeds = self._make_feeds(setups, tables)
        turn_on = None
        if self._config.enable_streams:
            turn_on = {name: setup.turn_on for name, setup in setups.items()}
        self._worker = Worker(
            self._worker_config(sources, counts),
            self._feeds,
            {source.table_name: _policy(source) for source in sources},
            found=seen.found,
            turn_on=(lambda name: turn_on[name]()) if turn_on is not None else None,
            failpoint=self._failpoint,
        )
        logger.info("connector started", extra={"tables": sorted(tables)})
        self._worker.run(stop)
        logger.info("connector stopped")

    def health(self) -> str | None:
        """None when healthy, else one line: what stalls and for how long."""
        worker, finder = self._worker, self._finder
        if worker is None:
            return "starting" if finder is None else "waiting for tables with the tags"
        if worker.gaps:
            return "; ".join(map(gap_line, worker.gaps[:_GAPS_SHOWN]))
        if worker.lease.problem is not None:
            return worker.lease.problem
        if worker.turns.problem is not None:
            return worker.turns.problem
        for bucket in list(worker.buckets.values()):
            if bucket.turns.problem is not None:
                return f"bucket {bucket.number}: Kafka takes nothing, {bucket.turns.problem}"
        for feed in self._feeds.values():
            if feed.stall is not None:
                return feed.stall
        problems = (finder.seen.problems if finder else {}) | worker.surveyor.problems
        return next((f"table {name}: {text}" for name, text in problems.items()), None)

    def status(self) -> tuple[TableStatus, ...]:
        """Each table's feed as this process sees it; before it runs, nothing."""
        return () if self._worker is None else self._worker.status

    @property
    def view(self) -> CheckpointView:
        """What is committed, as this process has read it so far; before it runs, nothing."""
        return CheckpointView() if self._worker is None else self._worker.view

    @property
    def buffered_bytes(self) -> int:
        """Read from AWS and not committed to Kafka yet."""
        return 0 if self._worker is None else self._worker.buffered_bytes

    def _region(self, name: str | None) -> AwsRegion:
        if name not in self._regions:
            self._regions[name] = AwsRegion(name)
        return self._regions[name]

    def _setups(
        self, sources: tuple[DynamoDBSource, ...], stop: threading.Event
    ) -> dict[str, TableSetup]:
        return {
            source.table_name: TableSetup(
                self._region(source.region),
                source,
                enable_streams=self._config.enable_streams,
                stop=stop,
            )
            for source in sources
        }

    def _ensure_topics(self, sources: tuple[DynamoDBSource, ...]) -> dict[str, int]:
        config, names = self._config, TopicNames(self._config.kafka.namespace)
        changes = {
            source.table_name: TopicSpec(
                name=names.changes(source.table_name),
                partitions=config.partitions,
                replication=config.replication,
                retention_ms=config.retention_ms,
                exact=False,
                settings=config.topic_settings,
            )
            for source in sources
        }
        checkpoints = TopicSpec(
            name=names.checkpoints,
            partitions=config.buckets,
            replication=config.replication,
            compacted=True,
        )
        dead_letters = TopicSpec(
            name=names.dead_letters("connector"),
            partitions=1,
            replication=config.replication,
            retention_ms=config.retention_ms,
            exact=False,
        )
        pauses = pauses_spec(config.kafka, config.replication)
        specs = [checkpoints, dead_letters, pauses, *changes.values()]
        found = ensure_topics(admin(config.kafka), specs)
        return {table: found[spec.name] for table, spec in changes.items()}

    def _make_feeds(
        self, setups: Mapping[str, TableSetup], tables: Mapping[str, Table]
    ) -> dict[str, Feed]:
        return {
            name: Feed(
                table=name,
                region=setups[name].region,
                key_names=table.key_names,
                items_expected=table.items,
            )
            for name, table in tables.items()
        }

    def _worker_config(
        self, sources: tuple[DynamoDBSource, ...], partitions: Mapping[str, int]
    ) -> WorkerConfig:
        config = self._config
        return WorkerConfig(
            kafka=config.kafka,
            buckets=config.buckets,
            partitions=partitions,
            commit=config.commit,
            threads=config.threads,
            buffer_bytes=config.buffer_bytes,
            survey_interval_s=config.survey_interval_s,
            habits=Habits(
                pace=PollPace(idle_s=config.poll_idle_s),
                backoff=Backoff(),
                budgets={
                    source.table_name: ReadBudget(source.read_capacity)
                    for source in sources
                    if source.read_capacity is not None
                },
            ),
        )


def _joined(named: tuple[DynamoDBSource, ...], seen: Seen) -> tuple[DynamoDBSource, ...]:
    for source in named:
        if seen.sources.get(source.table_name, source) != source:
            raise ConfigurationError(
                "it is named, and has the tags of a source that is declared in another way",
                where=f"table {source.table_name}",
                remedy="Give both sources the same arguments, or take the tag away",
            )
    return tuple({**{source.table_name: source for source in named}, **seen.sources}.values())


def _policy(source: DynamoDBSource) -> TablePolicy:
    return TablePolicy(
        table=source.table_name,
        snapshot=source.snapshot,
        resnapshot_on_gap=source.on_gap == "resnapshot",
    )
