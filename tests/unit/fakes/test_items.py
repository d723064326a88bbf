"""Items are kept as DynamoDB keeps them, and only real changes reach the stream."""

import contextlib
import random
from typing import Any

import pytest

from tests.fakes.dynamodb import AwsError, World
from tests.fakes.dynamodb.values import checked, item_bytes, number
from tests.unit.fakes.reader import read_all


def _updated(world: World, expression: str, values: dict[str, Any] | None = None) -> Any:
    request: dict[str, Any] = {"UpdateExpression": expression, "ReturnValues": "ALL_NEW"}
    if values:
        request["ExpressionAttributeValues"] = values
    answer = world.call("UpdateItem", TableName="orders", Key={"id": {"S": "a"}}, **request)
    attributes = answer["Attributes"]
    del attributes["id"]
    return attributes


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1.50", "1.5"),
        ("0100", "100"),
        ("1E3", "1000"),
        ("-0", "0"),
        ("0.000", "0"),
        ("+7", "7"),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ("1e-130", "0." + "0" * 129 + "1"),
        ("9.9999999999999999999999999999999999999E+125", "9" * 38 + "0" * 88),
    ],
)
def test_numbers_come_back_normalised(given: str, kept: str) -> None:
    assert number(given) == kept
    assert number(kept) == kept


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("1" * 39, "38 significant digits"),
        ("1e126", "overflow"),
        ("1e-131", "underflow"),
        ("one", "numeric value"),
        ("NaN", "numeric value"),
        ("Infinity", "numeric value"),
        (" 1", "numeric value"),
        ("", "numeric value"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(given: str, reason: str) -> None:
    with pytest.raises(AwsError, match=reason):
        number(given)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"S": "a", "N": "1"},
        {"X": "a"},
        {"S": 1},
        {"NULL": False},
        {"BOOL": "true"},
        {"B": "no base64!"},
        {"SS": []},
        {"NS": ["1", "1.0"]},
        {"L": {}},
    ],
)
def test_values_that_are_no_attribute_values_are_refused(value: Any) -> None:
    with pytest.raises(AwsError):
        checked(value)


def test_items_above_400_kb_are_refused(world: World) -> None:
    world.create_table("orders")
    head = {"id": {"S": "a"}}
    world.put("orders", {**head, "v": {"S": "x" * (400 * 1024 - 4)}})
    with pytest.raises(AwsError, match="Item size has exceeded"):
        world.put("orders", {**head, "v": {"S": "x" * (400 * 1024 - 3)}})


def test_sizes_count_names_and_values() -> None:
    assert item_bytes({"ab": {"S": "ö"}}) == 4
    assert item_bytes({"n": {"N": "-12.5"}}) == 1 + 4
    assert item_bytes({"b": {"B": "AAE="}}) == 1 + 2
    assert item_bytes({"m": {"M": {"k": {"BOOL": True}}}}) == 1 + 3 + 1 + 1 + 1


def test_writes_that_change_nothing_leave_no_record(world: World) -> None:
    arn = world.create_table("orders") or ""
    world.put("orders", {"id": {"S": "a"}, "t": {"SS": ["x", "y"]}, "n": {"N": "1.0"}})
    world.put("orders", {"n": {"N": "1"}, "t": {"SS": ["y", "x"]}, "id": {"S": "a"}})
    world.delete("orders", {"id": {"S": "b"}})
    _updated(world, "SET n = :one", {":one": {"N": "1.00"}})
    assert [record["eventName"] for _, record in read_all(world, arn)] == ["INSERT"]
    assert world.history.count("orders") == 1


def test_a_true_and_a_number_are_not_the_same_value(world: World) -> None:
    world.create_table("orders")
    world.put("orders", {"id": {"S": "a"}, "v": {"L": [{"BOOL": True}]}})
    world.put("orders", {"id": {"S": "a"}, "v": {"L": [{"N": "1"}]}})
    assert world.history.count("orders") == 2


