"""How every stage speaks to Kafka: client settings, reading a partition to its end, log bounds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.offsets import ask_offsets

logger = logging.getLogger(__name__)
T = TypeVar("T")

REQUEST_TIMEOUT_S = 20.0
# A 400 KB item with both images as JSON, base64 and escapes included, and room to spare.
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
# A killed process is replaced within 15 s: 8 s until the broker misses it, a second until the
# others hear of it with their heartbeat, the rest for taking over.
SESSION_TIMEOUT_MS = 8_000
HEARTBEAT_MS = 1_000
TRANSACTION_TIMEOUT_MS = 15_000
_SETTLING_TIMES = 3
# What a broker answers for a moment about a topic just created or a leader just elected.
SETTLING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        # The admin client's own word for a partition that has no leader yet.
        KafkaError._NOENT,  # noqa: SLF001 (librdkafka's own codes begin with an underscore)
    }
)
SETTLE_TIMEOUT_S = 5.0
# Of clients whose every failure is raised: the terminal is another's. The name has its underscore.
_QUIET = {"log_level": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """Where Kafka is and who we are there.

    Args:
        brokers: bootstrap servers, `host:port[,host:port]`.
        namespace: first part of the name of every topic, group and transactional id.
        replica: this process's fixed name; its member and transactional ids come from it.
        security: librdkafka settings for SASL and TLS, passed through; never logged.
        static_membership: give group members a fixed id. Needed by the embedded broker, which
            never expires a dead member; not wanted where any number of workers may start.
    """

    brokers: str
    namespace: str = "tailrace"
    replica: str = "0"
    security: Mapping[str, str] = field(default_factory=dict, repr=False)
    static_membership: bool = False

    @property
    def stage_isolation(self) -> str:
        """The isolation level at which a stage reads what the stage before it wrote.

        The embedded broker, the one that needs static members, lists an aborted transaction also
        to readers that are past it, and they then pass over whatever its producer wrote since.
        There a stage reads messages of open and aborted transactions too: their writers repeat
        them, and versions make the repetition harmless; state skips what was not committed.
        """
        return "read_uncommitted" if self.static_membership else "read_committed"

    def client(self, **settings: Any) -> dict[str, Any]:
        """Settings of any client; `settings` are librdkafka's with dots written as `_`."""
        named = {name.replace("_", "."): value for name, value in settings.items()}
        return {
            "bootstrap.servers": self.brokers,
            "client.id": f"{self.namespace}.{self.replica}",
            # A lost broker is retried for ever in the background; the stages decide what to say.
            "reconnect.backoff.max.ms": 2_000,
            "socket.keepalive.enable": True,
            "log.connection.close": False,
            **self.security,
            **named,
        }

    def producer(self, *, transactional_id: str | None = None, **settings: Any) -> dict[str, Any]:
        """Settings of an idempotent producer that partitions like the Java clients (murmur2)."""
        config = self.client(
            enable_idempotence=True,
            acks="all",
            partitioner="murmur2",
            compression_type="lz4",
            linger_ms=5,
            message_max_bytes=MESSAGE_BYTES_MAX,
            **settings,
        )
        if transactional_id is not None:
            config["transactional.id"] = transactional_id
            config["transaction.timeout.ms"] = TRANSACTION_TIMEOUT_MS
        return config

    def consumer(self, *, group: str, **settings: Any) -> dict[str, Any]:
        """Settings of a read_committed consumer that never commits by itself."""
        return self.client(
            group_id=group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="error",
            partition_assignment_strategy="range",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            fetch_message_max_bytes=MESSAGE_BYTES_MAX,
            **settings,
        )

    def reader(self, *, group: str | None = None, **settings: Any) -> dict[str, Any]:
        """Settings of a consumer that only asks and reads: it never joins a group, never commits.

        Args:
            group: the one whose positions are asked for; by default a name, which librdkafka wants.
        """
        return {**self.consumer(group=group or f"{self.namespace}.reader", **settings), **_QUIET}

    def admin(self) -> dict[str, Any]:
        """Settings of an admin client. It never makes a topic by asking about it."""
        return {**self.client(allow_auto_create_topics=False), **_QUIET}


@dataclass(frozen=True, slots=True)
class LogBounds:
    """Offsets of a partition: the first one retained and the next one to be written."""

    start: int
    end: int


def log_bounds(
    consumer: Consumer, topic: str, partition: int, timeout_s: float = REQUEST_TIMEOUT_S
) -> LogBounds:
    """The partition's bounds as its leader tells them now.

    Raises:
        BrokerUnreachableError: no answer within `timeout_s`.
    """
    where = f"{topic} partition {partition}"

    def ask() -> tuple[int, int] | None:
        place = TopicPartition(topic, partition)
        answer: tuple[int, int] | None = consumer.get_watermark_offsets(
            place, timeout=timeout_s, cached=False
        )
        return answer

    found = _settled(ask, where, timeout_s)
    if found is None:
        raise BrokerUnreachableError("no answer about the log's bounds", where=where)
    return LogBounds(*found)


