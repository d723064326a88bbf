"""Requests for a snapshot, written beside the checkpoints for the connector's leader to find.

A person asks for a new generation of a table (`tailrace backfill`); a processor that begins late
asks for a scan that only its own transform takes. The connector forgets a request once it was
answered.
"""

from __future__ import annotations

import logging
import time
import uuid

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from bridge.wire.errors import BrokerUnreachableError, ConfigurationError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, unreachable
from bridge.wire.namespace import NAMESPACE_PARTITION, encode_key, encode_value
from bridge.wire.topics import TopicNames, admin, existing_topics

logger = logging.getLogger(__name__)


def request_key(table: str, request: str) -> bytes:
    """Checkpoint key of a request."""
    return encode_key("request", table, request)


def request_value(at_s: int, addressed_to: str | None = None) -> bytes:
    """Checkpoint value of a request."""
    addressee = {} if addressed_to is None else {"for": addressed_to}
    return encode_value({"at_s": at_s, **addressee})


def request_backfill(
    kafka: KafkaConfig,
    table: str,
    *,
    addressed_to: str | None = None,
    request: str | None = None,
) -> None:
    """Ask for a snapshot of a table; returns when Kafka has the request.

    For all, the connector answers with a new epoch, a scan and a seal, and a GAP of the table is
    over then. For one transform, with a scan in the current epoch that the others pass over.

    Args:
        kafka: where.
        table: the DynamoDB table.
        addressed_to: the one transform that is to take the items.
        request: the request's id. Asked again under the same id, an addressed scan that was begun
            or done for it is not repeated; None makes a new one.

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
    key = request_key(table, request or uuid.uuid4().hex)
    value = request_value(int(time.time()), addressed_to)
    write_record(kafka, topic, key, value, partition=NAMESPACE_PARTITION)
    logger.info("requested a snapshot", extra={"table": table, "for": addressed_to or "all"})


def write_record(
    kafka: KafkaConfig, topic: str, key: bytes, value: bytes | None, *, partition: int
) -> None:
    """Write one record of an internal topic, acknowledged on return; None deletes the key.

    Raises:
        BrokerUnreachableError: Kafka did not acknowledge it in time.
    """
    answers: list[KafkaError | None] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        answers.append(error)

    producer = Producer(kafka.producer(delivery_timeout_ms=int(REQUEST_TIMEOUT_S * 1000)))
    try:
        producer.produce(topic, key=key, value=value, partition=partition, on_delivery=delivered)
        producer.flush(REQUEST_TIMEOUT_S * 1.5)
    except KafkaException as error:
        raise unreachable(error, f"writing to {topic}") from error
    if answers != [None]:
        cause = str(answers[0]) if answers else "not acknowledged in time"
        raise BrokerUnreachableError(cause, where=f"writing to {topic}")
