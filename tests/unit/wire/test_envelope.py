"""Changes, rows and control records: what goes in comes out, byte for byte."""

import orjson
import pytest

from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import (
    Origin,
    Sealed,
    change_event_time,
    change_key,
    change_origin,
    change_version,
    encode_row,
    header,
    read_record,
    row_headers,
    stamp,
    stamp_record,
)
from bridge.wire.errors import UnknownVersionError, WireError
from bridge.wire.schemas import Column, Schema
from bridge.wire.version import encode_version

ARN = "arn:aws:dynamodb:us-west-2:0:table/orders/stream/2026-11-23T00:00:00.000"
RECORD = (
    b'{"eventID":"e1", "eventName":"INSERT","dynamodb":{"Keys":{"orderId":{"S":"o-1"}},'
    b'"NewImage":{"x":{"N":"1.50"},  "b":{"S":"} "}},"SequenceNumber":"205",'
    b'"ApproximateCreationDateTime":1763907404} }\n'
)


def test_a_stamped_record_keeps_awss_own_bytes():
    change = stamp_record(RECORD, stamp(7, "shardId-1", ARN))
    assert change.startswith(RECORD.rstrip()[:-1].rstrip())
    decoded = orjson.loads(change)
    assert decoded["eventSourceARN"] == ARN
    assert decoded["dynamodb"] == orjson.loads(RECORD)["dynamodb"]
    assert change_origin(decoded) == Origin(7, "shardId-1", None)
    assert change_version(decoded, change_origin(decoded)) == encode_version(7, 205)
    assert change_key(decoded) == '{"orderId":{"S":"o-1"}}'
    assert change_event_time(decoded) == "2025-11-23T14:16:44Z"


def test_an_addressed_change_names_its_transform():
    decoded = orjson.loads(stamp_record(RECORD, stamp(7, "s", ARN, "other")))
    assert change_origin(decoded).addressed_to == "other"


def test_a_scanned_item_has_the_same_identity_however_often_it_is_read():
    def scanned(at: int) -> dict:
        raw = read_record(
            keys=b'{"orderId":{"S":"o-1"}}',
            image=b'{"orderId":{"S":"o-1"}}',
            arn=ARN,
            region="us-west-2",
            epoch=7,
            scanned_at_s=at,
        )
        return orjson.loads(stamp_record(raw, stamp(7, "segment-0", ARN)))

    first, again = scanned(1), scanned(2)
    assert first["eventID"] == again["eventID"]
    assert first["eventName"] == "READ"
    assert change_version(first, change_origin(first)) == encode_version(7, 0)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tailrace": []},
        {"tailrace": {"v": 1}},
        {"tailrace": {"v": 1, "epoch": "7", "shard": "s"}},
    ],
)
def test_a_change_without_its_origin_is_refused(change):
    with pytest.raises(WireError):
        change_origin(change)


def test_a_newer_wire_version_stops_the_reader_with_the_way_on():
    with pytest.raises(UnknownVersionError, match="Upgrade this stage"):
        change_origin({"tailrace": {"v": 2, "epoch": 7, "shard": "s"}})
    with pytest.raises(UnknownVersionError):
        Sealed.decode(b'{"tailrace":{"v":2,"control":"sealed"}}')
    with pytest.raises(UnknownVersionError):
        Schema.decode(b'{"v":2}')


@pytest.mark.parametrize(
    "change",
    [{"dynamodb": {}}, {"dynamodb": {"SequenceNumber": "x"}}, {"dynamodb": {"Keys": 3}}, {}],
)
def test_a_change_without_sequence_or_keys_is_refused(change):
    with pytest.raises(WireError):
        change_version(change, Origin(7, "s"))
    with pytest.raises(WireError):
        change_key(change)


@pytest.mark.parametrize("seconds", [None, "1", True, 1e30, float("nan")])
def test_an_unusable_event_time_is_none(seconds):
    assert change_event_time({"dynamodb": {"ApproximateCreationDateTime": seconds}}) is None


def test_a_seal_reads_back():
    sealed = Sealed("orders", 7, 3, 4)
    assert Sealed.decode(sealed.encode()) == sealed
    assert header(sealed.headers(), "control") == "sealed"


@pytest.mark.parametrize(
    "value", [b"", b"{}", b'{"tailrace":{"v":1,"control":"other"}}', b'{"tailrace":{"v":1}}']
)
def test_a_malformed_control_record_is_refused(value):
    with pytest.raises(WireError):
        Sealed.decode(value)


def test_a_row_is_flat_json_with_its_schema_and_offset_in_headers():
    row = encode_row(
        key="k", version="v", operation="upsert", event_time=None, columns={"order_id": "o-1"}
    )
    assert row == b'{"_key":"k","_version":"v","_op":"upsert","_event_time":null,"order_id":"o-1"}'
    headers = row_headers("abc", 12)
    assert [header(headers, name) for name in ("v", "schema", "offset")] == ["1", "abc", "12"]


def test_a_dead_letter_keeps_the_originals_headers_and_its_cause():
    letter = DeadLetter("processor", "orders", "t", 2, 9, "ValueError", "bad", "trace")
    headers = letter.headers([("schema", b"abc"), ("dlq.reason", b"an older cause")])
    assert header(headers, "schema") == "abc"
    assert DeadLetter.from_headers(headers) == letter
    assert [name for name, _ in headers].count("dlq.reason") == 1


def test_equal_schemas_have_equal_fingerprints_and_others_do_not():
    schema = Schema("orders", "t", (Column("a", "string"), Column("b", "decimal(38,18)")))
    assert Schema.decode(schema.encode()) == schema
    assert Schema.decode(schema.encode()).fingerprint == schema.fingerprint
    assert Schema("orders", "t", schema.columns[:1]).fingerprint != schema.fingerprint
