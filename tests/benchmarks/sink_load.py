"""Rows for the sink's benchmark: a base table, changes of it, and what must be live after them.

Everything follows from the seed. One change in twenty is older than what the table already has, one
in a hundred comes twice: what a merge must withstand, also a fast one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import Producer

from bridge.wire.envelope import encode_row, row_headers
from bridge.wire.kafka import KafkaConfig
from bridge.wire.schemas import Column, Schema
from bridge.wire.version import encode_version

DATASET = "orders"
TABLE = "orders"
COLUMNS = (
    Column("order_id", "string"),
    Column("customer_email", "string"),
    Column("order_total", "decimal(18,2)"),
    Column("status", "string"),
    Column("quantity", "bigint"),
)
SCHEMA = Schema(DATASET, "process_orders", COLUMNS)
PARTITIONS = 8
UPDATES, NEW = "updates", "new keys"
# Versions below this one are the base's.
_FIRST_CHANGE = 10**9


class Change(NamedTuple):
    """A row of the topic: its key's number, its place in the order, and whether it removes."""

    number: int
    sequence: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Live:
    """What must be in the table: the version by `_key`."""

    versions: dict[str, str]


def key_of(number: int) -> str:
    """`_key` of an order. Neighbours in the topic are far apart in the order of keys."""
    return f'{{"orderId":{{"S":"{_name(number)}"}}}}'


def base(rows: int) -> Iterator[Change]:
    """The rows a table holds before it is measured."""
    return (Change(number, number + 1) for number in range(rows))


def changes(pattern: str, rows: int, count: int, *, seed: int, late: bool = True) -> list[Change]:
    """`count` changes of a table of `rows` rows: updates of any of them, or keys it lacks."""
    chance = random.Random(seed)
    made: list[Change] = []
    for place in range(count):
        sequence = _FIRST_CHANGE * seed + place * 10
        if pattern == NEW:
            made.append(Change(rows + seed * 10**7 + place, sequence))
            continue
        roll = chance.random()
        number = chance.randrange(rows)
        if late and made and roll < 0.01:
            made.append(made[-1])
        elif late and made and roll < 0.06:
            made.append(Change(made[-1].number, made[-1].sequence - 5))
        else:
            made.append(Change(number, sequence, deleted=late and roll > 0.95))
    return made


def live(*parts: Iterable[Change]) -> Live:
    """The versions that must be live once all parts are in the table."""
    newest: dict[int, Change] = {}
    for part in parts:
        for change in part:
            known = newest.get(change.number)
            if known is None or change.sequence > known.sequence:
                newest[change.number] = change
    return Live(
        {
            key_of(change.number): encode_version(1, change.sequence)
            for change in newest.values()
            if not change.deleted
        }
    )


def send(kafka: KafkaConfig, topic: str, rows: Iterable[Change]) -> None:
    """Write rows to the topic and wait until they are there."""
    producer = Producer({**kafka.producer(), "linger.ms": 20})
    headers = row_headers(SCHEMA.fingerprint, 0)
    for change in rows:
        value, partition = _encode(change), change.number % PARTITIONS
        while True:
            try:
                producer.produce(topic, value=value, key=b"k", partition=partition, headers=headers)
                break
            except BufferError:
                producer.poll(0.5)
    assert producer.flush(120) == 0


def _name(number: int) -> str:
    return f"{number * 2_654_435_761 % 2**32:08x}-{number:09d}"


def _encode(change: Change) -> bytes:
    number = change.number
    columns = {
        "order_id": _name(number),
        "customer_email": f"customer-{number % 100_003}@example.com",
        "order_total": f"{(change.sequence * 7919) % 10**6}.{number % 100:02d}",
        "status": ("new", "paid", "sent", "returned")[change.sequence % 4],
        "quantity": change.sequence % 12,
    }
    return encode_row(
        key=key_of(number),
        version=encode_version(1, change.sequence),
        operation="delete" if change.deleted else "upsert",
        event_time="2026-11-23T14:00:00Z",
        columns={} if change.deleted else columns,
    )
