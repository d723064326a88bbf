"""The Quix application under a transform: consumer, transactions, RocksDB state and its recovery.

What it changes of Quix's behaviour, each pinned by a test:

- messages are consumed and processed in batches, not one by one; nothing else of Quix's loop
  changes: between two turns it commits, recovers and stops as ever;
- positions are given explicitly on every assignment, after a check for gaps, and a changelog is
  recovered only once no transaction is open in it;
- the position at the end of a partition is committed too (it lies behind transaction markers), or
  an idle partition would look like a gap after retention;
- a member that lost its partitions drops everything and ends; what a rebalance raises is raised
  when the client is done with it;
- signals stay with the caller: `stop()` ends the loop after the turn in hand, and commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_END, Message, TopicPartition

from bridge.wire.errors import FencedError
from bridge.wire.kafka import (
    HEARTBEAT_MS,
    MESSAGE_BYTES_MAX,
    SESSION_TIMEOUT_MS,
    TRANSACTION_TIMEOUT_MS,
    KafkaConfig,
)
from bridge.wire.member import MemberConsumer
from bridge.wire.pulse import Pulse
from processors.batches import Batches
from processors.changelog import quicken
from processors.flow import CompiledFlow
from processors.outbox import ClientOutbox
from processors.pace import Pace
from processors.pipeline import Pipeline, StoresOf
from processors.provision import LIVE_STORE, TOMBSTONE_STORE
from processors.quix import Application, InternalProducer, RocksDBOptions, TopicManager
from processors.row_writer import Outbox
from processors.state import Stores
from processors.stores import QuixShelf, QuixStore, read_all_again

Place = Callable[[str, Sequence[int]], Mapping[int, int]]
Await = Callable[[str, int], None]
Failpoint = Callable[[str], None]
# Messages of one partition of a topic, the stores of the open checkpoint, and the time
# (monotonic) at which to leave off -> how many it has processed, at least one.
Handler = Callable[[int, Sequence[Message], StoresOf, float], int]
StoresOfPartition = Callable[[int], StoresOf]

# How long a batch is collected at most.
_COLLECT_S = 0.05
# A turn must not hold back a commit or a stop that is due, however slow a transform is.
_TURN_S = 0.2
# Bounds what a checkpoint holds in memory: rows in flight and keys touched.
_COMMIT_EVERY_MESSAGES = 20_000
_COMMIT_EVERY_BYTES = 64 * 1024 * 1024
_PREFETCHED_KBYTES = 32 * 1024
_MEMTABLE_BYTES = 16 * 1024 * 1024
_STATE_CACHE_BYTES = 128 * 1024 * 1024
# Nobody waits for a row before its transaction is committed, and a commit lets nothing linger: few
# large requests, up to what one may hold, cost less than many small ones.
LINGER_MS = 200
# The broker has aborted the transaction by then.
_COMMIT_TIMEOUT_S = TRANSACTION_TIMEOUT_MS / 1000 + 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """What an application is made of.

    `member` is the fixed name its transactional id and static member id come from. `place` gives
    the offset each newly assigned partition goes on from; `await_decided` returns when no
    transaction is open in a changelog partition. `read` is told when each message was appended,
    `beat` at every turn of the loop whether messages wait. While `resting`, nothing is read.
    """

    kafka: KafkaConfig
    group: str
    member: str
    state_dir: Path
    commit_interval_s: float
    place: Place
    await_decided: Await
    failpoint: Failpoint
    read: Callable[[int], None]
    beat: Callable[[bool], None]
    resting: Callable[[], bool] = lambda: False
    pulse: Pulse = field(default_factory=Pulse)


class ProcessorApplication(Application):  # type: ignore[misc]
    """Runs a pipeline; see the module."""

    def __init__(self, settings: ApplicationSettings, **overrides: Any) -> None:
        kafka = settings.kafka
        self._settings = settings
        self._starts: dict[tuple[str, int], int] = {}
        self._passed: dict[tuple[str, int], int] = {}
        self._idle_check_at = 0.0
        self._behind = self._rested = False
        self._outbox: Outbox | None = None
        self._handlers: dict[str, tuple[Handler, StoresOfPartition]] = {}
        self._turn_s = min(_TURN_S, settings.commit_interval_s)
        self._batches = Batches(
            lambda: self._consumer, self._next_offset, min(_COLLECT_S, settings.commit_interval_s)
        )
        self._counted: object = None
        self._messages = self._bytes = 0
        producer = kafka.producer(transactional_id=settings.member)
        options: dict[str, Any] = {
            "broker_address": kafka.brokers,
            "consumer_group": settings.group,
            "auto_offset_reset": "error",
            "auto_create_topics": False,
            "auto_recover_from_source_offset_out_of_range": False,
            "processing_guarantee": "exactly-once",
            "commit_interval": settings.commit_interval_s,
            "state_dir": settings.state_dir,
            "rocksdb_options": _state_options(),
            "loglevel": None,
            "consumer_extra_config": _consumer_settings(settings),
            "producer_extra_config": {
                **producer,
                "linger.ms": LINGER_MS,
                "statistics.interval.ms": 0,
            },
            "on_processing_error": _never_suppress,
            "on_consumer_error": _never_suppress,
            "on_producer_error": _never_suppress,
        }
        super().__init__(**{**options, **overrides})
        self._arm_failpoints(settings.failpoint)

    @property
    def recovering(self) -> bool:
        """Whether state is being recovered from its changelogs."""
        return bool(self._state_manager.recovery_required)

    @property
    def pulse(self) -> Pulse:
        """Whether Kafka answers its member."""
        return self._settings.pulse

    def connect(self, pipeline: Pipeline) -> None:
        """Read the pipeline's topics, with the stores its flows need.

        The topics must exist.
        """
        for name, stateful in pipeline.topics().items():
            self.read_topic(name, self._handler(pipeline, name), stateful=stateful)

    def read_topic(self, name: str, handler: Handler, *, stateful: bool) -> None:
        """Give the messages of a topic to a handler, with stores if it needs them."""
        topic = self.topic(name, value_deserializer="bytes", key_deserializer="bytes")
        # Nothing is composed of the frame: by it Quix knows the topic and its stores.
        frame = self.dataframe(topic)
        if stateful:
            for store in (LIVE_STORE, TOMBSTONE_STORE):
                self._state_manager.register_store(
                    frame.stream_id,
                    store,
                    changelog_config=TopicManager.derive_topic_config(frame.topics),
                )
        self._handlers[name] = handler, self._stores(frame.stream_id)

    def _handler(self, pipeline: Pipeline, topic: str) -> Handler:
        outbox, failpoint = self._writing(), self._settings.failpoint

        def handle(
            partition: int, messages: Sequence[Message], stores_of: StoresOf, until_s: float
        ) -> int:
            over = Pace(pipeline.compiled.name, messages, until_s).over

            def go_on() -> bool:
                failpoint("processor.processed")
                return not over()

            return pipeline.process_batch(
                topic, partition, messages, outbox, stores_of, go_on=go_on
            )

        return handle

    def _writing(self) -> Outbox:
        if self._outbox is None:
            producer: Outbox = self._processing_context.producer
            quix = isinstance(producer, InternalProducer)
            self._outbox = ClientOutbox(producer) if quix else producer
        return self._outbox

    def _stores(self, stream_id: str) -> StoresOfPartition:
        context = self._processing_context

        def of_partition(partition: int) -> StoresOf:
            checkpoint = context.checkpoint
            made: dict[int, Stores] = {}

            def stores_of(flow: CompiledFlow) -> Stores:
                known = made.get(id(flow))
                if known is not None:
                    return known
                prefix = flow.dataset.id.encode()
                live, tombstones = (
                    checkpoint.get_store_transaction(stream_id, partition, name)
                    for name in (LIVE_STORE, TOMBSTONE_STORE)
                )
                for transaction in (live, tombstones):
                    quicken(transaction, self._writing())
                made[id(flow)] = stores = Stores(
                    QuixStore(live, prefix), QuixStore(tombstones, prefix), QuixShelf(live)
                )
                return stores

            return stores_of

        return of_partition

    def _arm_failpoints(self, failpoint: Failpoint) -> None:
        producer = self._producer
        commit = producer.commit_transaction

        def commit_transaction(positions: Any, group: Any, timeout: float | None = None) -> None:
            failpoint("processor.prepared")
            # Quix waits for ever: seen with offsets whose broker had restarted.
            commit(positions, group, _COMMIT_TIMEOUT_S if timeout is None else timeout)
            failpoint("processor.committed")

        producer.commit_transaction = commit_transaction

    def _run_dataframe(self, sink: Any = None) -> None:
        """With a client that raises what a rebalance raised; Quix makes its own where none is."""
        consumer = self._consumer
        consumer._inner_consumer = MemberConsumer(consumer._consumer_config)  # noqa: SLF001
        super()._run_dataframe(sink)

    def _setup_signal_handlers(self) -> None:
        """Signals belong to whoever runs the process."""

    def _assign_partitions(self, topic_partitions: list[TopicPartition]) -> None:
        """Give every partition its position before Quix assigns and recovers."""
        self._batches.rebalanced()
        read_all_again(self._state_manager)
        data = self._topic_manager.non_changelog_topics
        for topic in data:
            mine = [place for place in topic_partitions if place.topic == topic]
            starts = self._settings.place(topic, [place.partition for place in mine])
            for place in mine:
                start = starts[place.partition]
                place.offset = start
                self._starts[topic, place.partition] = start
                self._passed[topic, place.partition] = 0
        for place in topic_partitions:
            if place.topic not in data:
                self._settings.await_decided(place.topic, place.partition)
                place.offset = OFFSET_END  # paused at once; recovery seeks where it begins
        super()._assign_partitions(topic_partitions)

    def _on_revoke(self, consumer: Any, topic_partitions: list[TopicPartition]) -> None:
        self._batches.rebalanced()
        super()._on_revoke(consumer, topic_partitions)

    def _on_lost(self, _: Any, topic_partitions: list[TopicPartition]) -> None:
        """Drop everything: the partitions have another owner.

        Quix would go on and commit the open checkpoint as a member of the new generation, lost
        partitions included: their rows twice, their offsets back, old state over new.
        """
        lost = sorted((place.topic, place.partition) for place in topic_partitions)
        raise FencedError(
            f"{len(lost)} partitions were lost to another member",
            where=self._settings.member,
            remedy="Nothing to do if the process was paused or cut off; it starts again by itself",
        )

    def _process_message(self, _: Any) -> None:
        """A turn of Quix's loop: of the batch in hand, as much as fits into a turn's time.

        What is processed stands in the checkpoint when the turn ends, nothing else does. An error
        leaves the run it came from out; Quix then drops the checkpoint whole.
        """
        self._producer.poll(0)
        self._rest()
        if self._batches.empty:
            self._batches.collect()
        consumed = not self._batches.empty
        until_s = time.monotonic() + self._turn_s
        while not self._batches.empty:
            self._process_run(until_s)
            if time.monotonic() >= until_s:
                break
        if consumed:
            self._producer._broker_available()  # noqa: SLF001
            self._consumer._broker_available()  # noqa: SLF001
        now = time.monotonic()
        # A position is beyond what waits in a batch.
        if self._batches.empty and now >= self._idle_check_at:
            self._idle_check_at = now + self._settings.commit_interval_s
            self._pass_markers()
        self._settings.beat(self._behind or consumed)

    def _rest(self) -> None:
        """Read nothing while that is asked for, at every turn: partitions come and are resumed.

        The consumer goes on being polled, so the member keeps its partitions.
        """
        resting = self._settings.resting()
        if resting or self._rested:
            data = self._topic_manager.non_changelog_topics
            mine = [place for place in self._consumer.assignment() if place.topic in data]
            (self._consumer.pause if resting else self._consumer.resume)(mine)
        self._rested = resting

    def _process_run(self, until_s: float) -> None:
        topic, partition, messages = self._batches.next_run()
        handler, stores = self._handlers[topic]
        count = handler(partition, messages, stores(partition), until_s)
        last = messages[count - 1]
        self._processing_context.store_offset(topic, partition, last.offset())
        self._passed[topic, partition] = (last.offset() or 0) + 1
        self._batches.done(topic, partition, count)
        self._settings.read(last.timestamp()[1])
        self._bound_checkpoint(messages[:count])

    def _bound_checkpoint(self, messages: Sequence[Message]) -> None:
        """Commit before the interval is over where a checkpoint would grow too large."""
        context = self._processing_context
        if self._counted is not context.checkpoint:
            self._counted, self._messages, self._bytes = context.checkpoint, 0, 0
        self._messages += len(messages)
        self._bytes += sum(map(len, messages))
        if self._messages >= _COMMIT_EVERY_MESSAGES or self._bytes >= _COMMIT_EVERY_BYTES:
            context.commit_checkpoint(force=True)

    def _next_offset(self, topic: str, partition: int) -> int:
        where = (topic, partition)
        return max(self._starts.get(where, 0), self._passed.get(where, 0))

    def _pass_markers(self) -> None:
        """Let the checkpoint hold positions that moved without a message.

        They move past markers, and on assignment past what a person gave up.
        """
        data = self._topic_manager.non_changelog_topics
        mine = [place for place in self._consumer.assignment() if place.topic in data]
        behind = False
        for place in self._consumer.position(mine) if mine else ():
            where = (place.topic, place.partition)
            # Nothing was read yet where the position is one of librdkafka's negative marks.
            position = max(place.offset, self._starts.get(where, 0))
            if position > self._passed.get(where, 0):
                self._processing_context.store_offset(*where, position - 1)
                self._passed[where] = position
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            behind = behind or position < end
        self._behind = behind


def _state_options() -> RocksDBOptions:
    """What state takes of memory: 32 MiB a partition and store at most, and one cache for all.

    Quix's own default, 192 MiB each, is more than a processor of many partitions has.
    """
    return RocksDBOptions(
        write_buffer_size=_MEMTABLE_BYTES,
        max_write_buffer_number=2,
        max_total_wal_size=2 * _MEMTABLE_BYTES,
        block_cache_size=_STATE_CACHE_BYTES,
    )


def _consumer_settings(settings: ApplicationSettings) -> dict[str, Any]:
    return {
        **settings.kafka.client(
            isolation_level=settings.kafka.stage_isolation,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            group_instance_id=settings.member,
            fetch_message_max_bytes=MESSAGE_BYTES_MAX,
            fetch_wait_max_ms=100,
            queued_max_messages_kbytes=_PREFETCHED_KBYTES,
        ),
        **settings.pulse.settings(),
    }


def _never_suppress(*_: object) -> bool:
    return False
