"""The two transforms of the examples written by hand, as quickly as plain Python allows.

Shared by the stock Quix application and the bare loop: both must write what ours writes.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import orjson

Headers = list[tuple[str, bytes]]
_CENT = Decimal("0.01")


@functools.lru_cache(maxsize=4096)
def event_time(seconds: float) -> str:
    """ISO 8601 UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def version_of(record: dict[str, Any]) -> str:
    """The row's version."""
    sequence = record["dynamodb"]["SequenceNumber"]
    return f"{record['tailrace']['epoch']:010d}.{sequence:0>40}"


def headers_of(fingerprint: str, offset: int) -> Headers:
    """The headers a sink wants."""
    return [("v", b"1"), ("schema", fingerprint.encode()), ("offset", b"%d" % offset)]


def select(value: bytes) -> bytes:
    """The customer's select, one row per change."""
    record = orjson.loads(value)
    change = record["dynamodb"]
    row = {
        "_key": orjson.dumps(change["Keys"]).decode(),
        "_version": version_of(record),
        "_op": "upsert",
        "_event_time": event_time(change["ApproximateCreationDateTime"]),
    }
    if record["eventName"] == "REMOVE":
        row["_op"] = "delete"
        return orjson.dumps(row)
    new = change["NewImage"]
    row["eventID"] = record["eventID"]
    row["eventName"] = record["eventName"]
    row["order_id"] = new["orderId"]["S"]
    row["customer_email"] = new["customerEmail"]["S"]
    row["order_total"] = new["orderTotal"]["N"]
    row["status"] = new["status"]["S"]
    return orjson.dumps(row)


def lines(value: bytes, before: bytes | None) -> tuple[list[bytes], bytes] | None:
    """The exploded example: rows and what to remember, None for a stale change.

    `before` is what the item's last change gave to remember.
    """
    record = orjson.loads(value)
    change, version = record["dynamodb"], version_of(record)
    known: list[str] = []
    if before is not None:
        last, known = orjson.loads(before)
        if version <= last:
            return None
    when = event_time(change["ApproximateCreationDateTime"])
    found: list[tuple[str, dict[str, Any]]] = []
    if record["eventName"] != "REMOVE":
        found = _exploded(change["NewImage"])
    keys = [key for key, _ in found]
    written = [
        {"_key": key, "_version": version, "_op": "delete", "_event_time": when}
        for key in known
        if key not in keys
    ]
    written += [
        {"_key": key, "_version": version, "_op": "upsert", "_event_time": when, **row}
        for key, row in found
    ]
    return [orjson.dumps(row) for row in written], orjson.dumps([version, keys])


def _exploded(new: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    order, status, found = new["orderId"]["S"], new["status"]["S"], []
    for element in new["lines"]["L"]:
        line = element["M"]
        number = line["line_no"]["N"]
        key = orjson.dumps({"line_no": {"N": number}, "order_id": {"S": order}}).decode()
        price = Decimal(line["price"]["N"]).quantize(_CENT, ROUND_HALF_UP)
        row = {
            "order_id": order,
            "line_no": number,
            "sku": line["sku"]["S"],
            "quantity": int(line["quantity"]["N"]),
            "price": f"{price:f}",
            "order_status": status,
        }
        found.append((key, row))
    return found
