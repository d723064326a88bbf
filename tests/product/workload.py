"""A seeded workload over one table, with a log of every write DynamoDB acknowledged.

Every item carries a counter `c` that rises with each of its writes, so order and completeness can
be checked without trusting anything of ours.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

# Typed DynamoDB JSON of a low-level client; binary values are bytes there.
Item = dict[str, dict[str, Any]]
BATCH = 25


@dataclass(frozen=True)
class KeyShape:
    """The primary key of a table: attribute names with their types, and how to make the n-th."""

    name: str
    schema: tuple[tuple[str, str, str], ...]  # attribute, HASH or RANGE, S, N or B

    def key(self, number: int) -> Item:
        hash_attribute, _, hash_type = self.schema[0]
        if len(self.schema) == 1:
            return {hash_attribute: {hash_type: _value(hash_type, number)}}
        range_attribute, _, range_type = self.schema[1]
        # Many items under one hash key.
        return {
            hash_attribute: {hash_type: _value(hash_type, number % 5)},
            range_attribute: {range_type: _value(range_type, number)},
        }

    def create(self, client: Any, table: str, *, stream: bool = True) -> None:
        """Create the table, with its stream unless told otherwise."""
        options: dict[str, Any] = {}
        if stream:
            options["StreamSpecification"] = {
                "StreamEnabled": True,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            }
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": a, "KeyType": role} for a, role, _ in self.schema],
            AttributeDefinitions=[
                {"AttributeName": a, "AttributeType": kind} for a, _, kind in self.schema
            ],
            BillingMode="PAY_PER_REQUEST",
            **options,
        )


def _value(kind: str, number: int) -> Any:
    match kind:
        case "N":
            # Negative, fractional and with exponents on the wire: still one spelling each.
            return str(number * 3 - 7) if number % 2 else f"{number}.5"
        case "B":
            return bytes([number % 256, 0, 255]) + str(number).encode()
    return f"k-{number}"


ORDERS = KeyShape("orders", (("orderId", "HASH", "S"),))
KEY_SHAPES = (
    ORDERS,
    KeyShape("number", (("id", "HASH", "N"),)),
    KeyShape("binary", (("id", "HASH", "B"),)),
    KeyShape("range", (("customer", "HASH", "S"), ("number", "RANGE", "N"))),
    KeyShape("binary_range", (("customer", "HASH", "N"), ("blob", "RANGE", "B"))),
)


def canonical(key: Mapping[str, Mapping[str, Any]]) -> str:
    """The key as `_key` spells it; written here once more, on purpose."""
    typed = {
        name: {kind: base64.b64encode(v).decode() if isinstance(v, bytes) else v}
        for name, value in key.items()
        for kind, v in value.items()
    }
    return orjson.dumps(typed, option=orjson.OPT_SORT_KEYS).decode()


@dataclass
class Workload:
    """Writes to one table and remembers what was acknowledged.

    Args:
        client: a boto3 low-level DynamoDB client.
        table: the table's name.
        shape: its key.
        keys: how many different items.
        seed: of everything random.
    """

    client: Any
    table: str
    shape: KeyShape = ORDERS
    keys: int = 200
    seed: int = 1
    live: dict[int, Item] = field(default_factory=dict)
    written: dict[str, list[int]] = field(default_factory=dict)
    removed: int = 0
    writes: int = 0
    _counter: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def fill(self, count: int) -> None:
        """Put `count` items, in batches."""
        self._write([self._put(number) for number in range(count)])

    def run(self, writes: int) -> None:
        """Inserts, updates, removes and re-inserts, a fifth of them on one hot item."""
        for _ in self.batches(writes):
            pass

    def batches(self, writes: int) -> Iterator[int]:
        """The same, yielding after each batch with the number of writes so far."""
        done = 0
        while done < writes:
            size = min(BATCH, writes - done)
            numbers = {0} if self._random.random() < 0.8 else set()
            while len(numbers) < size:
                numbers.add(self._random.randrange(self.keys))
                if len(numbers) >= self.keys:
                    break
            self._write([self._change(number) for number in sorted(numbers)])
            done += len(numbers)
            yield done

    def _change(self, number: int) -> dict[str, Any]:
        if number in self.live and self._random.random() < 0.2:
            del self.live[number]
            self.removed += 1
            return {"DeleteRequest": {"Key": self.shape.key(number)}}
        return self._put(number)

    def _put(self, number: int) -> dict[str, Any]:
        self._counter += 1
        key = self.shape.key(number)
        item: Item = {
            **key,
            "c": {"N": str(self._counter)},
            "customerEmail": {"S": f"{number}@example.com"},
            "orderTotal": {"N": f"{self._random.randrange(100_000)}.{self._counter % 100:02d}"},
            "status": {"S": self._random.choice(["new", "paid", "sent", "käse 🧀"])},
            "lines": {"L": [self._line(n) for n in range(self._random.randrange(4))]},
        }
        if self._counter % 3 == 0:
            item["note"] = {"S": f"appears later {self._counter}"}
        self.live[number] = item
        self.written.setdefault(canonical(key), []).append(self._counter)
        return {"PutRequest": {"Item": item}}

    def _line(self, number: int) -> dict[str, Any]:
        return {
            "M": {
                "line_no": {"N": str(number + 1)},
                "sku": {"S": f"sku-{self._random.randrange(50)}"},
                "quantity": {"N": str(self._random.randrange(1, 9))},
                "price": {"N": f"{self._random.randrange(1, 90)}.25"},
            }
        }

    def _write(self, requests: list[dict[str, Any]]) -> None:
        for start in range(0, len(requests), BATCH):
            pending = {self.table: requests[start : start + BATCH]}
            self.writes += len(pending[self.table])
            while pending:
                pending = self.client.batch_write_item(RequestItems=pending)["UnprocessedItems"]


def scan(client: Any, table: str) -> dict[str, Item]:
    """Every item of the table by its canonical key, read consistently."""
    names = [part["AttributeName"] for part in _key_schema(client, table)]
    items: dict[str, Item] = {}
    arguments: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
    while True:
        page = client.scan(**arguments)
        for item in page["Items"]:
            items[canonical({name: item[name] for name in names})] = item
        if "LastEvaluatedKey" not in page:
            return items
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _key_schema(client: Any, table: str) -> list[dict[str, str]]:
    schema: list[dict[str, str]] = client.describe_table(TableName=table)["Table"]["KeySchema"]
    return schema
