"""The demo's shop: every operation changes its item, and all kinds happen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bridge.control.workload import Item, Shop, Writer, put_all
from tests.parts.waiting import wait_until


def test_every_operation_changes_its_item() -> None:
    shop = Shop(3)
    items: dict[str, Item | None] = {i["orderId"]["S"]: i for i in shop.stock(50)}
    kinds: Counter[str] = Counter()
    came_back = 0
    for _ in range(3_000):
        write = shop.next()
        before = items.get(write.order_id)
        assert (before is None) == (write.operation == "insert")
        assert (write.item is None) == (write.operation == "remove")
        assert write.item != before
        came_back += write.operation == "insert" and write.order_id in items
        items[write.order_id] = write.item
        kinds[write.operation] += 1

    assert min(kinds.values()) > 200
    assert came_back > 50
    assert len(shop) == sum(item is not None for item in items.values())


def test_equal_seeds_are_equal_shops() -> None:
    assert [Shop(3).next() for _ in range(5)] == [Shop(3).next() for _ in range(5)]


def test_a_new_attribute_appears_on_the_way() -> None:
    shop = Shop(3)
    assert all("couponCode" not in item for item in shop.stock(20))

    shop.coupons = True
    assert all("couponCode" in item for item in shop.stock(20))


class FakeClient:
    """Takes half of every batch, like a throttled table."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def batch_write_item(self, **arguments: dict[str, Any]) -> dict[str, Any]:
        ((table, requests),) = arguments["RequestItems"].items()
        taken = requests[: max(1, len(requests) // 2)]
        self.items += [request["PutRequest"]["Item"] for request in taken]
        left = requests[len(taken) :]
        return {"UnprocessedItems": {table: left} if left else {}}


def test_what_is_handed_back_is_put_again() -> None:
    client = FakeClient()
    done: list[int] = []
    items = Shop(1).stock(60)

    put_all(client, "orders", items, done.append)

    key = lambda item: item["orderId"]["S"]  # noqa: E731
    assert sorted(client.items, key=key) == items
    assert done == [25, 25, 10]


class FailingClient:
    """A table that is gone."""

    def put_item(self, **_: Any) -> None:
        raise ConnectionError("gone")

    delete_item = put_item


def test_a_failed_write_reaches_the_owner() -> None:
    writer = Writer(FailingClient(), "orders", Shop(1), 0.0)
    writer.start()
    wait_until(lambda: not writer._thread.is_alive(), timeout_s=10, what="the writer's end")
    with pytest.raises(ConnectionError, match="gone"):
        writer.check()
    assert writer.changes == 0
