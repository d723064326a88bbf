"""The newest changes of tables, read beside the stages; nobody's position moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confluent_kafka import Message

from bridge.wire.envelope import header
from bridge.wire.errors import ConfigurationError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.topics import TopicNames, admin, existing_topics


def newest_changes(
    kafka: KafkaConfig, tables: Sequence[str], count: int
) -> Iterator[tuple[str, Message]]:
    """The newest `count` committed changes of all tables together, oldest first, by append time.

    Raises:
        ConfigurationError: a table has no topic yet.
        BrokerUnreachableError: Kafka does not answer.
    """
    names, topics = TopicNames(kafka.namespace), existing_topics(admin(kafka))
    found: list[tuple[int, int, int, str, Message]] = []
    for table in tables:
        topic = names.changes(table)
        if topic not in topics:
            raise ConfigurationError(
                f"there is no topic {topic}",
                where=f"table {table}",
                remedy="Start the connector once, or check TAILRACE_NAMESPACE",
            )
        # Markers and seals take offsets too: a little more is read than is asked for.
        for message in read_to_end(kafka, topic, range(topics[topic]), newest=2 * count + 100):
            if header(message.headers(), "control") is None:
                place = (message.timestamp()[1], message.partition() or 0, message.offset() or 0)
                found.append((*place, table, message))
    found.sort(key=lambda entry: entry[:3])
    for *_, table, message in found[-count:]:
        yield table, message
