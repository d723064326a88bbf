"""A bucket's producer: no report of what arrived, and yet nothing that did not arrive commits."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException, Producer

from bridge.connector.bucket import producer_settings
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.topics import TopicSpec, admin, ensure_topics
from tests.parts.brokers import Broker

pytestmark = [pytest.mark.integration]


def test_a_message_the_broker_refuses_makes_the_transaction_abort(
    broker: Broker, namespace: str
) -> None:
    kafka = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)
    topic = f"{namespace}.small"
    small = {"max.message.bytes": "2000"}
    ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=1, settings=small)])
    settings = producer_settings(kafka, f"{namespace}.connector.0")
    assert settings["delivery.report.only.error"] is True
    producer = Producer({**settings, "compression.type": "none"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"fits", b"k")
    producer.flush(20)
    producer.produce(topic, b"x" * 10_000, b"k")
    with pytest.raises(KafkaException) as refused:
        producer.commit_transaction(20)
    assert refused.value.args[0].txn_requires_abort()
    producer.abort_transaction(20)
    assert list(read_to_end(kafka, topic, [0])) == []
