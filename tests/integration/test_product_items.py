"""Whole items of two tables in one dataset, the whole way: found columns, odd names, `verify`."""

from __future__ import annotations

from decimal import Decimal

import pytest
from deltalake import DeltaTable

from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from tests.integration.conftest import HEAD
from tests.parts.waiting import wait_until
from tests.product.workload import ORDERS, Workload

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(240),
]

BOTH = (
    HEAD
    + """
@transform(
    input_mapping={{
        "orders": Input(Stream(source=DynamoDBSource(table_name="{table}", region="us-west-2"))),
        "returns": Input(Stream(source=DynamoDBSource(table_name="{table}-r", region="us-west-2"))),
    }},
    output_mapping={{"out": Output(Dataset(id="{dataset}"))}},
)
def both_{number}(orders, returns):
    return orders.union(returns).drop("lines").filter("dynamodb.NewImage.c.N >= 0")
"""
)


def key_of(table: str, number: int) -> str:
    return f'["{table}",{{"orderId":{{"S":"k-{number}"}}}}]'


def rows_of(made) -> dict[str, dict]:
    if not DeltaTable.is_deltatable(made.uri):
        return {}
    return {row["_key"]: row for row in DeltaTable(made.uri).to_pyarrow_table().to_pylist()}


def test_items_of_two_tables_with_columns_that_nobody_declared(product):
    made = product(text=BOTH, existing=30, keys=40)
    client, orders = made.workload.client, made.workload.table
    returns = f"{orders}-r"
    ORDERS.create(client, returns, stream=True)
    other = Workload(client, returns, ORDERS, keys=40, seed=2)
    other.fill(20)
    # The second table's topic is smaller: its seals have to reach every partition of the rows.
    topic = TopicNames(made.kafka.namespace).changes(returns)
    ensure_topics(admin(made.kafka), [TopicSpec(name=topic, partitions=3, replication=-1)])
    made.pipeline.start()
    made.workload.run(100)
    other.run(100)
    odd = {
        "orderId": {"S": "k-1"},
        "c": {"N": "1"},
        "unit price": {"N": "2.50"},
        "_key": {"S": "x"},
    }
    client.put_item(TableName=orders, Item={**odd, "status": {"N": "5"}, "note": {"BOOL": True}})
    client.put_item(TableName=returns, Item={**odd, "status": {"S": "sent"}, "c": {"N": "-1"}})

    def settled() -> bool:
        made.pipeline.restart_dead()
        report = made.pipeline.verify()
        return report["exit"] == 0 and report["verified"] is True

    wait_until(settled, timeout_s=120, what=f"a clean verdict\n{made.pipeline.logs()}")
    rows = rows_of(made)
    live = {key_of(orders, n) for n in made.workload.live} | {key_of(orders, 1)}
    live |= {key_of(returns, n) for n in other.live} - {key_of(returns, 1)}
    assert set(rows) == live
    found = rows[key_of(orders, 1)]
    assert found["_table"] == orders
    assert (found["unit_x20_price"], found["_key__s"]) == (Decimal("2.50"), "x")
    assert (found["status"], found["status__n"]) == (None, Decimal(5))
    assert (found["note"], found["note__bool"]) == (None, True)
    wait_until(
        lambda: DeltaTable(made.uri).metadata().configuration["tailrace.snapshot"] == "sealed",
        timeout_s=60,
        what="both snapshots to be sealed",
    )
    changed = {"status__n": "cast(6 as decimal(38,18))"}
    DeltaTable(made.uri).update(predicate=f"_key = '{key_of(orders, 1)}'", updates=changed)
    report = made.pipeline.verify()
    assert (report["exit"], report["different"], report["missing"]) == (1, 1, 0), report
