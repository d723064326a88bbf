from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset


@transform(
    input_mapping={
        "orders_stream": Input(
            Stream(
                source=DynamoDBSource(table_name="orders", region="us-west-2", stream_enabled=True)
            )
        )
    },
    output_mapping={
        "processed_orders": Output(Dataset(id="processed_orders", tags=["orders", "real-time"]))
    },
)
def process_orders_stream(orders_stream):
    # The stream data comes in with the standard DynamoDB stream format
    return orders_stream.select(
        "eventID",
        "eventName",
        "dynamodb.NewImage.orderId.S as order_id",
        "dynamodb.NewImage.customerEmail.S as customer_email",
        "dynamodb.NewImage.orderTotal.N as order_total",
        "dynamodb.NewImage.status.S as status",
    )
