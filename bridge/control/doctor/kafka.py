"""Kafka: who answers, whether transactions work, and every topic as it must be."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from bridge.control.doctor.model import (
    TIMEOUT_S,
    Check,
    Finding,
    look,
    not_tried,
    ok,
    problem,
    warning,
)
from bridge.wire.kafka import MESSAGE_BYTES_MAX, KafkaConfig
from bridge.wire.topics import TopicNames, admin

if TYPE_CHECKING:
    from bridge.control.plan import Plan
    from bridge.control.settings import Settings

_AREA = "kafka"
_DATA = ("changes", "rows", "dlq", "_contributions")
_REMEDY = "Check TAILRACE_BROKERS, the network, and what the principal may do in Kafka"
# The least the setting takes: an hour more than DynamoDB keeps a stream.
_RETENTION_MIN_MS = 25 * 3600 * 1000


def checks(settings: Settings, plans: Iterable[Plan], *, write: bool) -> Iterator[Check]:
    """Whether the brokers take what the stages will do."""
    if not settings.brokers:
        unset = problem("TAILRACE_BROKERS is not set", "Set it to host:port of your brokers")
        yield Check(_AREA, "brokers", unset)
        return
    kafka = settings.kafka_config()
    reached = look(_AREA, "brokers", lambda: _brokers(kafka), remedy=_REMEDY)
    yield reached
    if reached.finding.state == "problem":
        yield Check(_AREA, "transactions and topics", not_tried("no broker answered"))
        return
    if write:
        yield look(_AREA, "transactions", lambda: _transactions(kafka), remedy=_REMEDY)
    else:
        yield Check(_AREA, "transactions", not_tried("--no-write"))
    topics: list[tuple[str, Finding]] = []

    def describe() -> Finding:
        topics.extend(_topics(kafka, settings, list(plans)))
        return ok(f"{len(topics)} looked at")

    yield look(_AREA, "topics", describe, remedy=_REMEDY)
    for name, finding in topics:
        yield Check(_AREA, f"topic {name}", finding)


def _brokers(kafka: KafkaConfig) -> Finding:
    from bridge.wire.access import check_access

    check_access(kafka)
    listed = admin(kafka).list_topics(timeout=TIMEOUT_S / 2)
    brokers = ", ".join(f"{b.host}:{b.port}" for b in listed.brokers.values())
    count = len(listed.brokers)
    if count in (1, 2):
        return warning(
            f"{count} broker{'s' if count > 1 else ''}: {brokers}",
            "Three or more, with replicated topics, lose no topic with a machine",
        )
    return ok(f"{count} brokers: {brokers}")


def _transactions(kafka: KafkaConfig) -> Finding:
    """An empty one, under a name of its own."""
    name = f"{kafka.namespace}.doctor.{uuid.uuid4().hex[:8]}"
    producer = Producer(kafka.producer(transactional_id=name))
    producer.init_transactions(TIMEOUT_S / 2)
    producer.begin_transaction()
    producer.commit_transaction(TIMEOUT_S / 2)
    return ok("begun and committed")


def _topics(
    kafka: KafkaConfig, settings: Settings, plans: list[Plan]
) -> Iterator[tuple[str, Finding]]:
    client, names = admin(kafka), TopicNames(kafka.namespace)
    listed = client.list_topics(timeout=TIMEOUT_S / 2)
    found = {n: t for n, t in listed.topics.items() if n.startswith(f"{kafka.namespace}.")}
    described = _configs(client, found)
    wanted = {names.checkpoints: settings.buckets, names.schemas: None, names.leases: None}
    feeds = [feed for plan in plans for feed in plan.feeds]
    for feed in feeds:
        wanted |= {names.changes(table): None for table in feed.tables}
        wanted[names.rows(feed.dataset.id)] = None
    for name in sorted({*wanted, *found}):
        if name not in found:
            yield name, not_tried("not there yet; its stage makes it")
            continue
        partitions = found[name].partitions
        replicas = min((len(p.replicas) for p in partitions.values()), default=0)
        kind = name.removeprefix(f"{kafka.namespace}.").partition(".")[0]
        wrong = _settings(described.get(name, {}), data=kind in _DATA)
        buckets = wanted.get(name)
        if buckets is not None and len(partitions) != buckets:
            wrong = problem(
                f"{len(partitions)} partitions, TAILRACE_BUCKETS is {buckets}",
                f"Set TAILRACE_BUCKETS={len(partitions)}",
            )
        if wrong is None and replicas == 1 and len(listed.brokers) > 1:
            wrong = warning("1 replica: it is lost with its broker", "Give the topic replicas")
        yield name, wrong or ok(f"{len(partitions)} partitions, {replicas} replicas")
    for feed in feeds:
        rows = names.rows(feed.dataset.id)
        changes = [names.changes(table) for table in feed.tables if names.changes(table) in found]
        most = max((len(found[name].partitions) for name in changes), default=0)
        if rows in found and feed.flow.keyed is None and len(found[rows].partitions) < most:
            yield (
                rows,
                problem(
                    f"{len(found[rows].partitions)} partitions, its largest changes topic has "
                    f"{most}: order per key would be lost",
                    "Give the dataset another id; its topic is made with as many",
                ),
            )


def _configs(client: AdminClient, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    answers = client.describe_configs(resources, request_timeout=TIMEOUT_S / 2)
    return {resource.name: future.result(TIMEOUT_S) for resource, future in answers.items()}


def _settings(config: Mapping[str, Any], *, data: bool) -> Finding | None:
    """What is wrong with a topic's settings, None where nothing is."""
    values = {name: entry.value for name, entry in config.items()}
    size = values.get("max.message.bytes")
    if size and int(size) < MESSAGE_BYTES_MAX:
        return problem(
            f"max.message.bytes is {size}: an item of 400 KB with both images does not fit",
            f"Set max.message.bytes={MESSAGE_BYTES_MAX} on the topic",
        )
    policy, retention = values.get("cleanup.policy", ""), values.get("retention.ms")
    if data and "compact" in policy:
        return problem(
            f"cleanup.policy is {policy}: changes would be deleted before they are read",
            "Set cleanup.policy=delete on the topic",
        )
    if data and retention and 0 <= int(retention) < _RETENTION_MIN_MS:
        return problem(
            f"retention.ms is {retention}, {int(retention) / 3.6e6:.1f} hours: a stage that is "
            "down for longer finds a GAP",
            "Set retention.ms to a week, 604800000",
        )
    if data and values.get("message.timestamp.type") == "CreateTime":
        return warning(
            "message.timestamp.type is CreateTime: retention goes by the source's times",
            "Set message.timestamp.type=LogAppendTime on the topic",
        )
    return None
