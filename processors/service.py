"""A processor: one transform, as a Quix application of its own.

It waits for its inputs, makes its topics, refuses a transform that was changed unnoticed, and runs
until it is told to stop. What it can't go on with ends the process with one line; the next one
repeats what was not committed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from bridge.wire.errors import BrokerUnreachableError, TailraceError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.pauses import PausesFollower, ensure_pauses
from bridge.wire.schemas import read_schemas, register_schema
from bridge.wire.topics import DEFAULT_RETENTION_MS, TopicNames, admin
from processors import metrics
from processors.application import ApplicationSettings, ProcessorApplication
from processors.aside import DEAD_LETTERS_MAX
from processors.beginning import Notes, begin
from processors.compiled import compile_transform
from processors.explained import closing, explained
from processors.folder import StateFolder
from processors.pipeline import Pipeline
from processors.positions import Positions
from processors.progress import PAUSED, RUNNING, Progress
from processors.provision import (
    Inputs,
    create_outputs,
    ensure_transforms,
    find_inputs,
    rows_partitions,
)
from processors.revision import Retirement, at_generation, check_revision
from processors.settling import settle
from processors.transform import Transform
from processors.watch import Watch

logger = logging.getLogger(__name__)

_AGAIN_FIRST_S, _AGAIN_MAX_S = 1.0, 10.0


@dataclass(frozen=True, slots=True)
class ProcessorStatus:
    """A transform as seen from outside."""

    transform: str
    phase: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorConfig:
    """A processor.

    Args:
        kafka: where and who; `kafka.replica` is this replica's fixed name.
        transform: what it runs.
        state_dir: folder of RocksDB state; may be lost at any time, the changelogs have it all.
        commit_interval_s: how often rows become visible.
        replication: replication factor of new topics, -1 the broker's default.
        retention_ms: retention of new rows and dead-letter topics.
        accept_change: go on although the transform was changed.
        dead_letters_max: see `processors.aside.Aside`.
        wait_interval_s: how often a missing input is named in the log.
    """

    kafka: KafkaConfig
    transform: Transform
    state_dir: Path | str
    commit_interval_s: float = 1.0
    replication: int = -1
    retention_ms: int = DEFAULT_RETENTION_MS
    accept_change: bool = False
    dead_letters_max: int = DEAD_LETTERS_MAX
    wait_interval_s: float = 10.0


class Processor:
    """Runs a transform.

    Raises:
        ConfigurationError: the transform does not compile.
    """

    def __init__(
        self, config: ProcessorConfig, *, failpoint: Callable[[str], None] = lambda _: None
    ) -> None:
        self._config = config
        self._failpoint = failpoint
        self._declared = compile_transform(config.transform)
        self.compiled = self._declared
        self._names = TopicNames(config.kafka.namespace)
        self._progress = Progress(since_s=time.monotonic())
        self._lag = metrics.LAG.labels(self.compiled.name)
        self._application: ProcessorApplication | None = None
        self._cut_off = False
        self._notes: Notes = {}
        self._pauses = PausesFollower(config.kafka)

    def health(self) -> str | None:
        """None when healthy, else what stalls and for how long."""
        if self._application is not None:
            silence = self._application.pulse.problem
            if silence is not None or self._application.recovering:
                return silence
        return self._progress.problem(time.monotonic())

    def status(self) -> tuple[ProcessorStatus]:
        """How its one transform is doing."""
        compiled = self.compiled
        return (ProcessorStatus(compiled.name, self._progress.phase, compiled.generation),)

    def run(self, stop: threading.Event) -> None:
        """Process until `stop` is set; then the message in hand is finished and committed.

        Who was cut off from Kafka begins again by itself, as a new member.

        Raises:
            TailraceError: why it can't go on; `retryable` where the next process can.
        """
        wait_s, began = _AGAIN_FIRST_S, False
        while True:
            begun_at = time.monotonic()
            try:
                self._run_once(stop)
            except TailraceError as error:
                if stop.is_set() and closing(error.__cause__):
                    return
                began = began or self._application is not None
                lost = self._cut_off or (began and isinstance(error, BrokerUnreachableError))
                if stop.is_set() or not (error.retryable and lost):
                    raise
                self._application = None
                self._progress.enter(f"waiting for Kafka: {error}", time.monotonic())
                logger.warning("begins again", extra={"cause": str(error)})
            else:
                return
            lived = time.monotonic() - begun_at > _AGAIN_MAX_S
            stop.wait(wait_s := _AGAIN_FIRST_S if lived else min(wait_s * 2, _AGAIN_MAX_S))

    def _run_once(self, stop: threading.Event) -> None:
        inputs = self._await_inputs(stop)
        if inputs is None:
            return
        config, client = self._config, admin(self._config.kafka)
        ensure_transforms(client, self._names, config.replication)
        ensure_pauses(config.kafka, config.replication)
        self._pauses.paused("transform", self.compiled.name)  # known before anything is read
        generation = check_revision(
            config.kafka, self._declared, accept_change=config.accept_change
        )
        if generation != self.compiled.generation:
            self.compiled = at_generation(config.transform, generation)
        create_outputs(
            client,
            self.compiled,
            inputs,
            names=self._names,
            replication=config.replication,
            retention_ms=config.retention_ms,
        )
        dropped = settle(config.kafka, self.compiled, self._member, self._group)
        self._notes = begin(config.kafka, self.compiled, inputs, _unscanned(config.transform))
        self._register_schemas()
        base = Path(config.state_dir) / inputs.namespace_id / config.kafka.replica
        folder = StateFolder(base)
        with (
            contextlib.closing(folder),
            contextlib.closing(self._pauses),
            explained(f"transform {self.compiled.name}", self._remedy()),
        ):
            if dropped:
                folder.clear()
            application = ProcessorApplication(self._settings(inputs, folder.path))
            application.connect(self._pipeline(inputs))
            self._application = application
            self._progress.enter(RUNNING, time.monotonic())
            retirement = Retirement(config.kafka, self.compiled.name, generation)
            watch = Watch(application, stop, retirement.reached)
            try:
                with contextlib.closing(retirement), watch:
                    application.run()
            finally:
                self._cut_off = watch.cut_off

    @property
    def _group(self) -> str:
        return self._names.group(self.compiled.instance)

    @property
    def _member(self) -> str:
        return f"{self._group}.{self._config.kafka.replica}"

    def _await_inputs(self, stop: threading.Event) -> Inputs | None:
        client = admin(self._config.kafka)
        while not stop.is_set():
            found = find_inputs(self._config.kafka, client, self.compiled)
            if isinstance(found, Inputs):
                return found
            self._progress.enter(f"waiting for {found}", time.monotonic())
            logger.info("waiting", extra={"transform": self.compiled.name, "for": found})
            self._pause(stop, found, client)
        return None

    def _register_schemas(self) -> None:
        """Register the schemas as they begin; what others have found before is known already."""
        kafka, known = self._config.kafka, None
        for flow in self.compiled.flows:
            if flow.unfolds:
                known = read_schemas(kafka) if known is None else known
                for schema in known.values():
                    if schema.dataset == flow.dataset.id:
                        flow.discovery.adopt(schema.columns)
        for schema in {flow.schema for flow in self.compiled.flows}:
            register_schema(kafka, schema)

    def _pipeline(self, inputs: Inputs) -> Pipeline:
        partitions = rows_partitions(self.compiled, inputs, self._names)
        return Pipeline(
            self.compiled,
            self._names,
            register=lambda schema: register_schema(self._config.kafka, schema),
            spread={rows: count for rows, (_, count) in partitions.items()},
            dead_letters_max=self._config.dead_letters_max,
            limits={topic: note.limits for topic, note in self._notes.items()},
            epochs={topic: note.epoch for topic, note in self._notes.items()},
        )

    def _pause(self, stop: threading.Event, missing: str, client: AdminClient) -> None:
        """Until the next log line is due, or what is missing has come."""
        until = time.monotonic() + self._config.wait_interval_s
        while time.monotonic() < until and not stop.wait(0.25):
            if find_inputs(self._config.kafka, client, self.compiled) != missing:
                return

    def _settings(self, inputs: Inputs, state_dir: Path) -> ApplicationSettings:
        config = self._config
        return ApplicationSettings(
            kafka=config.kafka,
            group=self._group,
            member=self._member,
            state_dir=state_dir,
            commit_interval_s=config.commit_interval_s,
            place=lambda topic, partitions: self._place(inputs, topic, partitions),
            await_decided=self._await_decided,
            failpoint=self._failpoint,
            read=self._read,
            beat=self._beat,
            resting=lambda: self._paused_at() is not None,
        )

    def _place(self, inputs: Inputs, topic: str, partitions: Sequence[int]) -> Mapping[int, int]:
        if not partitions:
            return {}
        accepted = inputs.accepted.get((f"processor:{self.compiled.name}", topic), {})
        with Positions(self._config.kafka, self._group) as positions:
            return positions.starts(
                topic,
                partitions,
                remedy=self._remedy(topic),
                accepted=accepted,
                limits=self._notes[topic].limits if topic in self._notes else {},
            )

    def _await_decided(self, topic: str, partition: int) -> None:
        with Positions(self._config.kafka, self._group) as positions:
            positions.await_decided(topic, partition)

    def _remedy(self, topic: str | None = None) -> str:
        tables = self.compiled.tables()
        named = [table for table in tables if topic in (None, self._names.changes(table))] or tables
        return (
            f"Run: tailrace backfill {named[0]} --accept-gap processor:{self.compiled.name} "
            "and start again"
        )

    def _read(self, appended_ms: int) -> None:
        if appended_ms > 0:
            self._lag.set(max(0.0, time.time() - appended_ms / 1000))

    def _paused_at(self) -> int | None:
        pause = self._pauses.paused("transform", self.compiled.name)
        return pause.at_s if pause is not None else None

    def _beat(self, behind: bool) -> None:
        now, paused_at = time.monotonic(), self._paused_at()
        if paused_at is not None:
            self._lag.set(max(0.0, time.time() - paused_at))  # what came since is not looked at
        elif not behind:
            self._lag.set(0)
        self._progress.enter(RUNNING if paused_at is None else PAUSED, now)
        self._progress.beat(now)


def _unscanned(transform: Transform) -> frozenset[str]:
    """Tables of which changes alone are wanted."""
    streams = (entry.stream for entry in transform.inputs.values())
    return frozenset(
        t for s in streams if getattr(s.source, "snapshot", "") == "never" for t in s.tables
    )