def written_bounds(
    client: AdminClient,
    topic: str,
    partitions: Iterable[int],
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> dict[int, LogBounds]:
    """Bounds of all that was written, open transactions included.

    A read_committed consumer is told only where the oldest open transaction begins.

    Raises:
        BrokerUnreachableError: no answer within `timeout_s`.
    """
    places = [TopicPartition(topic, p) for p in partitions]
    uncommitted = IsolationLevel.READ_UNCOMMITTED
    starts = _offsets(client, places, OffsetSpec.earliest(), uncommitted, timeout_s)
    ends = _offsets(client, places, OffsetSpec.latest(), uncommitted, timeout_s)
    return {p: LogBounds(start, ends[p]) for p, start in starts.items()}


def committed_ends(
    client: AdminClient,
    topic: str,
    partitions: Iterable[int],
    timeout_s: float = REQUEST_TIMEOUT_S,
) -> dict[int, int]:
    """Where a read_committed reader of each partition comes to now.

    That is its end, or where the oldest transaction begins that is still open; whatever such a
    reader has ever seen lies before it.

    Raises:
        BrokerUnreachableError: no answer within `timeout_s`.
    """
    places = [TopicPartition(topic, p) for p in partitions]
    latest, committed = OffsetSpec.latest(), IsolationLevel.READ_COMMITTED
    return _offsets(client, places, latest, committed, timeout_s)


def _offsets(
    client: AdminClient,
    places: list[TopicPartition],
    spec: OffsetSpec,
    isolation: IsolationLevel,
    timeout_s: float,
) -> dict[int, int]:
    def ask() -> dict[int, int]:
        asked = dict.fromkeys(places, spec)
        found = ask_offsets(client, asked, isolation=isolation, timeout_s=timeout_s)
        return {place.partition: answer.offset for place, answer in found.items()}

    return _settled(ask, places[0].topic if places else "no partition", SETTLE_TIMEOUT_S)


def _settled(ask: Callable[[], T], where: str, timeout_s: float) -> T:
    """What the broker answers once a topic just created, or a leader just elected, is settled.

    Neither a consumer's nor the admin client's question about offsets is asked again by itself.

    Raises:
        BrokerUnreachableError: another failure, or not settled within `timeout_s`, thrice that
            where the topic is known: a broker with hundreds of new topics to lead takes its time.
    """
    begun_at = time.monotonic()
    while True:
        try:
            return ask()
        except KafkaException as error:
            code = error.args[0].code()
            unknown = code == KafkaError.UNKNOWN_TOPIC_OR_PART
            patience_s = timeout_s if unknown else timeout_s * _SETTLING_TIMES
            if code not in SETTLING or time.monotonic() - begun_at > patience_s:
                raise unreachable(error, where) from error
            time.sleep(0.1)


def unreachable(error: KafkaException, where: str) -> BrokerUnreachableError:
    """A Kafka failure as one line with its remedy."""
    cause = error.args[0] if error.args else error
    text = cause.str() if isinstance(cause, KafkaError) else str(cause)
    return BrokerUnreachableError(
        text, where=where, remedy="Check that the brokers run and that TAILRACE_BROKERS names them"
    )


def read_to_end(
    kafka: KafkaConfig,
    topic: str,
    partitions: Iterable[int],
    *,
    timeout_s: float = 60.0,
    newest: int | None = None,
) -> Iterator[Message]:
    """Every committed message of the partitions, up to the end as it was at the call.

    Records of a transaction that is still open at that end are waited for until it is decided.
    With `newest` only the last so many offsets of each partition are read.

    Raises:
        BrokerUnreachableError: the end was not reached within `timeout_s`.
    """
    bounds = written_bounds(AdminClient(kafka.admin()), topic, partitions)
    consumer = Consumer(kafka.reader())
    try:
        waiting = {p: b.end for p, b in bounds.items() if b.end > b.start}
        begins = {
            p: bounds[p].start if newest is None else max(bounds[p].start, end - newest)
            for p, end in waiting.items()
        }
        consumer.assign([TopicPartition(topic, p, begin) for p, begin in begins.items()])
        deadline = time.monotonic() + timeout_s
        while waiting:
            message = consumer.poll(0.1)
            if message is not None:
                error = message.error()
                if error is not None:
                    raise unreachable(KafkaException(error), topic)
                partition = message.partition()
                if partition in waiting and (message.offset() or 0) < bounds[partition].end:
                    yield message
            # Asking for positions costs more than a message: not while messages come that are far
            # from their partition's end.
            if message is None or _near_end(message, waiting):
                _drop_finished(consumer, topic, waiting)
            if waiting and time.monotonic() > deadline:
                raise BrokerUnreachableError(
                    f"its end was not reached within {timeout_s:.0f} s", where=topic
                )
    finally:
        consumer.close()


def _near_end(message: Message, waiting: Mapping[int, int]) -> bool:
    """Whether at most a marker stands between the message and its partition's end."""
    end = waiting.get(message.partition() or 0)
    return end is None or (message.offset() or 0) >= end - 2


def _drop_finished(consumer: Consumer, topic: str, waiting: dict[int, int]) -> None:
    """Forget the partitions whose position, markers included, has reached the end."""
    for place in consumer.position([TopicPartition(topic, p) for p in waiting]):
        if place.offset >= waiting[place.partition]:
            del waiting[place.partition]


def append_time_ms(message: Message) -> int | None:
    """When the broker appended the message, milliseconds since 1970."""
    kind, value = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else int(value)
