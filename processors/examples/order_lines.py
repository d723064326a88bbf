"""One row per line of an order: lines that vanish from an order vanish from the table."""

from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset


@transform(
    input_mapping={
        "orders": Input(Stream(source=DynamoDBSource(table_name="orders", region="us-west-2")))
    },
    output_mapping={
        "order_lines": Output(
            Dataset(
                id="order_lines",
                description="Lines of all orders, one row each.",
                key=["order_id", "line_no"],
            )
        )
    },
)
def explode_order_lines(orders):
    return orders.explode("dynamodb.NewImage.lines.L as line").select(
        "dynamodb.NewImage.orderId.S as order_id",
        "line.M.line_no.N",
        "line.M.sku.S",
        "cast(line.M.quantity.N as bigint)",
        "cast(line.M.price.N as decimal(18,2)) as price",
        "dynamodb.NewImage.status.S as order_status",
    )
