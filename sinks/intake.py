"""The sink's end of the rows topic: batches of decoded messages, and the positions after them.

Partitions are assigned, not subscribed to: who reads a dataset is decided by the lease, and where
reading starts by the table. Offsets are committed to Kafka for tools that show lag, after the table
has them and never beyond; nothing is ever read back from there.

Positions are the consumer's own (`position()`), which pass transaction markers: the last offset of
a partition that went idle is then the log's end, and not a gap once retention has moved on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bridge.wire.envelope import Sealed
from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.kafka import KafkaConfig, append_time_ms, unreachable
from bridge.wire.topics import TopicNames
from sinks.controller import BatchController, Close, Pause, Pending
from sinks.memory import Memory
from sinks.rows import Batch, Row, Unfit, decode, place_of
from sinks.schemas import SchemaBook

logger = logging.getLogger(__name__)

IDLE_RECORD_S = 60.0
_OVERHEAD_BYTES = 200


@dataclass(slots=True)
class _OpenBatch:
    rows: list[Row] = field(default_factory=list)
    seals: list[Sealed] = field(default_factory=list)
    unfit: list[Unfit] = field(default_factory=list)
    bytes: int = 0
    opened_at_s: float = 0.0
    oldest_ms: int | None = None

    @property
    def messages(self) -> int:
        return len(self.rows) + len(self.seals) + len(self.unfit)


class Intake:
    """Reads all partitions of one dataset's rows topic.

    Args:
        kafka: where.
        dataset: its id.
        topic: its rows topic.
        start: offset to begin at, by partition.
        schemas: asked about every fingerprint before its row is taken.
        controller: closes batches.
        memory: of the process.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        *,
        dataset: str,
        topic: str,
        start: Mapping[int, int],
        schemas: SchemaBook,
        controller: BatchController,
        memory: Memory,
    ) -> None:
        self._memory = memory
        self._topic = topic
        self._schemas = schemas
        self._controller = controller
        self._next: dict[int, int] = {}
        self._blocked: dict[int, tuple[str, float]] = {}
        self._down_since_s: float | None = None
        self._recorded: Mapping[int, int] = dict(start)
        self._recorded_at_s = time.monotonic()
        settings = kafka.consumer(
            group=TopicNames(kafka.namespace).group(f"sink.{dataset}"),
            queued_max_messages_kbytes=memory.prefetch_bytes // 1024,
            # A merge may take minutes; this consumer is no member of any group.
            max_poll_interval_ms=24 * 3600 * 1000,
        )
        settings["isolation.level"] = kafka.stage_isolation
        self._consumer = Consumer({**settings, "error_cb": self._client_error})
        self.read_from(start)

    def read_from(self, offsets: Mapping[int, int]) -> None:
        """Go on from these offsets, dropping what was fetched."""
        self._next = dict(offsets)
        self._blocked.clear()
        self._consumer.assign([TopicPartition(self._topic, p, o) for p, o in offsets.items()])

    def close(self) -> None:
        """Let go of the consumer."""
        self._consumer.close()

    @property
    def trouble(self) -> str | None:
        """What keeps messages from coming, None if nothing does."""
        now_s = time.monotonic()
        if self._down_since_s is not None:
            return f"Kafka does not answer since {now_s - self._down_since_s:.0f} s"
        for partition, (fingerprint, since_s) in self._blocked.items():
            return (
                f"{self._topic} partition {partition} at offset {self._next[partition]} waits "
                f"{now_s - since_s:.0f} s for schema {fingerprint}, which _schemas does not hold"
            )
        return None

    def fill(
        self, stop: threading.Event, turned: Callable[[], None] = lambda: None
    ) -> Batch | None:
        """The next batch; None when nothing came for a moment.

        `turned` is called again and again meanwhile: a batch may be open for long.

        Raises:
            BrokerUnreachableError: the topic or the offsets are gone; start over.
            UnknownVersionError: a newer release wrote a message.
        """
        batch = _OpenBatch()
        while not stop.is_set():
            decision = self._controller.decide(self._pending(batch))
            if isinstance(decision, Close):
                return self._close(batch, decision.reason)
            if isinstance(decision, Pause):
                self._pause(decision.seconds, stop)
                return None
            turned()
            self._unblock()
            self._take(self._consumer.consume(decision.rows, timeout=decision.timeout_s), batch)
            if not batch.messages:
                return self._idle()
        return self._close(batch, "stop") if batch.messages else None

    @property
    def backlog(self) -> int:
        """Messages that wait in Kafka, as far as its client has heard."""
        waiting = 0
        for partition, position in self._next.items():
            place = TopicPartition(self._topic, partition)
            bounds = self._consumer.get_watermark_offsets(place, cached=True)
            if bounds is not None and bounds[1] > position:
                waiting += bounds[1] - position
        return waiting

    def passed(self) -> Mapping[int, int]:
        """Where reading goes on, behind markers too; asked while nothing is in hand."""
        self._pass_markers()
        return dict(self._next)

    def recorded(self, offsets: Mapping[int, int]) -> None:
        """The table holds these offsets now: tell Kafka, for tools that show lag."""
        self._recorded, self._recorded_at_s = dict(offsets), time.monotonic()
        places = [TopicPartition(self._topic, p, o) for p, o in offsets.items() if o > 0]
        try:
            if places:
                self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:
            logger.warning("offsets not shown to Kafka", extra={"cause": str(error)})

    def _pending(self, batch: _OpenBatch) -> Pending:
        age_s = time.monotonic() - batch.opened_at_s if batch.messages else 0.0
        free = self._memory.free
        return Pending(batch.messages, batch.bytes, age_s, self.backlog, free)

    def _pause(self, seconds: float, stop: threading.Event) -> None:
        """Read nothing, and let Kafka's client drop what it holds, until there may be memory."""
        places = [TopicPartition(self._topic, p) for p in self._next if p not in self._blocked]
        self._consumer.pause(places)
        logger.info("no memory left, reading pauses", extra={"topic": self._topic})
        stop.wait(seconds)
        self._consumer.resume(places)

    def _take(self, messages: Sequence[Message], batch: _OpenBatch) -> None:
        # Once for every row there is: what can be looked up before the loop is.
        known, following, blocked, taken = self._schemas.known, self._next, self._blocked, 0
        for message in messages:
            error = message.error()
            if error is not None:
                raise self._reading_error(error)
            partition, offset = place_of(message)
            if blocked and partition in blocked:
                continue
            found = decode(message)
            if isinstance(found, Row):
                fingerprint = found.fingerprint
                if fingerprint not in known and not self._schemas.knows(fingerprint):
                    self._block(partition, offset, fingerprint)
                    continue
                batch.rows.append(found)
            elif isinstance(found, Sealed):
                batch.seals.append(found)
            elif found is not None:
                batch.unfit.append(found)
            if batch.oldest_ms is None:
                batch.opened_at_s = time.monotonic()
                batch.oldest_ms = append_time_ms(message) or 0
            taken += len(message.value() or b"") + _OVERHEAD_BYTES
            following[partition] = offset + 1
        batch.bytes += taken
        if messages:
            self._down_since_s = None

    def _block(self, partition: int, offset: int, fingerprint: str) -> None:
        """Leave a partition alone until the schema of its next row is known."""
        place = TopicPartition(self._topic, partition, offset)
        self._blocked[partition] = (fingerprint, time.monotonic())
        self._next[partition] = offset
        self._consumer.pause([place])
        logger.warning(
            "unknown schema, partition paused",
            extra={"topic": self._topic, "partition": partition, "offset": offset},
        )

    def _unblock(self) -> None:
        for partition, (fingerprint, _since_s) in list(self._blocked.items()):
            if self._schemas.knows(fingerprint):
                del self._blocked[partition]
                place = TopicPartition(self._topic, partition, self._next[partition])
                self._consumer.seek(place)
                self._consumer.resume([place])

    def _close(self, batch: _OpenBatch, reason: str) -> Batch:
        self._pass_markers()
        return Batch(
            rows=batch.rows,
            seals=batch.seals,
            unfit=batch.unfit,
            next_offsets=dict(self._next),
            bytes=batch.bytes,
            reason=reason,
            oldest_ms=batch.oldest_ms or None,
        )

    def _idle(self) -> Batch | None:
        """Markers alone move positions too; they are recorded now and then, not every time."""
        if time.monotonic() - self._recorded_at_s < IDLE_RECORD_S:
            return None
        self._recorded_at_s = time.monotonic()
        self._pass_markers()
        if self._next == dict(self._recorded):
            return None
        return Batch(next_offsets=dict(self._next), reason="idle")

    def _pass_markers(self) -> None:
        for place in self._consumer.position([TopicPartition(self._topic, p) for p in self._next]):
            known = self._next[place.partition]
            if place.partition not in self._blocked and place.offset > known:
                self._next[place.partition] = place.offset

    def _reading_error(self, error: KafkaError) -> BrokerUnreachableError:
        return unreachable(KafkaException(error), f"reading {self._topic}")

    def _client_error(self, error: KafkaError) -> None:
        down = error.code() == KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 (so it is named)
        if down and self._down_since_s is None:
            self._down_since_s = time.monotonic()
