"""`tailrace backfill`: ask for a new snapshot of a table, the repair of every GAP.

Accepting a gap and asking for the snapshot go together, in this order: everything below the log's
end of that moment is then covered by the snapshot that follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, Producer

from bridge.control.show import write_line
from bridge.control.stages import needing
from bridge.wire.errors import BrokerUnreachableError, ConfigurationError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, log_bounds, unreachable
from bridge.wire.namespace import NAMESPACE_PARTITION, GapAcceptance
from bridge.wire.topics import TopicNames, admin, existing_topics

if TYPE_CHECKING:
    from bridge.control.settings import Settings


def run_backfill(settings: Settings, table: str, consumers: list[str]) -> None:
    """Accept the gaps of these consumers, then request the snapshot.

    Raises:
        ConfigurationError: a consumer is not `processor:NAME` or `sink:NAME`, or a topic is absent.
        BrokerUnreachableError: Kafka does not answer.
    """
    with needing("connector"):
        from bridge.connector.requests import request_backfill
    kafka = settings.kafka_config()
    topics = [(consumer, _topic(kafka, table, consumer)) for consumer in consumers]
    accepted = [GapAcceptance(who, topic, _log_ends(kafka, topic)) for who, topic in topics]
    for acceptance in accepted:
        _write(kafka, *acceptance.encode())
        who = acceptance.consumer
        write_line(f"{who} may go on where {acceptance.topic} starts now; start it again")
    request_backfill(kafka, table)
    write_line(f"requested a new snapshot of {table}; the connector takes it from here")


def _topic(kafka: KafkaConfig, table: str, consumer: str) -> str:
    kind, _, name = consumer.partition(":")
    names = TopicNames(kafka.namespace)
    if kind == "processor" and name:
        return names.changes(table)
    if kind == "sink" and name:
        return names.rows(name)
    raise ConfigurationError(
        f"{consumer[:100]!r} is not a consumer",
        where="--accept-gap",
        remedy="Write processor:TRANSFORM or sink:DATASET, as the GAP's message does",
    )


def _log_ends(kafka: KafkaConfig, topic: str) -> dict[int, int]:
    count = existing_topics(admin(kafka)).get(topic)
    if count is None:
        raise ConfigurationError(
            f"there is no topic {topic}",
            where="--accept-gap",
            remedy="Check the names and TAILRACE_NAMESPACE",
        )
    consumer = Consumer(kafka.consumer(group=f"{kafka.namespace}.reader"))
    try:
        return {p: log_bounds(consumer, topic, p).end for p in range(count)}
    finally:
        consumer.close()


def _write(kafka: KafkaConfig, key: bytes, value: bytes) -> None:
    topic = TopicNames(kafka.namespace).checkpoints
    if topic not in existing_topics(admin(kafka)):
        raise ConfigurationError(
            f"there is no topic {topic}",
            where="backfill",
            remedy="Start the connector once, or check TAILRACE_NAMESPACE",
        )
    answers: list[object] = []
    producer = Producer(kafka.producer(delivery_timeout_ms=int(REQUEST_TIMEOUT_S * 1000)))
    try:
        producer.produce(
            topic,
            key=key,
            value=value,
            partition=NAMESPACE_PARTITION,
            on_delivery=lambda error, _message: answers.append(error),
        )
        producer.flush(REQUEST_TIMEOUT_S * 1.5)
    except KafkaException as error:
        raise unreachable(error, f"writing to {topic}") from error
    if answers != [None]:
        cause = str(answers[0]) if answers else "not acknowledged in time"
        raise BrokerUnreachableError(cause, where=f"writing to {topic}")
