"""The topics: their names, how they are created, and what is checked about those that exist.

All are created with explicit partitions, replication and retention, and with LogAppendTime: a
record that carries its source's time could be deleted by retention the moment it is replayed.
The partition count of a data topic never changes afterwards, or order per key would be lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from bridge.wire.errors import BrokerUnreachableError, TopicError
from bridge.wire.kafka import MESSAGE_BYTES_MAX, REQUEST_TIMEOUT_S, KafkaConfig, unreachable

logger = logging.getLogger(__name__)

DEFAULT_PARTITIONS = 4
DEFAULT_BUCKETS = 8
DEFAULT_RETENTION_MS = 7 * 24 * 3600 * 1000
_LIST_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Names of all topics and groups of a namespace."""

    namespace: str

    def changes(self, table: str) -> str:
        """Changes of a DynamoDB table."""
        return f"{self.namespace}.changes.{table}"

    def rows(self, dataset: str) -> str:
        """Rows of a dataset."""
        return f"{self.namespace}.rows.{dataset}"

    def contributions(self, dataset: str) -> str:
        """What items contribute to the rows of a dataset that is not keyed by item."""
        return f"{self.namespace}._contributions.{dataset}"

    def dead_letters(self, transform: str) -> str:
        """What a transform, or the sink of its dataset, could not process."""
        return f"{self.namespace}.dlq.{transform}"

    @property
    def checkpoints(self) -> str:
        """The connector's positions; its partitions are the connector's buckets."""
        return f"{self.namespace}._checkpoints"

    @property
    def schemas(self) -> str:
        """Schemas by fingerprint."""
        return f"{self.namespace}._schemas"

    @property
    def transforms(self) -> str:
        """Each transform's compiled description, so that a changed one is noticed; compacted."""
        return f"{self.namespace}._transforms"

    @property
    def pauses(self) -> str:
        """What a person told to rest; compacted."""
        return f"{self.namespace}._pauses"

    @property
    def reports(self) -> str:
        """What each running process says of itself; compacted, kept for a day."""
        return f"{self.namespace}._reports"

    @property
    def letters(self) -> str:
        """What became of dead letters: replayed or dropped; compacted."""
        return f"{self.namespace}._letters"

    @property
    def leases(self) -> str:
        """No data; its partitions are the sink's buckets."""
        return f"{self.namespace}._leases"

    def group(self, stage: str) -> str:
        """A consumer group of ours."""
        return f"{self.namespace}.{stage}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic as it must be.

    `partitions` is exact where `exact`, else what a new topic gets. `replication` -1 is the
    broker's default.
    """

    name: str
    partitions: int
    replication: int = -1
    retention_ms: int = DEFAULT_RETENTION_MS
    compacted: bool = False
    exact: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, str]:
        """Topic settings for its creation."""
        config = {
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(MESSAGE_BYTES_MAX),
            "min.insync.replicas": "1" if self.replication in (-1, 1, 2) else "2",
        }
        if self.replication == -1:
            del config["min.insync.replicas"]
        if self.compacted:
            # Markers of ended shards must outlive every shard they gate (24 h).
            config |= {"cleanup.policy": "compact", "min.compaction.lag.ms": str(26 * 3600 * 1000)}
        else:
            config |= {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        return config | dict(self.settings)


def admin(kafka: KafkaConfig) -> AdminClient:
    """An admin client."""
    return AdminClient(kafka.admin())


def existing_topics(client: AdminClient, *, timeout_s: float = REQUEST_TIMEOUT_S) -> dict[str, int]:
    """Every topic with its number of partitions.

    Raises:
        BrokerUnreachableError: no answer within `timeout_s`.
    """
    try:
        listed = client.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise unreachable(error, "Kafka") from error
    return {name: len(topic.partitions) for name, topic in listed.items() if topic.error is None}


def ensure_topics(client: AdminClient, specs: Iterable[TopicSpec]) -> dict[str, int]:
    """Create the topics that are missing and check those that exist; their partition counts.

    Safe to call from several processes at once.

    Raises:
        TopicError: an existing topic has another partition count, or takes too small messages.
        BrokerUnreachableError: Kafka does not answer.
    """
    wanted = {spec.name: spec for spec in specs}
    before = existing_topics(client)
    missing = [spec for name, spec in wanted.items() if name not in before]
    _create(client, missing)
    _await_listed(client, {spec.name for spec in missing})
    for spec in wanted.values():
        if spec.exact and spec.name in before and before[spec.name] != spec.partitions:
            raise TopicError(
                f"the topic has {before[spec.name]} partitions, {spec.partitions} are configured",
                where=spec.name,
                remedy="Set the configured number to the topic's: changing a topic's partitions "
                "would break the order per key",
            )
    check_message_sizes(client, [name for name in wanted if name in before])
    return {name: before.get(name, spec.partitions) for name, spec in wanted.items()}


def _create(client: AdminClient, missing: list[TopicSpec]) -> None:
    if not missing:
        return
    new = [
        NewTopic(
            spec.name,
            num_partitions=spec.partitions,
            replication_factor=spec.replication,
            config=spec.config(),
        )
        for spec in missing
    ]
    for name, created in client.create_topics(new, operation_timeout=REQUEST_TIMEOUT_S).items():
        try:
            created.result(timeout=REQUEST_TIMEOUT_S * 2)
            logger.info("created topic", extra={"topic": name})
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise unreachable(error, f"creating topic {name}") from error


def _await_listed(client: AdminClient, names: set[str]) -> None:
    """Until brokers list new topics: the one that is asked may hear of them late."""
    until = time.monotonic() + REQUEST_TIMEOUT_S
    while names and not names <= existing_topics(client).keys():
        if time.monotonic() > until:
            raise BrokerUnreachableError(
                f"topics that were created are not listed after {REQUEST_TIMEOUT_S:.0f} s",
                where=", ".join(sorted(names)),
            )
        time.sleep(_LIST_AGAIN_S)


def check_message_sizes(client: AdminClient, names: Iterable[str]) -> None:
    """Refuse topics too small for a 400 KB item with both images: they would block at that item.

    Raises:
        TopicError: `max.message.bytes` is too small, named with the remedy.
    """
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return
    for resource, described in client.describe_configs(resources).items():
        try:
            entry = described.result(timeout=REQUEST_TIMEOUT_S).get("max.message.bytes")
        except KafkaException as error:
            raise unreachable(error, f"topic {resource.name}") from error
        if entry is not None and entry.value and int(entry.value) < MESSAGE_BYTES_MAX:
            raise TopicError(
                f"max.message.bytes is {entry.value}, {MESSAGE_BYTES_MAX} are needed for an item "
                "of 400 KB with both images",
                where=resource.name,
                remedy=f"Set max.message.bytes={MESSAGE_BYTES_MAX} on the topic",
            )
