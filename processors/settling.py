"""What a member's last transaction left undecided is ended before anything is read.

To initialise the member's transactions fences who ran under its name and aborts what that had open.
Kafka may also have called a transaction complete without marking it anywhere (see
`bridge.wire.undecided`): then the positions it carries are never told to anybody again, and neither
rows nor state behind it. Those positions are put back to the last ones that are certain, in one
transaction with a record that says nothing in every partition the member writes. What was
processed since is processed again: its rows have versions, and its state is recovered up to those
positions only, so the local copy, which is ahead of them, must go.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from bridge.wire.envelope import CONTROL_KEY, SETTLED, settled_headers, settled_value
from bridge.wire.kafka import (
    REQUEST_TIMEOUT_S,
    TRANSACTION_TIMEOUT_MS,
    KafkaConfig,
    unreachable,
    written_bounds,
)
from bridge.wire.topics import TopicNames, admin, existing_topics
from bridge.wire.undecided import hanging
from processors.compiled import CompiledTransform
from processors.positions import Positions
from processors.quix import CHANGELOG_CF_MESSAGE_HEADER

logger = logging.getLogger(__name__)

# What other members have open is aborted by then: they died, or they commit every second.
_OTHERS_DECIDED_S = TRANSACTION_TIMEOUT_MS / 1000 + 5.0
# A key no item has; what it deletes from a store was never there.
_NO_KEY = b"\0" + SETTLED.encode()
_STORE_HEADERS = [(CHANGELOG_CF_MESSAGE_HEADER, b"default")]


def settle(kafka: KafkaConfig, compiled: CompiledTransform, replica: str, group: str) -> bool:
    """End what hangs; whether positions were put back, and the local state must be dropped.

    Args:
        kafka: where.
        compiled: the transform; its topics exist.
        replica: its member's transactional id.
        group: whose positions.

    Raises:
        BrokerUnreachableError: Kafka does not answer, or another process began under this name.
    """
    if kafka.stage_isolation == "read_uncommitted":
        return False  # nobody waits for a marker there
    client, producer = admin(kafka), Producer(kafka.producer(transactional_id=replica))
    try:
        producer.init_transactions(REQUEST_TIMEOUT_S)
        topics, names = existing_topics(client), TopicNames(kafka.namespace)
        changelogs = [topic for topic in topics if topic.startswith(f"changelog__{group}--")]
        outputs = {t: range(topics[t]) for t in (*_outputs(compiled, names), *changelogs)}
        stuck = hanging(client, outputs)
        read = {*map(names.changes, compiled.tables()), *_contributions(compiled, names)}
        inputs = {topic: topics[topic] for topic in sorted(read)}
        uncertain = _uncertain(kafka, client, group, inputs)
        if not stuck and not uncertain:
            return False
        logger.warning(
            "ends a transaction Kafka left undecided",
            extra={"transform": compiled.instance, "partitions": stuck},
        )
        with contextlib.closing(Consumer(kafka.reader(group=group))) as asking:
            member = asking.consumer_group_metadata()
            _commit(producer, _saying_nothing(outputs, changelogs), uncertain, member)
    except KafkaException as error:
        raise unreachable(error, f"transactions of {replica}") from None
    return bool(uncertain)


def _outputs(compiled: CompiledTransform, names: TopicNames) -> Iterable[str]:
    return {names.rows(f.dataset.id) for f in compiled.flows} | _contributions(compiled, names)


def _contributions(compiled: CompiledTransform, names: TopicNames) -> set[str]:
    return {names.contributions(f.dataset.id) for f in compiled.flows if f.keyed is not None}


def _uncertain(
    kafka: KafkaConfig, client: AdminClient, group: str, inputs: Mapping[str, int]
) -> list[TopicPartition]:
    """The last positions that are certain, of topics of which newer ones are never told; or []."""
    found: list[TopicPartition] = []
    with Positions(kafka, group) as positions, Positions(kafka, group, certain=False) as last:
        for topic, count in inputs.items():
            if positions.told(topic, range(count), _OTHERS_DECIDED_S):
                continue
            hanging_ones = [p for p in range(count) if not positions.told(topic, [p], 1.0)]
            stored = last.committed(topic, hanging_ones)
            starts = written_bounds(client, topic, stored)
            for partition, offset in stored.items():
                position = starts[partition].start if offset is None else offset
                found.append(TopicPartition(topic, partition, position))
    return found


def _commit(
    producer: Producer,
    messages: Iterable[Mapping[str, Any]],
    positions: list[TopicPartition],
    group: Any,
) -> None:
    producer.begin_transaction()
    for message in messages:
        producer.produce(**message)
    if positions:
        producer.send_offsets_to_transaction(positions, group, REQUEST_TIMEOUT_S)
    producer.commit_transaction(REQUEST_TIMEOUT_S)


def _saying_nothing(
    places: Mapping[str, Iterable[int]], changelogs: Iterable[str]
) -> Iterator[dict[str, Any]]:
    stores = frozenset(changelogs)
    settled = {"value": settled_value(), "key": CONTROL_KEY, "headers": settled_headers()}
    stored = {"value": None, "key": _NO_KEY, "headers": _STORE_HEADERS}
    for topic, partitions in places.items():
        for partition in partitions:
            yield {
                "topic": topic,
                "partition": partition,
                **(stored if topic in stores else settled),
            }
