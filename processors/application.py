"""The Quix application under a transform: consumer, transactions, RocksDB state and its recovery.

What it changes of Quix's behaviour, each pinned by a test:

- positions are given explicitly on every assignment, after a check for gaps, and a changelog is
  recovered only once no transaction is open in it;
- the position at the end of a partition is committed too (it lies behind transaction markers), or
  an idle partition would look like a gap after retention;
- a member that lost its partitions drops everything and ends;
- signals stay with the caller: `stop()` ends the loop after the message in hand, and commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_END, TopicPartition

from bridge.wire.errors import FencedError
from bridge.wire.kafka import MESSAGE_BYTES_MAX, SESSION_TIMEOUT_MS, KafkaConfig
from processors.compiled import CompiledFlow
from processors.pipeline import Incoming, Pipeline
from processors.provision import LIVE_STORE, TOMBSTONE_STORE
from processors.quix import Application, TopicManager, message_context
from processors.state import Stores

Place = Callable[[str, Sequence[int]], Mapping[int, int]]
Await = Callable[[str, int], None]
Failpoint = Callable[[str], None]

# The poll must not hold back a commit that is due.
_POLL_TIMEOUT_S = 0.2
# Bounds what a checkpoint holds in memory: rows in flight and keys touched.
_COMMIT_EVERY = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """What an application is made of.

    `member` is the fixed name its transactional id and static member id come from. `place` gives
    the offset each newly assigned partition goes on from; `await_decided` returns when no
    transaction is open in a changelog partition. `read` is told when each message was appended,
    `beat` at every turn of the loop whether messages wait.
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


class ProcessorApplication(Application):  # type: ignore[misc]
    """Runs a pipeline; see the module."""

    def __init__(self, settings: ApplicationSettings, **overrides: Any) -> None:
        kafka = settings.kafka
        self._settings = settings
        self._starts: dict[tuple[str, int], int] = {}
        self._passed: dict[tuple[str, int], int] = {}
        self._idle_check_at = 0.0
        self._behind = False
        self._consumed = False
        producer = kafka.producer(transactional_id=settings.member)
        options: dict[str, Any] = {
            "broker_address": kafka.brokers,
            "consumer_group": settings.group,
            "auto_offset_reset": "error",
            "auto_create_topics": False,
            "auto_recover_from_source_offset_out_of_range": False,
            "processing_guarantee": "exactly-once",
            "commit_interval": settings.commit_interval_s,
            "commit_every": _COMMIT_EVERY,
            "consumer_poll_timeout": min(_POLL_TIMEOUT_S, settings.commit_interval_s),
            "state_dir": settings.state_dir,
            "loglevel": None,
            "consumer_extra_config": _consumer_settings(settings),
            "producer_extra_config": {**producer, "statistics.interval.ms": 0},
            "on_processing_error": _never_suppress,
            "on_consumer_error": _never_suppress,
            "on_producer_error": _never_suppress,
            "on_message_processed": self._message_processed,
        }
        super().__init__(**{**options, **overrides})
        self._arm_failpoints(settings.failpoint)

    @property
    def recovering(self) -> bool:
        """Whether state is being recovered from its changelogs."""
        return bool(self._state_manager.recovery_required)

    def connect(self, pipeline: Pipeline) -> None:
        """Read the pipeline's topics, with the stores its flows need.

        The topics must exist.
        """
        for name, stateful in pipeline.topics().items():
            topic = self.topic(name, value_deserializer="bytes", key_deserializer="bytes")
            frame = self.dataframe(topic)
            if stateful:
                self._register_stores(frame)
            frame.update(self._handler(pipeline, frame.stream_id), metadata=True)

    def _register_stores(self, frame: Any) -> None:
        for store in (LIVE_STORE, TOMBSTONE_STORE):
            self._state_manager.register_store(
                frame.stream_id,
                store,
                changelog_config=TopicManager.derive_topic_config(frame.topics),
            )

    def _handler(self, pipeline: Pipeline, stream_id: str) -> Callable[..., None]:
        context, outbox = self._processing_context, self._processing_context.producer
        read, failpoint = self._settings.read, self._settings.failpoint

        def handle(value: Any, key: Any, timestamp: int, headers: Any) -> None:
            place = message_context()
            read(timestamp)

            def stores_of(flow: CompiledFlow) -> Stores:
                prefix, checkpoint = flow.dataset.id.encode(), context.checkpoint
                live, tombstones = (
                    _QuixStore(
                        checkpoint.get_store_transaction(stream_id, place.partition, name), prefix
                    )
                    for name in (LIVE_STORE, TOMBSTONE_STORE)
                )
                return Stores(live, tombstones)

            message = Incoming(place.topic, place.partition, place.offset, key, value, headers)
            pipeline.process(message, outbox, stores_of)
            failpoint("processor.processed")

        return handle

    def _arm_failpoints(self, failpoint: Failpoint) -> None:
        producer = self._producer
        commit = producer.commit_transaction

        def commit_transaction(*args: Any, **kwargs: Any) -> None:
            failpoint("processor.prepared")
            commit(*args, **kwargs)
            failpoint("processor.committed")

        producer.commit_transaction = commit_transaction

    def _setup_signal_handlers(self) -> None:
        """Signals belong to whoever runs the process."""

    def _assign_partitions(self, topic_partitions: list[TopicPartition]) -> None:
        """Give every partition its position before Quix assigns and recovers."""
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

    def _process_message(self, dataframe_composed: Any) -> None:
        self._consumed = False
        super()._process_message(dataframe_composed)
        now = time.monotonic()
        if now >= self._idle_check_at:
            self._idle_check_at = now + self._settings.commit_interval_s
            self._pass_markers()
        self._settings.beat(self._behind or self._consumed)

    def _message_processed(self, topic: str, partition: int, offset: int) -> None:
        self._passed[topic, partition] = offset + 1
        self._consumed = True

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


def _consumer_settings(settings: ApplicationSettings) -> dict[str, Any]:
    return {
        **settings.kafka.client(
            isolation_level=settings.kafka.stage_isolation,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            group_instance_id=settings.member,
            fetch_message_max_bytes=MESSAGE_BYTES_MAX,
            fetch_wait_max_ms=100,
            statistics_interval_ms=0,
        )
    }


def _never_suppress(*_: object) -> bool:
    return False


class _QuixStore:
    """A store's transaction of the open checkpoint, its keys under the dataset's prefix."""

    def __init__(self, transaction: Any, prefix: bytes) -> None:
        self._transaction = transaction
        self._prefix = prefix

    def get(self, key: bytes) -> bytes | None:
        found: bytes | None = self._transaction.get_bytes(key, self._prefix)
        return found

    def set(self, key: bytes, value: bytes) -> None:
        self._transaction.set_bytes(key, value, self._prefix)

    def delete(self, key: bytes) -> None:
        self._transaction.delete(key, self._prefix)
