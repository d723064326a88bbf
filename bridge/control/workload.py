"""The demo's shop: orders that come, change, go and come back, with a new attribute on the way.

Decisions are pure and seeded; `Writer` carries them out in a thread of its own through boto3, and
counts what it did. Every operation changes its item, so each is one change of the stream.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bridge.control.screen import Operation, Shown

RATE_PER_S = 100.0
BATCH_ITEMS = 25  # BatchWriteItem takes no more
_STATUSES = ("PLACED", "PAID", "PACKED", "SHIPPED", "DELIVERED")
_NAMES = ("ada", "grace", "alan", "edsger", "barbara", "donald", "radia", "leslie", "margaret")
_REMOVED_MAX = 500

Item = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Write:
    """One operation on one order: `item` is the order as it is afterwards, None when removed."""

    operation: Operation
    order_id: str
    item: Item | None
    detail: str


class Shop:
    """What happens next: a seeded model of the orders.

    Args:
        seed: equal seeds are equal shops.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 (nothing secret)
        self._orders: dict[str, Item] = {}
        self._removed: deque[str] = deque(maxlen=_REMOVED_MAX)
        self._ids: list[str] = []
        self._created = 0
        self.coupons = False

    def stock(self, count: int) -> list[Item]:
        """`count` orders that exist before anything is watched."""
        return [self._new().item or {} for _ in range(count)]

    def next(self) -> Write:
        """The next operation: 30% new, 50% changed, 12% removed, 8% come back."""
        dice = self._random.random()
        if dice < 0.30 or not self._ids:
            return self._new()
        if dice < 0.80:
            return self._change()
        if dice < 0.92 or not self._removed:
            return self._remove()
        return self._come_back()

    def __len__(self) -> int:
        return len(self._orders)

    def _new(self) -> Write:
        self._created += 1
        return self._insert(f"o-{self._created:06d}", "new")

    def _come_back(self) -> Write:
        return self._insert(self._removed.popleft(), "came back")

    def _insert(self, order_id: str, how: str) -> Write:
        cents = self._random.randrange(500, 90_000)
        who = self._random.choice(_NAMES)
        item: Item = {
            "orderId": {"S": order_id},
            "customerEmail": {"S": f"{who}{self._random.randrange(100)}@example.com"},
            "orderTotal": {"N": f"{cents // 100}.{cents % 100:02d}"},
            "status": {"S": _STATUSES[0]},
        }
        if self.coupons:
            item["couponCode"] = {"S": f"SAVE{self._random.randrange(5, 50)}"}
        self._orders[order_id] = item
        self._ids.append(order_id)
        coupon = f", couponCode {item['couponCode']['S']}" if "couponCode" in item else ""
        return Write("insert", order_id, item, f"{how}, total {item['orderTotal']['N']}{coupon}")

    def _change(self) -> Write:
        order_id = self._random.choice(self._ids)
        before = self._orders[order_id]
        status = before["status"]["S"]
        step = _STATUSES.index(status) + 1
        if step < len(_STATUSES) and self._random.random() < 0.8:
            changed: Item = {"status": {"S": _STATUSES[step]}}
            detail = f"status {status} → {_STATUSES[step]}"
        else:
            total = before["orderTotal"]["N"]
            more = Decimal(self._random.randrange(1, 5_000)) / 100
            changed = {"orderTotal": {"N": f"{Decimal(total) + more:.2f}"}}
            detail = f"total {total} → {changed['orderTotal']['N']}"
        item = self._orders[order_id] = before | changed
        return Write("modify", order_id, item, detail)

    def _remove(self) -> Write:
        index = self._random.randrange(len(self._ids))
        self._ids[index], self._ids[-1] = self._ids[-1], self._ids[index]
        order_id = self._ids.pop()
        gone = self._orders.pop(order_id)
        self._removed.append(order_id)
        return Write("remove", order_id, None, f"was {gone['status']['S']}")


def batches(items: list[Item]) -> Iterator[list[Item]]:
    """Items in the sizes BatchWriteItem takes."""
    for start in range(0, len(items), BATCH_ITEMS):
        yield items[start : start + BATCH_ITEMS]


def put_all(client: Any, table: str, items: list[Item], progress: Callable[[int], None]) -> None:
    """Put items by BatchWriteItem, again those it hands back; `progress` gets each batch's size."""
    for batch in batches(items):
        requests: dict[str, Any] = {table: [{"PutRequest": {"Item": item}} for item in batch]}
        while requests:
            requests = client.batch_write_item(RequestItems=requests).get("UnprocessedItems") or {}
        progress(len(batch))


class Writer:
    """Carries out the shop's operations at a steady rate until told to stop.

    Args:
        client: a boto3 DynamoDB client.
        table: the table.
        shop: what to do.
        started_s: the moment, monotonic, that shown times count from.
    """

    def __init__(self, client: Any, table: str, shop: Shop, started_s: float) -> None:
        self._client = client
        self._table = table
        self._shop = shop
        self._started_s = started_s
        self._stop = threading.Event()
        self._shown: deque[Shown] = deque(maxlen=32)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self.changes = 0

    @property
    def shown(self) -> tuple[Shown, ...]:
        """The newest operations, oldest of them first."""
        return tuple(self._shown)

    def start(self) -> None:
        """Begin writing."""
        self._thread.start()

    def stop(self) -> None:
        """End writing; what was begun is finished.

        Raises:
            Exception: what stopped the writer early.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(30)
        self.check()

    def check(self) -> None:
        """Raise what stopped the writer early, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        due_s = time.monotonic()
        try:
            while not self._stop.is_set():
                self._write(self._shop.next())
                due_s = max(due_s + 1 / RATE_PER_S, time.monotonic() - 0.5)
                self._stop.wait(max(0.0, due_s - time.monotonic()))
        except Exception as error:  # told to the main thread by `check`
            self._failure = error

    def _write(self, write: Write) -> None:
        key = {"orderId": {"S": write.order_id}}
        if write.item is None:
            self._client.delete_item(TableName=self._table, Key=key)
        else:
            self._client.put_item(TableName=self._table, Item=write.item)
        self.changes += 1
        at_s = time.monotonic() - self._started_s
        self._shown.append(Shown(at_s, write.operation, write.order_id, write.detail))
