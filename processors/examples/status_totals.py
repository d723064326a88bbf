"""One row per status: how many orders are in it now, and what they are worth."""

from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset


@transform(
    input_mapping={
        "orders": Input(Stream(source=DynamoDBSource(table_name="orders", region="us-west-2")))
    },
    output_mapping={
        "status_totals": Output(
            Dataset(id="status_totals", description="Orders by status, as they are now.")
        )
    },
)
def total_by_status(orders):
    return (
        orders.select(
            "dynamodb.NewImage.status.S",
            "cast(dynamodb.NewImage.orderTotal.N as decimal(18,2)) as order_total",
        )
        .group_by("status")
        .agg(orders="count()", total="sum(order_total)", largest="max(order_total)")
    )
