"""The world around a processor under test: a feed of changes, and what is expected of its rows.

The expectation is computed by the broker-less driver, partition by partition: whatever is killed in
between, a reader of committed messages must find exactly that sequence, nothing twice, nothing
missing, nothing out of order.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

import processors.examples.order_lines
import processors.examples.orders
from bridge.wire.kafka import KafkaConfig, committed_ends, read_to_end
from bridge.wire.namespace import encode_value, namespace_key
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics, existing_topics
from processors.compiled import compile_transform
from processors.loader import load_transforms
from processors.testing import Changes, Sent, TransformDriver

ORDERS = Path(processors.examples.orders.__file__)
ORDER_LINES = Path(processors.examples.order_lines.__file__)
PARTITIONS = 4
Message = tuple[bytes | None, bytes | None]


@dataclass
class Feed:
    """Plays the connector: topics, namespace id, changes in transactions."""

    kafka: KafkaConfig
    table: str = "orders"
    partitions: int = PARTITIONS
    epoch: int = 1_000
    changes: Changes = field(init=False)

    def __post_init__(self) -> None:
        self.names = TopicNames(self.kafka.namespace)
        self.changes = Changes(key=["orderId"], epoch=self.epoch)
        self._producer: Producer | None = None
        # By topic what was read of it, and by partition where to go on.
        self._read: dict[str, tuple[dict[int, list[Message]], dict[int, int]]] = {}

    @property
    def topic(self) -> str:
        return self.names.changes(self.table)

    def open(self) -> None:
        """Create the topics and the namespace's id, as a connector's first start does."""
        specs = [
            TopicSpec(name=self.names.checkpoints, partitions=8, compacted=True),
            TopicSpec(name=self.topic, partitions=self.partitions),
        ]
        ensure_topics(admin(self.kafka), specs)
        identity = encode_value({"id": "0123456789abcdef0123456789abcdef"})
        self._transaction([(self.names.checkpoints, 0, Sent(namespace_key(), identity))])

    def send(self, *messages: Sent) -> None:
        """One committed transaction."""
        self._transaction([(self.topic, None, message) for message in messages])

    def send_aborted(self, *messages: Sent) -> None:
        """A transaction no reader may see; it leaves records and markers in the log."""
        self._transaction([(self.topic, None, m) for m in messages], commit=False)

    def seal(self) -> None:
        """The end of the epoch's scan, in every partition."""
        partitions = range(self.partitions)
        sealed = [self.changes.sealed(self.table, p, self.partitions) for p in partitions]
        self._transaction([(self.topic, p, m) for p, m in zip(partitions, sealed, strict=True)])

    def _transaction(
        self, messages: Iterable[tuple[str, int | None, Sent]], *, commit: bool = True
    ) -> None:
        if self._producer is None:
            identity = f"{self.kafka.namespace}.feed"
            self._producer = Producer(self.kafka.producer(transactional_id=identity))
            self._producer.init_transactions(30)
        self._producer.begin_transaction()
        for topic, partition, sent in messages:
            place: dict[str, Any] = {} if partition is None else {"partition": partition}
            self._producer.produce(
                topic, key=sent.key, value=sent.value, headers=sent.headers, **place
            )
            self._producer.poll(0)
        if commit:
            self._producer.commit_transaction(30)
        else:
            self._producer.flush(30)
            self._producer.abort_transaction(30)

    def read(self, topic: str, timeout_s: float = 30.0) -> dict[int, list[Message]]:
        """What a reader of committed messages finds now, by partition, in order.

        Other than `read_to_end` it does not wait for transactions that are still open. What was
        read before is not read again: a log only grows. `timeout_s` passes without a message.
        """
        if self.kafka.static_membership:
            # The embedded broker lists an aborted transaction again to who reads on past its end,
            # and the client then drops what is committed next: there, reading begins anew.
            self._read.pop(topic, None)
        found, begins = self._read.setdefault(topic, ({p: [] for p in range(self.partitions)}, {}))
        ends = committed_ends(admin(self.kafka), topic, found)
        ends = {p: end for p, end in ends.items() if begins.get(p, 0) < end}
        consumer = Consumer(self.kafka.consumer(group=f"{self.kafka.namespace}.look"))
        try:
            consumer.assign(
                [TopicPartition(topic, p, begins.get(p, OFFSET_BEGINNING)) for p in ends]
            )
            deadline = time.monotonic() + timeout_s
            while left := _unread(consumer, topic, ends):
                assert time.monotonic() < deadline, f"not read to the end: {left}, {ends}"
                for message in consumer.consume(1_000, 0.1):
                    found[message.partition()].append((message.key(), message.value()))
                    begins[message.partition()] = message.offset() + 1
                    deadline = time.monotonic() + timeout_s
            begins.update({p: max(begins.get(p, 0), end) for p, end in ends.items()})
            return {partition: list(messages) for partition, messages in found.items()}
        finally:
            consumer.close()

    def rows_topic(self, file: Path) -> str:
        """Where the transform of `file` writes."""
        compiled = compile_transform(load_transforms(file)[0])
        return self.names.rows(compiled.flow.dataset.id)

    def has_rows(self, file: Path) -> bool:
        """Whether its processor has created its topic yet."""
        return self.rows_topic(file) in existing_topics(admin(self.kafka))

    def rows(self, file: Path) -> dict[int, list[Message]]:
        """What it has committed so far.

        On the embedded broker changes of aborted transactions are read as well, so that there a
        row may be written again; its bytes are the same, and it counts once.
        """
        found = self.read(self.rows_topic(file))
        if self.kafka.static_membership:
            return {partition: list(dict.fromkeys(rows)) for partition, rows in found.items()}
        return found

    def expected(self, file: Path) -> dict[int, list[Message]]:
        """What it must have written once it has read everything there is."""
        (transform,) = load_transforms(file)
        wanted: dict[int, list[Message]] = {}
        headers = self._headers()
        for partition, messages in self.read(self.topic).items():
            with TransformDriver(transform) as driver:
                for key, value in messages:
                    driver.send(Sent(key or b"", value or b"", headers.get((partition, value))))
                wanted[partition] = [
                    (written.key, written.value)
                    for written in driver.written
                    if ".rows." in written.topic
                ]
        return wanted

    def _headers(self) -> dict[tuple[int, bytes | None], Any]:
        messages = read_to_end(self.kafka, self.topic, range(self.partitions))
        return {(m.partition(), m.value()): m.headers() for m in messages}


def _unread(consumer: Consumer, topic: str, ends: dict[int, int]) -> list[TopicPartition]:
    places = [TopicPartition(topic, partition) for partition in ends]
    return [
        p for p in (consumer.position(places) if places else ()) if p.offset < ends[p.partition]
    ]


def workload(changes: Changes, count: int, seed: int, items: int = 60) -> list[Sent]:
    """Orders with lists of lines that grow, shrink, vanish and come back."""
    chance = random.Random(seed)
    known: dict[str, dict[str, Any]] = {}
    sent: list[Sent] = []
    for _ in range(count):
        name = f"o-{chance.randrange(items)}"
        if name in known and chance.random() < 0.2:
            sent.append(changes.remove(known.pop(name)))
            continue
        numbers = chance.sample(range(6), chance.randrange(5))
        item = {
            "orderId": name,
            "customerEmail": f"{name}@example.com",
            "orderTotal": chance.randrange(10_000),
            "status": chance.choice(["open", "done"]),
            "lines": [{"line_no": n, "sku": "x", "quantity": 1, "price": 2} for n in numbers],
        }
        old = known.get(name)
        sent.append(changes.modify(item, old) if old else changes.insert(item))
        known[name] = item
    return sent