@pytest.mark.parametrize("key_type", ["S", "N", "B"])
def test_keys_of_each_type_find_their_item(world: World, key_type: str) -> None:
    world.create_table("orders", "h", key_type, range_key="r", range_type=key_type)
    values = {"S": ["a", "B"], "N": ["10", "9.50"], "B": ["AAE=", "/w=="]}[key_type]
    keys = [{"h": {key_type: one}, "r": {key_type: two}} for one in values for two in values]
    for count, key in enumerate(keys):
        world.put("orders", {**key, "count": {"N": str(count)}})
    for count, key in enumerate(keys):
        found = world.call("GetItem", TableName="orders", Key=key)["Item"]
        assert found["count"] == {"N": str(count)}
    for key in keys:
        world.delete("orders", key)
    assert world.items("orders") == []


def test_number_keys_are_one_key_however_they_are_written(world: World) -> None:
    world.create_table("orders", "h", "N")
    world.put("orders", {"h": {"N": "1.0"}, "v": {"S": "first"}})
    world.put("orders", {"h": {"N": "1"}, "v": {"S": "second"}})
    assert world.items("orders") == [{"h": {"N": "1"}, "v": {"S": "second"}}]


@pytest.mark.parametrize(
    "key",
    [{}, {"id": {"N": "1"}}, {"id": {"S": ""}}, {"id": {"S": "a"}, "more": {"S": "b"}}],
)
def test_keys_that_do_not_fit_the_schema_are_refused(world: World, key: Any) -> None:
    world.create_table("orders")
    with pytest.raises(AwsError, match="ValidationException"):
        world.delete("orders", key)


def test_updates_set_remove_add_and_delete(world: World) -> None:
    world.create_table("orders")
    values = {":n": {"N": "1"}, ":l": {"L": [{"S": "x"}]}, ":m": {"M": {}}, ":s": {"SS": ["x"]}}
    assert _updated(world, "SET n = :n, l = :l, m = :m ADD s :s", values) == {
        "n": {"N": "1"},
        "l": {"L": [{"S": "x"}]},
        "m": {"M": {}},
        "s": {"SS": ["x"]},
    }
    values = {":two": {"N": "2.50"}, ":l": {"L": [{"S": "y"}, {"S": "z"}]}, ":s": {"SS": ["y"]}}
    assert _updated(
        world,
        "SET n = n - :two, l = list_append(l, :l), m.k = if_not_exists(m.k, :two) ADD s :s",
        values,
    ) == {
        "n": {"N": "-1.5"},
        "l": {"L": [{"S": "x"}, {"S": "y"}, {"S": "z"}]},
        "m": {"M": {"k": {"N": "2.5"}}},
        "s": {"SS": ["x", "y"]},
    }
    values = {":s": {"SS": ["x", "y"]}, ":n": {"N": "4"}}
    assert _updated(world, "REMOVE l[0], l[2], m.k ADD n :n DELETE s :s", values) == {
        "n": {"N": "2.5"},
        "l": {"L": [{"S": "y"}]},
        "m": {"M": {}},
    }


