"""Scan and Query meet every item once, in pages as AWS cuts them."""

from typing import Any

import pytest

from tests.fakes.dynamodb import AwsError, VirtualClock, World


def _scanned(world: World, **request: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    start: dict[str, Any] = {}
    while True:
        answer = world.call("Scan", TableName="orders", **request, **start)
        pages.append([item["id"]["S"] for item in answer["Items"]])
        if "LastEvaluatedKey" not in answer:
            return pages
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def test_segments_part_a_table_and_pages_part_a_segment(world: World) -> None:
    world.create_table("orders")
    names = sorted(f"o-{number}" for number in range(200))
    for name in names:
        world.put("orders", {"id": {"S": name}})
    segments = [_scanned(world, Segment=i, TotalSegments=3, Limit=7) for i in range(3)]
    assert all(len(page) <= 7 for pages in segments for page in pages)
    assert all(any(pages) for pages in segments)
    assert sorted(name for pages in segments for page in pages for name in page) == names


def test_a_scan_page_ends_at_1_mb_and_tells_what_it_cost(world: World) -> None:
    world.create_table("orders")
    for count in range(5):
        world.put("orders", {"id": {"S": str(count)}, "v": {"S": "x" * 390_000}})
    assert [len(page) for page in _scanned(world)] == [3, 2]
    for consistent, units in ((False, 143), (True, 286)):
        answer = world.call(
            "Scan",
            TableName="orders",
            ConsistentRead=consistent,
            ReturnConsumedCapacity="TOTAL",
        )
        assert answer["ConsumedCapacity"] == {"TableName": "orders", "CapacityUnits": units}


def test_a_scan_goes_on_where_it_was_though_that_item_is_gone(world: World) -> None:
    world.create_table("orders")
    for count in range(20):
        world.put("orders", {"id": {"S": str(count)}})
    first = world.call("Scan", TableName="orders", Limit=10)
    world.delete("orders", first["LastEvaluatedKey"])
    rest = world.call("Scan", TableName="orders", ExclusiveStartKey=first["LastEvaluatedKey"])
    seen = {item["id"]["S"] for item in first["Items"] + rest["Items"]}
    assert len(seen) == 20


def test_filters_and_projections_shape_a_scan(world: World) -> None:
    world.create_table("orders")
    for count in range(4):
        world.put("orders", {"id": {"S": str(count)}, "m": {"M": {"n": {"N": str(count)}}}})
    answer = world.call(
        "Scan",
        TableName="orders",
        FilterExpression="m.n >= :two",
        ProjectionExpression="m.n",
        ExpressionAttributeValues={":two": {"N": "2"}},
    )
    assert (answer["Count"], answer["ScannedCount"]) == (2, 4)
    assert sorted(item["m"]["M"]["n"]["N"] for item in answer["Items"]) == ["2", "3"]
    assert all(item.keys() == {"m"} for item in answer["Items"])


def test_a_query_is_in_range_key_order(world: World) -> None:
    world.create_table("orders", "h", range_key="r", range_type="N")
    numbers = [10, 9, -1, 100]
    for value in numbers:
        world.put("orders", {"h": {"S": "a"}, "r": {"N": str(value)}})
    world.put("orders", {"h": {"S": "b"}, "r": {"N": "5"}})
    request: dict[str, Any] = {
        "TableName": "orders",
        "KeyConditionExpression": "h = :h AND r > :zero",
        "ExpressionAttributeValues": {":h": {"S": "a"}, ":zero": {"N": "0"}},
    }
    ascending = world.call("Query", **request)["Items"]
    assert [item["r"]["N"] for item in ascending] == ["9", "10", "100"]
    descending = world.call("Query", **request, ScanIndexForward=False, Limit=2)
    assert [item["r"]["N"] for item in descending["Items"]] == ["100", "10"]
    last = world.call(
        "Query",
        **request,
        ScanIndexForward=False,
        ExclusiveStartKey=descending["LastEvaluatedKey"],
    )
    assert [item["r"]["N"] for item in last["Items"]] == ["9"]


def test_eventually_consistent_reads_may_lag(world: World, clock: VirtualClock) -> None:
    world.create_table("orders")
    world.put("orders", {"id": {"S": "old"}, "v": {"N": "1"}})
    world.put("orders", {"id": {"S": "gone"}})
    clock.advance(10)
    world.put("orders", {"id": {"S": "old"}, "v": {"N": "2"}})
    world.delete("orders", {"id": {"S": "gone"}})
    world.configure(stale_reads_s=5)
    stale = {item["id"]["S"]: item.get("v") for item in _items(world, consistent=False)}
    assert stale == {"old": {"N": "1"}, "gone": None}
    assert _items(world, consistent=True) == [{"id": {"S": "old"}, "v": {"N": "2"}}]


def _items(world: World, *, consistent: bool) -> Any:
    return world.call("Scan", TableName="orders", ConsistentRead=consistent)["Items"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"FilterExpression": "status = :a"}, "reserved keyword: status"),
        ({"FilterExpression": "id = :a", "ProjectionExpression": "#b"}, "attribute name: #b"),
        ({"FilterExpression": "id = :a AND id = :b"}, "attribute value: :b"),
        ({"FilterExpression": "id = :a ,"}, 'Syntax error; token: ","'),
        ({"FilterExpression": "id IN :a"}, 'Syntax error; token: ":a"'),
        ({"FilterExpression": "id = :a OR"}, "Syntax error; token: <EOF>"),
        ({"FilterExpression": "id = :a?"}, 'Syntax error; token: "?"'),
        ({}, "unused in expressions: keys: {:a}"),
    ],
)
def test_expressions_that_aws_would_refuse_are_refused(
    world: World, request_: dict[str, str], reason: str
) -> None:
    world.create_table("orders")
    values: dict[str, Any] = {":a": {"S": "a"}}
    with pytest.raises(AwsError, match="ValidationException") as refused:
        world.call("Scan", TableName="orders", ExpressionAttributeValues=values, **request_)
    assert reason in refused.value.message
