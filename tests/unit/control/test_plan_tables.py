"""A source of several tables: each is read by itself, all feed one dataset."""

from __future__ import annotations

from pathlib import Path

from bridge.control.plan import load_plan

FILE = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset


@transform(
    input_mapping={"orders": Input(Stream(source=DynamoDBSource(
        table_names=["orders_a", "orders_b"], region="us-west-2", read_capacity=5)))},
    output_mapping={"all_orders": Output(Dataset(id="all_orders"))},
)
def all_orders(orders):
    return orders.select("dynamodb.NewImage.id.S as id")
"""


def test_each_table_of_a_list_is_a_source_and_a_part_of_the_feed(tmp_path: Path) -> None:
    path = tmp_path / "orders.py"
    path.write_text(FILE)
    plan = load_plan(str(path))
    assert [s.table_name for s in plan.sources] == ["orders_a", "orders_b"]
    assert all(s.table_names == () and s.read_capacity == 5 for s in plan.sources)
    (feed,) = plan.feeds
    assert feed.tables == ("orders_a", "orders_b")
    assert [part.source.table_name for part in feed.parts] == ["orders_a", "orders_b"]
