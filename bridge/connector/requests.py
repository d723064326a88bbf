"""A person's request for a new snapshot, written beside the checkpoints for the leader to find."""

from __future__ import annotations

import logging
import time
import uuid

from confluent_kafka import KafkaException, Message, Producer

from bridge.connector.checkpoints import Request
from bridge.wire.errors import BrokerUnreachableError, ConfigurationError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, unreachable
from bridge.wire.namespace import NAMESPACE_PARTITION
from bridge.wire.topics import TopicNames, admin, existing_topics

logger = logging.getLogger(__name__)


def request_backfill(kafka: KafkaConfig, table: str) -> None:
    """Ask for a new snapshot generation of a table; returns when Kafka has the request.

    The connector answers with a new epoch, a scan and a seal; a GAP of the table is over then.

    Raises:
        ConfigurationError: no connector ever ran in this namespace.
        BrokerUnreachableError: Kafka did not acknowledge the request in time.
    """
    topic = TopicNames(kafka.namespace).checkpoints
    if topic not in existing_topics(admin(kafka)):
        raise ConfigurationError(
            f"there is no topic {topic}",
            where=f"backfill of {table}",
            remedy="Start the connector once, or check TAILRACE_NAMESPACE",
        )
    request = Request(table=table, id=uuid.uuid4().hex, at_s=int(time.time()))
    failures: list[str] = []
    acknowledged: list[bool] = []

    def delivered(error: object, _message: Message) -> None:
        acknowledged.append(error is None)
        if error is not None:
            failures.append(str(error))

    producer = Producer(kafka.producer(delivery_timeout_ms=int(REQUEST_TIMEOUT_S * 1000)))
    try:
        producer.produce(
            topic,
            key=request.key(),
            value=request.value(),
            partition=NAMESPACE_PARTITION,
            on_delivery=delivered,
        )
        producer.flush(REQUEST_TIMEOUT_S * 1.5)
    except KafkaException as error:
        raise unreachable(error, f"writing to {topic}") from error
    if acknowledged != [True]:
        raise BrokerUnreachableError(
            failures[0] if failures else "not acknowledged in time", where=f"writing to {topic}"
        )
    logger.info("requested a snapshot", extra={"table": table})
