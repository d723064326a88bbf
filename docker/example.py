"""The application of the running example: `setup` makes the table and the bucket, `shop` writes.

`setup` waits for its servers and may run again; `shop` places and changes orders until SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from bridge.control.workload import Shop, Writer, put_all

TABLE = "orders"
BUCKET = "lake"
EXISTING = 500
PATIENCE_S = 120.0


def setup() -> None:
    """The table with its stream and some orders, and the lake's bucket."""
    dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
    awaited(dynamodb.list_tables)
    if TABLE not in dynamodb.list_tables()["TableNames"]:
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        put_all(dynamodb, TABLE, Shop(seed=0).stock(EXISTING), lambda _count: None)
    if BUCKET not in [bucket["Name"] for bucket in awaited(s3.list_buckets)["Buckets"]]:
        where = {"LocationConstraint": s3.meta.region_name}
        awaited(lambda: s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where))
    awaited(lambda: s3.put_object(Bucket=BUCKET, Key="ready", Body=b""))
    say(f"table {TABLE} and bucket {BUCKET} are there")


def awaited(call: Any) -> Any:
    """What the call answers, as soon as it does."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def shop() -> None:
    """Orders come, change, go and come back, about a hundred times a second."""
    client = boto3.client("dynamodb")
    started_s = time.monotonic()
    writer = Writer(client, TABLE, Shop(seed=time.time_ns()), started_s)
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: ending.append(number))
    writer.start()
    said_s = started_s
    while not ending:
        writer.check()
        if time.monotonic() - said_s >= 10:
            said_s = time.monotonic()
            say(f"{writer.changes} changes written")
        time.sleep(0.1)
    writer.stop()
    say(f"ended after {writer.changes} changes")


def say(line: str) -> None:
    """One line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    {"setup": setup, "shop": shop}[sys.argv[1]]()
