"""What must be true of the topics and the table, worked out from the writes alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from deltalake import DeltaTable

from bridge.wire.envelope import SETTLED, header
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.topics import TopicNames, admin, existing_topics
from tests.parts.waiting import wait_until
from tests.product.workload import Item, Workload, canonical

Rows = dict[str, dict[str, Any]]


def read_topic(kafka: KafkaConfig, topic: str) -> list[Any]:
    """Every committed message, partition by partition in offset order."""
    partitions = existing_topics(admin(kafka))[topic]
    messages = list(read_to_end(kafka, topic, range(partitions)))
    return sorted(messages, key=lambda m: (m.partition(), m.offset()))


def check_changes(kafka: KafkaConfig, workload: Workload) -> int:
    """The changes topic holds each version once, in order per item, and misses no write.

    Returns the number of changes, snapshot rows apart.
    """
    sequences: dict[str, list[int]] = defaultdict(list)
    counters: dict[str, list[int]] = defaultdict(list)
    partitions: dict[str, set[int]] = defaultdict(set)
    removes = 0
    for message in _read_changes(kafka, workload):
        change = orjson.loads(message.value())
        key = canonical(change["dynamodb"]["Keys"])
        partitions[orjson.dumps(orjson.loads(message.key())).decode()].add(message.partition())
        if change["eventName"] == "READ":
            continue
        sequences[key].append(int(change["dynamodb"]["SequenceNumber"]))
        removes += change["eventName"] == "REMOVE"
        if "NewImage" in change["dynamodb"]:
            counters[key].append(int(change["dynamodb"]["NewImage"]["c"]["N"]))
    for key, numbers in sequences.items():
        assert numbers == sorted(set(numbers)), f"{key}: doubled or out of order: {numbers}"
    assert all(len(found) == 1 for found in partitions.values()), "a key in two partitions"
    differing = {
        key: (counters.get(key, []), workload.written.get(key, []))
        for key in counters.keys() | workload.written.keys()
        if counters.get(key) != workload.written.get(key)
    }
    assert not differing, f"(in the topic, written) differ for {differing}"
    assert removes == workload.removed, f"{removes} removes in the topic, {workload.removed} made"
    return sum(map(len, sequences.values()))


def _read_changes(kafka: KafkaConfig, workload: Workload) -> list[Any]:
    """The changes topic, control records apart, read until it has as many as were written.

    What was lost never comes, so reading again hides no loss. But one reader may see less than
    there is: the embedded broker at times lists a transaction that was aborted to a reader already
    past its end, and that reader then drops what the same producer committed later.
    """
    topic = TopicNames(kafka.namespace).changes(workload.table)
    found: list[Any] = []

    def complete() -> bool:
        nonlocal found
        read = read_topic(kafka, topic)
        found = [m for m in read if m.key() is not None and not m.headers()]
        return sum(_is_written(m) for m in found) >= workload.writes

    try:
        wait_until(complete, timeout_s=20, what="every write to be read")
    except AssertionError:
        print(f"{len(found)} changes read of {workload.writes} writes")  # the caller says which
    return found


def _is_written(message: Any) -> bool:
    return orjson.loads(message.value())["eventName"] != "READ"


def check_rows(kafka: KafkaConfig, dataset: str) -> int:
    """The rows topic holds each version of a key once, in order (snapshot rows apart).

    Where the broker broke a transaction, which a settled record in the topic tells, its rows were
    made again: there they need only be complete, which the table shows.
    """
    versions: dict[str, list[str]] = defaultdict(list)
    settled = False
    for message in read_topic(kafka, TopicNames(kafka.namespace).rows(dataset)):
        control = header(message.headers(), "control")
        settled |= control == SETTLED
        if control is not None:
            continue
        row = orjson.loads(message.value())
        if int(row["_version"].partition(".")[2]):
            versions[row["_key"]].append(row["_version"])
    for key, found in versions.items():
        in_order = found == sorted(set(found))
        assert settled or in_order, f"{key}: doubled or out of order: {found}"
    return sum(map(len, versions.values()))


def expected_copies(items: Mapping[str, Item]) -> Rows:
    """What the copying transform makes of the source's items."""
    return {
        key: {
            "c": Decimal(item["c"]["N"]),
            "email": item["customerEmail"]["S"],
            "total": Decimal(item["orderTotal"]["N"]),
            "status": item["status"]["S"],
            "note": item.get("note", {}).get("S"),
        }
        for key, item in items.items()
    }


def expected_lines(items: Mapping[str, Item]) -> Rows:
    """What the exploding example makes of the source's orders."""
    rows: Rows = {}
    for item in items.values():
        for line in item["lines"]["L"]:
            fields = line["M"]
            order_id, number = item["orderId"]["S"], fields["line_no"]["N"]
            key = canonical({"order_id": {"S": order_id}, "line_no": {"N": number}})
            rows[key] = {
                "order_id": order_id,
                "line_no": Decimal(number),
                "sku": fields["sku"]["S"],
                "quantity": int(fields["quantity"]["N"]),
                "price": Decimal(fields["price"]["N"]),
                "order_status": item["status"]["S"],
            }
    return rows


def table_rows(uri: str, options: Mapping[str, str], columns: tuple[str, ...]) -> Rows:
    """The table's rows by `_key`, the given columns only; none while there is no table."""
    if not DeltaTable.is_deltatable(uri, storage_options=dict(options)):
        return {}
    table = DeltaTable(uri, storage_options=dict(options)).to_pyarrow_table()
    missing = [name for name in columns if name not in table.column_names]
    rows = table.select(["_key", *(name for name in columns if name not in missing)]).to_pylist()
    keys = [row.pop("_key") for row in rows]
    assert len(keys) == len(set(keys)), "a key twice in the table"
    return {key: {**row, **dict.fromkeys(missing)} for key, row in zip(keys, rows, strict=True)}


def differences(expected: Rows, actual: Rows) -> str:
    """Empty when equal, else the first few differences."""
    missing = sorted(expected.keys() - actual.keys())
    extra = sorted(actual.keys() - expected.keys())
    different = [
        f"{key}: expected {expected[key]}, is {actual[key]}"
        for key in sorted(expected.keys() & actual.keys())
        if expected[key] != actual[key]
    ]
    if not (missing or extra or different):
        return ""
    return (
        f"{len(expected)} expected, {len(actual)} found; missing {missing[:3]} ({len(missing)}), "
        f"extra {extra[:3]} ({len(extra)}), different {different[:3]} ({len(different)})"
    )
