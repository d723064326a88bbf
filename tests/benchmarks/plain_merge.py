"""What one would write: consume, keep the newest of each key, one delta-rs MERGE, commit, repeat.

`python plain_merge.py JSON`, alone, with nothing of ours. It guards by version and removes rows as
ours does, and puts its offsets into the commit. With `"engine": "deltalite"` the merge is PostHog's
deltalite, which neither removes rows nor compares versions: what it can't do is left out of its
input by the one who feeds it.

A line on standard output for each commit: when it was made, the offsets after it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import orjson
import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition

NAMES = ("order_id", "customer_email", "order_total", "status", "quantity")
SCHEMA = pa.schema(
    [
        ("order_id", pa.string()),
        ("customer_email", pa.string()),
        ("order_total", pa.decimal128(18, 2)),
        ("status", pa.string()),
        ("quantity", pa.int64()),
        ("_key", pa.string()),
        ("_version", pa.string()),
        ("_event_time", pa.timestamp("us", "UTC")),
    ]
)


def arrow(rows: list[dict[str, Any]], extra: list[str]) -> pa.Table:
    """The rows as a table in the target's types."""
    columns = {name: [row.get(name) for row in rows] for name in [*SCHEMA.names, *extra]}
    arrays = {}
    for name, values in columns.items():
        array = pa.array(values)
        if name == "_event_time":
            array = pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC"))
        elif name in SCHEMA.names:
            array = array.cast(SCHEMA.field(name).type)
        arrays[name] = array
    return pa.table(arrays)


def delta_merge(uri: str):
    """A merge by delta-rs."""
    from deltalake import CommitProperties, DeltaTable, Transaction

    table = DeltaTable(uri)
    updates = {f"t.{name}": f"s.{name}" for name in SCHEMA.names}
    newer = "s._version > t._version"

    def merge(rows: list[dict[str, Any]], offsets: dict[int, int]) -> None:
        source = arrow(rows, ["_op"])
        transactions = [Transaction(f"plain:{p}", o) for p, o in offsets.items()]
        (
            table.merge(
                source,
                "t._key = s._key",
                source_alias="s",
                target_alias="t",
                commit_properties=CommitProperties(app_transactions=transactions),
            )
            .when_matched_delete(f"s._op = 'delete' and {newer}")
            .when_matched_update(updates, f"s._op = 'upsert' and {newer}")
            .when_not_matched_insert(updates, "s._op = 'upsert'")
            .execute()
        )

    return merge


def deltalite_merge(uri: str):
    """A merge by deltalite, with its defaults."""
    import deltalite

    table = deltalite.DeltaLiteTable.open(uri)

    def merge(rows: list[dict[str, Any]], offsets: dict[int, int]) -> None:
        table.upsert(arrow(rows, []), primary_keys=["_key"], commit_metadata={"o": str(offsets)})

    return merge


def main(options: dict[str, Any]) -> None:
    """Run until killed."""
    engine = {"delta-rs": delta_merge, "deltalite": deltalite_merge}[options["engine"]]
    merge = engine(options["uri"])
    offsets = {int(p): o for p, o in options["offsets"].items()}
    consumer = Consumer(
        {
            "bootstrap.servers": options["brokers"],
            "group.id": "plain",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(options["topic"], p, o) for p, o in offsets.items()])
    while True:
        messages = consumer.consume(options["batch_rows"], timeout=options["freshness_s"])
        if not messages:
            continue
        newest: dict[str, dict[str, Any]] = {}
        for message in messages:
            row = orjson.loads(message.value())
            known = newest.get(row["_key"])
            if known is None or row["_version"] > known["_version"]:
                newest[row["_key"]] = row
            offsets[message.partition()] = message.offset() + 1
        merge(list(newest.values()), offsets)
        print(json.dumps({"time": time.time(), "offsets": offsets}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
