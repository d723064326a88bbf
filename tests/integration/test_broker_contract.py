"""What we need of a broker's logs and transactions, through the settings the stages use."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterable

import pytest
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from bridge.wire.errors import GapError
from bridge.wire.gap import check_position
from bridge.wire.kafka import MESSAGE_BYTES_MAX, KafkaConfig, log_bounds, read_to_end
from bridge.wire.topics import TopicSpec, admin, ensure_topics
from tests.parts.brokers import Broker
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.integration

TIMEOUT_S = 30.0


def make_topic(kafka: KafkaConfig, name: str = "log", **settings: str) -> str:
    """A topic of one partition as the stages create theirs, with `settings` on top."""
    topic = f"{kafka.namespace}.{name}"
    named = {key.replace("_", "."): value for key, value in settings.items()}
    compacted = named.pop("cleanup.policy", "delete") == "compact"
    spec = TopicSpec(name=topic, partitions=1, compacted=compacted, settings=named)
    ensure_topics(admin(kafka), [spec])
    return topic


def write(kafka: KafkaConfig, topic: str, values: Iterable[bytes], **message: object) -> None:
    """Acknowledged writes to partition 0."""
    producer = Producer(kafka.producer())
    failures: list[KafkaError] = []
    for value in values:
        producer.produce(
            topic,
            value,
            partition=0,
            on_delivery=lambda error, _: failures.append(error) if error else None,
            **message,
        )
    assert producer.flush(TIMEOUT_S) == 0
    assert not failures


def transactional(kafka: KafkaConfig, name: str = "txn", timeout_ms: int = 60_000) -> Producer:
    """A producer that has fenced all earlier ones of its transactional id."""
    settings = kafka.producer(transactional_id=f"{kafka.namespace}.{name}")
    settings["transaction.timeout.ms"] = timeout_ms
    producer = Producer(settings)
    producer.init_transactions(TIMEOUT_S)
    return producer


def messages(kafka: KafkaConfig, topic: str) -> list[Message]:
    """All that is committed, once every open transaction is decided."""
    return list(read_to_end(kafka, topic, [0], timeout_s=TIMEOUT_S))


def committed(kafka: KafkaConfig, topic: str) -> list[bytes | None]:
    return [message.value() for message in messages(kafka, topic)]


def start_of(kafka: KafkaConfig, topic: str) -> int:
    """The first retained offset."""
    consumer = Consumer(kafka.consumer(group=f"{kafka.namespace}.bounds"))
    try:
        return log_bounds(consumer, topic, 0).start
    finally:
        consumer.close()


def test_second_producer_of_a_transactional_id_fences_the_first(kafka: KafkaConfig) -> None:
    topic = make_topic(kafka)
    zombie = transactional(kafka)
    zombie.begin_transaction()
    zombie.produce(topic, b"zombie")
    zombie.flush(TIMEOUT_S)

    owner = transactional(kafka)
    with pytest.raises(KafkaException) as fenced:
        zombie.commit_transaction(TIMEOUT_S)
    assert fenced.value.args[0].fatal()
    owner.begin_transaction()
    owner.produce(topic, b"owner")
    owner.commit_transaction(TIMEOUT_S)
    assert committed(kafka, topic) == [b"owner"]


def test_aborted_records_are_invisible_and_the_end_is_passed(kafka: KafkaConfig) -> None:
    topic = make_topic(kafka)
    producer = transactional(kafka)
    for number, end in enumerate(("commit", "abort", "commit", "abort")):
        producer.begin_transaction()
        producer.produce(topic, f"{number} {end}".encode())
        producer.flush(TIMEOUT_S)
        if end == "commit":
            producer.commit_transaction(TIMEOUT_S)
        else:
            producer.abort_transaction(TIMEOUT_S)
    # Reading to the end, though it lies behind aborted records and markers, must come to an end.
    assert committed(kafka, topic) == [b"0 commit", b"2 commit"]


def test_offsets_travel_with_the_transaction(kafka: KafkaConfig) -> None:
    topic = make_topic(kafka)
    write(kafka, topic, [b"a", b"b", b"c"])
    consumer = Consumer(kafka.consumer(group=f"{kafka.namespace}.reader"))
    producer = transactional(kafka)
    try:
        for offset, end in ((1, producer.commit_transaction), (3, producer.abort_transaction)):
            producer.begin_transaction()
            places = [TopicPartition(topic, 0, offset)]
            producer.send_offsets_to_transaction(
                places, consumer.consumer_group_metadata(), TIMEOUT_S
            )
            end(TIMEOUT_S)
        (place,) = consumer.committed([TopicPartition(topic, 0)], timeout=TIMEOUT_S)
    finally:
        consumer.close()
    assert place.offset == 1


@pytest.mark.needs("txn_timeout")
def test_transaction_of_a_dead_producer_is_aborted_in_time(kafka: KafkaConfig) -> None:
    topic = make_topic(kafka)
    dead = transactional(kafka, timeout_ms=2_000)
    dead.begin_transaction()
    dead.produce(topic, b"never committed")
    dead.flush(TIMEOUT_S)
    write(kafka, topic, [b"behind it"])
    assert committed(kafka, topic) == [b"behind it"]
    with pytest.raises(KafkaException):
        dead.commit_transaction(TIMEOUT_S)


def test_append_time_is_the_brokers_and_retention_goes_by_it(kafka: KafkaConfig) -> None:
    retention = {"retention_ms": "60000", "segment_ms": "1000"}
    ours = make_topic(kafka, "ours", **retention)
    control = make_topic(kafka, "control", message_timestamp_type="CreateTime", **retention)
    replayed_ms = int((time.time() - 3600) * 1000)
    before_ms = int(time.time() * 1000)
    write(kafka, ours, [b"replayed"], timestamp=replayed_ms)
    (message,) = messages(kafka, ours)
    kind, stamp_ms = message.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert before_ms - 5_000 <= stamp_ms <= time.time() * 1000 + 5_000

    write(kafka, control, [b"replayed"], timestamp=replayed_ms)
    # Nothing newer goes there: a broker may keep old records for the sake of a new neighbour.
    wait_until(
        lambda: start_of(kafka, control) == 1, timeout_s=TIMEOUT_S, what="retention by source time"
    )
    assert committed(kafka, ours) == [b"replayed"]


def test_messages_of_the_largest_size_pass_and_larger_ones_are_refused(kafka: KafkaConfig) -> None:
    topic = make_topic(kafka)
    # Incompressible, as base64 of images may be; a little is left for key, headers and framing.
    largest = os.urandom(MESSAGE_BYTES_MAX - 1024)
    write(kafka, topic, [largest])
    assert committed(kafka, topic) == [largest]

    settings = kafka.producer()
    settings["message.max.bytes"] = 2 * MESSAGE_BYTES_MAX
    refused: list[KafkaError] = []
    producer = Producer(settings)
    producer.produce(
        topic,
        os.urandom(MESSAGE_BYTES_MAX + 1024),
        on_delivery=lambda error, _: refused.append(error),
    )
    assert producer.flush(TIMEOUT_S) == 0
    assert [error.code() for error in refused] == [KafkaError.MSG_SIZE_TOO_LARGE]


def test_deleted_records_show_as_a_gap_and_never_as_a_jump(kafka: KafkaConfig) -> None:
    topic = make_topic(kafka)
    write(kafka, topic, [f"{number}".encode() for number in range(10)])
    client = admin(kafka)  # kept: its futures never come true once it is collected
    for deleted in client.delete_records([TopicPartition(topic, 0, 7)]).values():
        deleted.result(TIMEOUT_S)
    consumer = Consumer(kafka.consumer(group=f"{kafka.namespace}.reader"))
    try:
        bounds = log_bounds(consumer, topic, 0)
        assert (bounds.start, bounds.end) == (7, 10)
        with pytest.raises(GapError):
            check_position(3, bounds, where=topic, remedy="tailrace backfill")
        consumer.assign([TopicPartition(topic, 0, 3)])
        message = wait_until(lambda: consumer.poll(1), timeout_s=TIMEOUT_S, what="an answer")
        assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
    finally:
        consumer.close()
    assert committed(kafka, topic) == [b"7", b"8", b"9"]


def test_compaction_keeps_the_newest_of_each_key(kafka: KafkaConfig) -> None:
    quick = {"segment_ms": "200", "min_cleanable_dirty_ratio": "0.01"}
    lag = {"min_compaction_lag_ms": "0", "max_compaction_lag_ms": "500"}
    topic = make_topic(kafka, cleanup_policy="compact", **quick, **lag)
    write(kafka, topic, [f"{number}".encode() for number in range(200)], key=b"k")

    def kept() -> list[bytes | None]:
        return [m.value() for m in messages(kafka, topic) if m.key() == b"k"]

    def compacted() -> bool:
        # The newest segment is never compacted: another record rolls it.
        write(kafka, topic, [b"roll"], key=b"other")
        return len(kept()) < 200

    wait_until(compacted, timeout_s=60, what="compaction", interval_s=0.5)
    assert kept()[-1] == b"199"


@pytest.mark.needs("restart")
def test_clients_go_on_after_an_orderly_restart(own_broker: Broker, namespace: str) -> None:
    kafka = KafkaConfig(brokers=own_broker.bootstrap, namespace=namespace)
    topic = make_topic(kafka)
    producer = transactional(kafka)
    for value in (b"before", b"after"):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.commit_transaction(TIMEOUT_S)
        if value == b"before":
            own_broker.restart()
    assert committed(kafka, topic) == [b"before", b"after"]


@pytest.mark.needs("restart")
def test_wiped_broker_is_empty_at_the_same_address(own_broker: Broker, namespace: str) -> None:
    kafka = KafkaConfig(brokers=own_broker.bootstrap, namespace=namespace)
    topic = make_topic(kafka)
    write(kafka, topic, [b"old"])
    own_broker.stop()
    own_broker.wipe()
    own_broker.start()
    assert topic not in admin(kafka).list_topics(timeout=TIMEOUT_S).topics
    assert committed(kafka, make_topic(kafka)) == []


@pytest.mark.needs("durable", "restart")
def test_acknowledged_data_survives_sigkill(own_broker: Broker, namespace: str) -> None:
    kafka = KafkaConfig(brokers=own_broker.bootstrap, namespace=namespace)
    topic = make_topic(kafka)
    acknowledged: list[bytes] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.append(message.value() or b"")

    producer = Producer(kafka.producer())
    for number in range(2_000):
        producer.produce(topic, f"{number}".encode(), on_delivery=delivered)
    wait_until(
        lambda: producer.poll(0) is not None and len(acknowledged) >= 100,
        timeout_s=TIMEOUT_S,
        what="the first hundred acknowledgements",
        interval_s=0.001,
    )
    own_broker.kill()
    own_broker.start()
    assert producer.flush(TIMEOUT_S) == 0
    # Idempotent across the restart: each one once, in order.
    assert committed(kafka, topic) == [f"{number}".encode() for number in range(2_000)]
    assert len(acknowledged) == 2_000


def test_who_waits_for_changes_asks_seldom_and_gets_them_at_once(kafka: KafkaConfig) -> None:
    """Else every stage that has nothing to do keeps a core busy."""
    topic = make_topic(kafka)
    asked: list[tuple[float, int]] = []

    def note(text: str) -> None:
        told = json.loads(text)
        fetches = sum(broker["req"].get("Fetch", 0) for broker in told["brokers"].values())
        asked.append((told["time"], fetches))

    settings = kafka.consumer(group=f"{topic}.look", fetch_wait_max_ms=1_000)
    consumer = Consumer({**settings, "statistics.interval.ms": 200, "stats_cb": note})
    consumer.assign([TopicPartition(topic, 0, 0)])
    took = []
    for number in range(5):
        # Until what is asked now is asked again because nothing came.
        assert consumer.poll(1.5) is None
        write(kafka, topic, [b"%d" % number])
        written_s = time.monotonic()
        message = consumer.poll(TIMEOUT_S)
        took.append(time.monotonic() - written_s)
        assert message is not None
        assert message.value() == b"%d" % number
    consumer.close()
    seconds, fetches = (last - first for first, last in zip(asked[0], asked[-1], strict=True))
    assert seconds > 5
    assert fetches / seconds < 10
    assert statistics.median(took) < 0.3
