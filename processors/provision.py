"""Which topics a processor needs, which of them it waits for and which it makes.

The stages start in any order: a changes topic or a namespace id that does not exist yet is waited
for. What the processor writes is created by it, with partition counts that keep a change, its rows
and its state in partitions of the same number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from bridge.wire.errors import TopicError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.namespace import NamespaceState, read_namespace
from bridge.wire.topics import TopicNames, TopicSpec, ensure_topics, existing_topics
from processors.compiled import CompiledTransform
from processors.flow import CompiledFlow

LIVE_STORE = "live"
TOMBSTONE_STORE = "tombstones"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What must be there before a processor can begin."""

    namespace_id: str
    accepted: Mapping[tuple[str, str], Mapping[int, int]]
    partitions: Mapping[str, int]


def find_inputs(
    kafka: KafkaConfig, client: AdminClient, compiled: CompiledTransform
) -> Inputs | str:
    """The inputs, or what is still missing.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    names = TopicNames(kafka.namespace)
    topics = existing_topics(client)
    for topic in (names.checkpoints, *map(names.changes, compiled.tables())):
        if not topics.get(topic):
            return f"topic {topic}"
    namespace: NamespaceState = read_namespace(kafka)
    if namespace.namespace_id is None:
        return f"the id of namespace {kafka.namespace}"
    changes = {names.changes(table): topics[names.changes(table)] for table in compiled.tables()}
    return Inputs(namespace.namespace_id, namespace.accepted, changes)


def changelog_topic(group: str, changes_topic: str, store: str) -> str:
    """The name Quix gives a store's changelog."""
    return f"changelog__{group}--{changes_topic}--{store}"


def ensure_transforms(client: AdminClient, names: TopicNames, replication: int) -> None:
    """Create the topic of the transforms' records, which is read before anything else is made.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    spec = TopicSpec(name=names.transforms, partitions=1, replication=replication, compacted=True)
    ensure_topics(client, [spec])


def create_outputs(
    client: AdminClient,
    compiled: CompiledTransform,
    inputs: Inputs,
    *,
    names: TopicNames,
    replication: int,
    retention_ms: int,
) -> None:
    """Create and check every topic the processor writes.

    Raises:
        TopicError: an existing one has another partition count than its changes topic.
        BrokerUnreachableError: Kafka does not answer.
    """
    existing = existing_topics(client)
    specs = [
        TopicSpec(name=names.schemas, partitions=1, replication=replication, compacted=True),
        TopicSpec(
            name=names.dead_letters(compiled.name),
            partitions=max(inputs.partitions.values()),
            replication=replication,
            retention_ms=retention_ms,
            exact=False,
        ),
    ]
    for rows, (changes, partitions) in rows_partitions(compiled, inputs, names).items():
        _check_rows(rows, existing.get(rows), changes, partitions)
        specs.append(
            TopicSpec(
                name=rows,
                partitions=partitions,
                replication=replication,
                retention_ms=retention_ms,
            )
        )
    for flow in compiled.flows:
        partitions = inputs.partitions[names.changes(flow.table)]
        if flow.keyed is not None:
            specs.append(
                TopicSpec(
                    name=names.contributions(flow.dataset.id),
                    partitions=partitions,
                    replication=replication,
                    retention_ms=retention_ms,
                )
            )
        specs.extend(_changelogs(flow, names, partitions, replication, compiled.instance))
    ensure_topics(client, {spec.name: spec for spec in specs}.values())


def _changelogs(
    flow: CompiledFlow, names: TopicNames, partitions: int, replication: int, instance: str
) -> list[TopicSpec]:
    """Of the state a flow keeps, by each topic it reads."""
    read = [names.changes(flow.table)] if flow.stateful else []
    if flow.keyed is not None:
        read.append(names.contributions(flow.dataset.id))
    group = names.group(instance)
    return [
        TopicSpec(
            name=changelog_topic(group, topic, store),
            partitions=partitions,
            replication=replication,
            compacted=True,
            settings={"min.compaction.lag.ms": "0"},
        )
        for topic in read
        for store in (LIVE_STORE, TOMBSTONE_STORE)
    ]


def rows_partitions(
    compiled: CompiledTransform, inputs: Inputs, names: TopicNames
) -> dict[str, tuple[str, int]]:
    """By rows topic: the largest changes topic that feeds it, and the partitions of both."""
    found: dict[str, tuple[str, int]] = {}
    for flow in compiled.flows:
        rows, changes = names.rows(flow.dataset.id), names.changes(flow.table)
        largest = found.get(rows, ("", 0))[1]
        if inputs.partitions[changes] > largest:
            found[rows] = (changes, inputs.partitions[changes])
    return found


def _check_rows(rows: str, found: int | None, changes: str, partitions: int) -> None:
    if found is not None and found != partitions:
        raise TopicError(
            f"the topic has {found} partitions, {changes} has {partitions}: a row must lie in the "
            "partition of its change",
            where=rows,
            remedy="Give the dataset a new id, or delete the rows topic and its table "
            "and backfill the source table",
        )
