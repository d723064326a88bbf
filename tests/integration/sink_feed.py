"""A rows topic as processors leave it: namespace id, schemas, rows and seals, and its oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from bridge.wire.envelope import CONTROL_KEY, Sealed, encode_row, row_headers
from bridge.wire.kafka import KafkaConfig
from bridge.wire.namespace import encode_value, namespace_key, new_namespace_id
from bridge.wire.schemas import Column, Schema, register_schema
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from bridge.wire.version import encode_version

DATASET = "orders"
TABLE = "orders"
TRANSFORM = "process_orders"
COLUMNS = (Column("order_id", "string"), Column("total", "decimal(38,18)"))
SCHEMA = Schema(DATASET, TRANSFORM, COLUMNS)


def key_of(name: str) -> str:
    return f'{{"orderId":{{"S":"{name}"}}}}'


@dataclass
class Feed:
    """Writes rows and remembers what the table must hold in the end."""

    kafka: KafkaConfig
    partitions: int = 2
    dataset: str = DATASET
    event_time: Callable[[str], str] = lambda version: "2026-11-23T14:00:00Z"
    newest: dict[str, tuple[str, bool, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = TopicNames(self.kafka.namespace)
        self.topic = self.names.rows(self.dataset)
        self.schema = Schema(self.dataset, TRANSFORM, COLUMNS)
        self.namespace_id = new_namespace_id()
        self.producer = Producer(self.kafka.producer())

    def create(self, *, with_namespace: bool = True) -> None:
        specs = [
            TopicSpec(name=self.topic, partitions=self.partitions),
            TopicSpec(name=self.names.changes(TABLE), partitions=self.partitions),
            TopicSpec(name=self.names.checkpoints, partitions=2, compacted=True),
            TopicSpec(name=self.names.schemas, partitions=1, compacted=True),
        ]
        ensure_topics(admin(self.kafka), specs)
        register_schema(self.kafka, self.schema)
        if with_namespace:
            self.name_it()

    def name_it(self) -> None:
        value = encode_value({"id": self.namespace_id})
        self.producer.produce(self.names.checkpoints, value, namespace_key(), partition=0)
        self.producer.flush(20)

    def partition(self, name: str) -> int:
        return sum(name.encode()) % self.partitions

    def upsert(
        self, name: str, sequence: int, *, epoch: int = 1, schema: Schema | None = None, **columns
    ) -> None:
        self._row(name, encode_version(epoch, sequence), False, columns, schema)

    def delete(self, name: str, sequence: int, *, epoch: int = 1) -> None:
        self._row(name, encode_version(epoch, sequence), True, {}, None)

    def _row(self, name, version, deleted, columns, schema) -> None:
        columns = columns if deleted or columns else {"order_id": name, "total": "1.5"}
        known = self.newest.get(name)
        if known is None or version > known[0] or (version == known[0] and not deleted):
            self.newest[name] = (version, deleted, columns)
        value = encode_row(
            key=key_of(name),
            version=version,
            operation="delete" if deleted else "upsert",
            event_time=self.event_time(version),
            columns=columns,
        )
        headers = row_headers((schema or self.schema).fingerprint, 0)
        self.send(value, self.partition(name), headers)

    def seal(self, epoch: int, *, table: str = TABLE) -> None:
        for partition in range(self.partitions):
            self.seal_partition(epoch, partition, table=table)

    def seal_partition(self, epoch: int, partition: int, *, table: str = TABLE) -> None:
        sealed = Sealed(table, epoch, partition, self.partitions)
        self.send(sealed.encode(), partition, Sealed.headers(), key=CONTROL_KEY)

    def send(self, value: bytes, partition: int, headers, key: bytes = b"k") -> None:
        while True:
            try:
                self.producer.produce(
                    self.topic, value=value, key=key, partition=partition, headers=headers
                )
            except BufferError:
                self.producer.poll(0.5)
            else:
                return

    def flush(self) -> None:
        assert self.producer.flush(30) == 0

    def expected(self, *, floor_epoch: int = 0) -> dict[str, str]:
        """Version by `_key` of what must be live, rows of epochs below `floor_epoch` left out."""
        return {
            key_of(name): version
            for name, (version, deleted, _columns) in self.newest.items()
            if not deleted and int(version[:10]) >= floor_epoch
        }
