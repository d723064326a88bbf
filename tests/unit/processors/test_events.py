"""Events as a person writes them become messages as the connector writes them."""

from __future__ import annotations

import orjson
import pytest

from bridge.wire.envelope import change_key, change_origin, change_version
from bridge.wire.errors import ConfigurationError
from processors.events import EventReader

KEYS = {"orderId": {"S": "o-1"}}


def read(body, key=("orderId",)):
    table, kafka_key, value = EventReader(key).read(body)
    return table, kafka_key, orjson.loads(value)


@pytest.mark.parametrize("total", [5.25, "5.25"])
def test_plain_and_typed_items_mean_the_same(total) -> None:
    typed = {"S": total} if isinstance(total, str) else {"N": "5.25"}
    _, _, plain = read({"insert": {"orderId": "o-1", "total": total}})
    _, _, given = read({"insert": {**KEYS, "total": typed}})

    assert (
        plain["dynamodb"]["NewImage"] == given["dynamodb"]["NewImage"] == {**KEYS, "total": typed}
    )
    assert change_key(plain) == '{"orderId":{"S":"o-1"}}'


def test_a_removed_item_is_known_by_its_key_and_has_no_new_image() -> None:
    table, kafka_key, record = read({"remove": {"orderId": "o-1"}, "table": "orders"})

    assert (table, kafka_key) == ("orders", b'{"orderId":{"S":"o-1"}}')
    assert (record["eventName"], "NewImage" in record["dynamodb"]) == ("REMOVE", False)


def test_versions_rise_and_a_snapshot_row_is_older_than_all() -> None:
    reader = EventReader(["orderId"])
    bodies = [{"read": KEYS}, {"insert": KEYS}, {"modify": KEYS, "old": KEYS}, {"remove": KEYS}]
    records = [orjson.loads(reader.read(body)[2]) for body in bodies]
    versions = [change_version(record, change_origin(record)) for record in records]

    assert versions == sorted(set(versions))
    assert records[0]["dynamodb"]["SequenceNumber"] == "0"


def test_a_whole_record_is_kept_and_stamped() -> None:
    record = {
        "eventID": "e",
        "eventName": "INSERT",
        "dynamodb": {"Keys": KEYS, "NewImage": KEYS, "SequenceNumber": "700"},
    }
    _, _, stamped = read(record, key=())

    assert stamped["dynamodb"]["SequenceNumber"] == "700"
    assert change_origin(stamped).epoch == 1_000
    already = {**record, "tailrace": {"v": 1, "epoch": 9, "shard": "s"}}
    assert change_origin(read(already, key=())[2]).epoch == 9


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "not an event"),
        ([], "not an event"),
        ({"insert": {}, "remove": {}}, "not an event"),
        ({"insert": KEYS, "sequence": 5}, "not an event"),
        ({"insert": "o-1"}, "set of attributes"),
        ({"insert": {"id": "1"}}, "no key attribute 'orderId'"),
        ({"insert": {"orderId": object()}}, "no DynamoDB type"),
        ({"dynamodb": {}}, "without dynamodb.Keys"),
    ],
)
def test_a_mistake_is_named_with_the_number_of_the_event(body, message) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        read(body)
    assert "event 1" in str(raised.value)


def test_without_a_key_the_short_form_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="key is not known"):
        read({"insert": KEYS}, key=())


def test_bytes_and_sets_of_them_are_plain_values_too() -> None:
    _, _, plain = read({"insert": {"orderId": "o-1", "b": b"\x01\x02", "bs": {b"\x02", b"\x01"}}})
    image = plain["dynamodb"]["NewImage"]
    assert image == {**KEYS, "b": {"B": "AQI="}, "bs": {"BS": ["AQ==", "Ag=="]}}


def test_an_event_says_when_it_was_made() -> None:
    _, _, record = read({"remove": {"orderId": "o-1"}, "at": 1_700_003_600})
    assert record["dynamodb"]["ApproximateCreationDateTime"] == 1_700_003_600
