"""`tailrace backfill`: ask for a new snapshot of a table, the repair of every GAP.

Accepting a gap and asking for the snapshot go together, in this order: everything below the log's
end of that moment is then covered by the snapshot that follows it.

With `--for` only one transform takes the items. That fills in what its tables lack; it takes
nothing out and changes no row that is as new, so it repairs no gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer

from bridge.control.show import write_line
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import named, read_generations
from bridge.wire.kafka import KafkaConfig, log_bounds
from bridge.wire.namespace import NAMESPACE_PARTITION, GapAcceptance
from bridge.wire.requests import request_backfill, write_record
from bridge.wire.topics import TopicNames, admin, existing_topics

if TYPE_CHECKING:
    from bridge.control.settings import Settings


def run_backfill(
    settings: Settings, table: str, consumers: list[str], transform: str | None = None
) -> None:
    """Accept the gaps of these consumers, then request the snapshot, for one transform or for all.

    Raises:
        ConfigurationError: a gap is to be accepted by a scan for one transform, a consumer is not
            `processor:NAME` or `sink:NAME`, or a topic is absent.
        BrokerUnreachableError: Kafka does not answer.
    """
    if transform is not None and consumers:
        raise ConfigurationError(
            "a scan for one transform repairs no gap: it can't tell which items vanished",
            where="backfill --for",
            remedy=f"Run: tailrace backfill {table} --accept-gap {consumers[0]}",
        )
    kafka = settings.kafka_config()
    topics = [(consumer, _topic(kafka, table, consumer)) for consumer in consumers]
    accepted = [GapAcceptance(who, topic, _log_ends(kafka, topic)) for who, topic in topics]
    for acceptance in accepted:
        key, value = acceptance.encode()
        _write(kafka, key, value)
        who = acceptance.consumer
        write_line(f"{who} may go on where {acceptance.topic} starts now; start it again")
    request_backfill(kafka, table, addressed_to=transform)
    what = "a new snapshot" if transform is None else f"a scan for {transform}"
    write_line(f"requested {what} of {table}; the connector takes it from here")


def _topic(kafka: KafkaConfig, table: str, consumer: str) -> str:
    kind, _, name = consumer.partition(":")
    names = TopicNames(kafka.namespace)
    if kind == "processor" and name:
        return names.changes(table)
    if kind == "sink" and name:
        return names.rows(named(name, read_generations(kafka).current(name)))
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
    consumer = Consumer(kafka.reader())
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
    write_record(kafka, topic, key, value, partition=NAMESPACE_PARTITION)