def test_updates_of_the_key_or_of_nothing_are_refused(world: World) -> None:
    world.create_table("orders")
    with pytest.raises(AwsError, match="part of the key"):
        _updated(world, "SET id = :b", {":b": {"S": "b"}})
    with pytest.raises(AwsError, match="does not exist in the item"):
        _updated(world, "SET n = n + :b", {":b": {"N": "1"}})
    with pytest.raises(AwsError, match="document path"):
        _updated(world, "SET m.k = :b", {":b": {"N": "1"}})
    assert world.history.count("orders") == 0


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("attribute_exists(id)", True),
        ("attribute_not_exists(#n)", False),
        ("#n = :one AND NOT (id = :a AND size(id) > :one)", True),
        ("#n BETWEEN :zero AND :one", True),
        ("#n IN (:zero, :a) OR #n < :one", False),
        ("begins_with(id, :a) AND contains(tags, :a)", True),
        ("attribute_type(#n, :a)", False),
        ("absent <> :one", True),
    ],
)
def test_conditions_decide_whether_a_write_happens(world: World, condition: str, met: bool) -> None:
    world.create_table("orders")
    world.put("orders", {"id": {"S": "a"}, "n": {"N": "1"}, "tags": {"SS": ["a", "b"]}})
    known = {":zero": {"N": "0"}, ":one": {"N": "1"}, ":a": {"S": "a"}}
    request: dict[str, Any] = {"ConditionExpression": condition}
    if "#n" in condition:
        request["ExpressionAttributeNames"] = {"#n": "n"}
    if values := {name: value for name, value in known.items() if name in condition}:
        request["ExpressionAttributeValues"] = values
    refused = pytest.raises(AwsError, match="ConditionalCheckFailedException")
    with contextlib.nullcontext() if met else refused:
        world.call("DeleteItem", TableName="orders", Key={"id": {"S": "a"}}, **request)
    assert (world.items("orders") == []) is met


def test_a_transaction_happens_whole_or_not_at_all(world: World) -> None:
    world.create_table("orders")
    put = {"Put": {"TableName": "orders", "Item": {"id": {"S": "a"}}}}
    check = {
        "ConditionCheck": {
            "TableName": "orders",
            "Key": {"id": {"S": "b"}},
            "ConditionExpression": "attribute_exists(id)",
        }
    }
    with pytest.raises(AwsError, match=r"\[None, ConditionalCheckFailed\]"):
        world.call("TransactWriteItems", TransactItems=[put, check])
    assert world.items("orders") == []
    world.put("orders", {"id": {"S": "b"}})
    world.call("TransactWriteItems", TransactItems=[put, check])
    assert len(world.items("orders")) == 2


def test_a_transaction_sent_twice_happens_once(world: World) -> None:
    world.create_table("orders")
    add = {
        "TableName": "orders",
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    for _ in range(2):
        world.call("TransactWriteItems", TransactItems=[{"Update": add}], ClientRequestToken="t")
    assert world.items("orders") == [{"id": {"S": "a"}, "n": {"N": "1"}}]


def test_batches_write_and_read_many(world: World) -> None:
    world.create_table("orders")
    puts = [{"PutRequest": {"Item": {"id": {"S": str(number)}}}} for number in range(25)]
    world.call("BatchWriteItem", RequestItems={"orders": puts})
    keys = [{"id": {"S": str(number)}} for number in range(30)]
    answer = world.call("BatchGetItem", RequestItems={"orders": {"Keys": keys}})
    assert len(answer["Responses"]["orders"]) == 25
    with pytest.raises(AwsError, match="duplicates"):
        world.call("BatchWriteItem", RequestItems={"orders": [puts[0], puts[0]]})
    with pytest.raises(AwsError, match="Too many items"):
        world.call("BatchWriteItem", RequestItems={"orders": [*puts, puts[0]]})


def test_the_history_is_every_version_in_order(world: World) -> None:
    world.create_table("orders")
    chance = random.Random(5)
    written: dict[str, list[str | None]] = {}
    for count in range(300):
        name = f"o-{chance.randrange(20)}"
        versions = written.setdefault(name, [])
        if chance.random() < 0.3:
            world.delete("orders", {"id": {"S": name}})
            if versions and versions[-1] is not None:
                versions.append(None)
        else:
            world.put("orders", {"id": {"S": name}, "v": {"N": str(count)}})
            versions.append(str(count))
    journal = {
        versions[0].keys["id"]["S"]: [
            None if version.item is None else version.item["v"]["N"] for version in versions
        ]
        for versions in world.history.items("orders").values()
    }
    assert journal == {name: versions for name, versions in written.items() if versions}
