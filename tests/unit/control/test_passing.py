"""Whether the pipeline has passed a moment, on a broker."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from bridge.control.dead_letters import newest_dead_letters
from bridge.control.passing import Passing
from bridge.wire.deadletter import DeadLetter
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from tests.parts.brokers import Broker

pytestmark = pytest.mark.integration


@pytest.fixture
def kafka(broker: Broker, namespace: str) -> KafkaConfig:
    """A namespace with one table, one dataset and a dead-letter topic."""
    config = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)
    names = TopicNames(namespace)
    specs = [
        TopicSpec(name=name, partitions=2, replication=1)
        for name in (names.changes("t"), names.rows("d"), names.dead_letters("f"))
    ]
    ensure_topics(admin(config), specs)
    return config


def passing(kafka: KafkaConfig) -> Passing:
    return Passing(kafka, tables=["t"], transform="f", dataset="d")


def write(kafka: KafkaConfig, topic: str, count: int) -> None:
    """In a transaction, so that a marker follows the last message."""
    producer = Producer(kafka.producer(transactional_id=f"{topic}.writer"))
    producer.init_transactions(30)
    producer.begin_transaction()
    for n in range(count):
        producer.produce(topic, b"x", key=str(n))
    producer.commit_transaction(30)


def commit(kafka: KafkaConfig, topic: str, group: str, *, at_end: bool) -> None:
    """Commit the last message's next offset, markers not counted, or the start."""
    consumer = Consumer(kafka.consumer(group=group))
    for partition in range(2):
        place = TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(place, timeout=20)
        offset = max(low, high - 1) if at_end else low
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    consumer.close()


def wait(kafka: KafkaConfig) -> str | None:
    return passing(kafka).wait(time.monotonic() + 1)


def test_empty_topics_are_passed(kafka: KafkaConfig) -> None:
    assert wait(kafka) is None


def test_who_has_not_read_is_named(kafka: KafkaConfig) -> None:
    names = TopicNames(kafka.namespace)
    write(kafka, names.changes("t"), 10)
    assert wait(kafka) == f"the processor has not passed {names.changes('t')}"

    commit(kafka, names.changes("t"), names.group("f"), at_end=False)
    assert wait(kafka) == f"the processor has not passed {names.changes('t')}"


def test_only_markers_left_is_passed(kafka: KafkaConfig) -> None:
    names = TopicNames(kafka.namespace)
    write(kafka, names.changes("t"), 10)
    commit(kafka, names.changes("t"), names.group("f"), at_end=True)
    assert wait(kafka) is None

    write(kafka, names.rows("d"), 10)
    assert wait(kafka) == f"the sink has not passed {names.rows('d')}"
    commit(kafka, names.rows("d"), names.group("sink.d"), at_end=True)
    assert wait(kafka) is None


def test_the_newest_dead_letter_per_key_is_found(kafka: KafkaConfig) -> None:
    assert newest_dead_letters(kafka, "absent") == {}
    letter = DeadLetter("sink", "d", "rows", 0, 1, "UnfitError", "why")
    producer = Producer(kafka.producer())
    for version in ("v2", "v3", "v1"):
        producer.produce(
            TopicNames(kafka.namespace).dead_letters("f"),
            f'{{"_key":"k","_version":"{version}"}}'.encode(),
            headers=letter.headers(None),
        )
    producer.flush(20)

    assert newest_dead_letters(kafka, "f") == {"k": "v3"}
