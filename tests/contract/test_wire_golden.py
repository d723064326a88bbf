"""Golden files pin every format of wire version 1, byte for byte.

Stages are deployed one by one, so what the previous release wrote must stay readable. A golden file
is never edited: a change of format is a new wire version with files of its own.
"""

from pathlib import Path

import orjson
import pytest

from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import (
    Sealed,
    change_event_time,
    change_key,
    change_origin,
    change_version,
    encode_row,
    read_record,
    row_headers,
    settled_headers,
    settled_value,
    stamp,
    stamp_record,
)
from bridge.wire.namespace import GapAcceptance, encode_value, namespace_key
from bridge.wire.schemas import Column, Schema

GOLDEN = Path(__file__).parent / "golden" / "wire"
ARN = "arn:aws:dynamodb:us-west-2:123456789012:table/orders/stream/2026-11-23T00:00:00.000"
SHARD = "shardId-00000001541626099285-f35f62ef"
KEYS = b'{"orderId":{"S":"o-1"}}'
IMAGE = b'{"orderId":{"S":"o-1"},"orderTotal":{"N":"12.50"},"blob":{"B":"AAE="}}'
RECORD = (
    b'{"eventID":"0123456789abcdef0123456789abcdef","eventName":"MODIFY","eventVersion":"1.1",'
    b'"eventSource":"aws:dynamodb","awsRegion":"us-west-2","dynamodb":'
    b'{"ApproximateCreationDateTime":1763907404,"Keys":' + KEYS + b',"NewImage":' + IMAGE + b","
    b'"OldImage":' + IMAGE + b',"SequenceNumber":"820400000000000001192334","SizeBytes":121,'
    b'"StreamViewType":"NEW_AND_OLD_IMAGES"}}'
)
SCHEMA = Schema(
    "processed_orders",
    "process_orders_stream",
    (Column("order_id", "string"), Column("order_total", "decimal(38,18)")),
    ("order_id",),
)
LETTER = DeadLetter(
    "processor", "orders", "tailrace.changes.orders", 2, 9, "ValueError", "bad number", "trace"
)


def written() -> dict[str, bytes]:
    scanned = read_record(
        keys=KEYS, image=IMAGE, arn=ARN, region="us-west-2", epoch=7, scanned_at_s=1763907404
    )
    accepted = GapAcceptance("sink:orders", "tailrace.rows.orders", {0: 12, 1: 0})
    return {
        "change.json": stamp_record(RECORD, stamp(1763907400, SHARD, ARN)),
        "change_read.json": stamp_record(scanned, stamp(7, "segment-0", ARN)),
        "change_addressed.json": stamp_record(scanned, stamp(7, "segment-0", ARN, "lines")),
        "sealed.json": Sealed("orders", 1763907400, 3, 4).encode(),
        "sealed_unscanned.json": Sealed("orders", 1763907400, 3, 4, scanned=False).encode(),
        "sealed_addressed.json": Sealed("orders", 7, 3, 4, addressed_to="lines").encode(),
        "sealed_headers.json": _headers(Sealed.headers()),
        "settled.json": settled_value(),
        "settled_headers.json": _headers(settled_headers()),
        "row.json": encode_row(
            key=KEYS.decode(),
            version=change_version(orjson.loads(RECORD), _origin()),
            operation="upsert",
            event_time="2025-11-23T14:16:44Z",
            columns={"order_id": "o-1", "order_total": "12.5", "blob": "AAE="},
        ),
        "row_headers.json": _headers(row_headers(SCHEMA.fingerprint, 41)),
        "schema.json": SCHEMA.encode(),
        "dead_letter_headers.json": _headers(LETTER.headers([("schema", b"abc")])),
        "namespace_key.json": namespace_key(),
        "namespace.json": encode_value({"id": "0123456789abcdef0123456789abcdef"}),
        "accept_key.json": accepted.encode()[0],
        "accept.json": accepted.encode()[1],
    }


def _origin():
    return change_origin({"tailrace": {"v": 1, "epoch": 1763907400, "shard": SHARD}})


def _headers(headers) -> bytes:
    return orjson.dumps([[name, value.decode()] for name, value in headers])


@pytest.mark.parametrize("name", sorted(written()))
def test_what_we_write_is_the_golden_file(name):
    assert written()[name] == (GOLDEN / name).read_bytes().rstrip(b"\n")


def test_every_golden_file_is_written_by_a_format():
    assert {path.name for path in GOLDEN.iterdir()} == set(written())


def test_what_was_written_is_still_understood():
    change = orjson.loads((GOLDEN / "change.json").read_bytes())
    origin = change_origin(change)
    assert (origin.epoch, origin.shard, origin.addressed_to) == (1763907400, SHARD, None)
    assert change_version(change, origin) == "1763907400.0000000000000000820400000000000001192334"
    assert change_key(change) == KEYS.decode()
    assert change_event_time(change) == "2025-11-23T14:16:44Z"
    addressed = orjson.loads((GOLDEN / "change_addressed.json").read_bytes())
    assert change_origin(addressed).addressed_to == "lines"
    sealed = Sealed.decode((GOLDEN / "sealed.json").read_bytes())
    assert sealed == Sealed("orders", 1763907400, 3, 4)
    addressed = Sealed.decode((GOLDEN / "sealed_addressed.json").read_bytes())
    assert addressed == Sealed("orders", 7, 3, 4, addressed_to="lines")
    assert Schema.decode((GOLDEN / "schema.json").read_bytes()) == SCHEMA
    headers = orjson.loads((GOLDEN / "dead_letter_headers.json").read_bytes())
    assert DeadLetter.from_headers([(name, value) for name, value in headers]) == LETTER
