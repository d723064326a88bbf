"""What is too large, too deep, too wide or no text: a dead letter, and the next change is taken."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from processors.testing import Changes, Sent, TransformDriver
from tests.unit.processors.build import declare

DEEP = 100_000
SELECT = declare(
    lambda s: s.select(
        "dynamodb.NewImage.status.S", "dynamodb.NewImage.n.N", "dynamodb.NewImage.m.M"
    ),
    name="selected",
)
WHOLE = declare(lambda s: s, name="whole")
LINES = declare(
    lambda s: s.explode("dynamodb.NewImage.l.L as line").select(
        "dynamodb.Keys.id.S as id", "line.S as line"
    ),
    name="lines",
    key=["id", "line"],
)


def replaced(sent: Sent, old: bytes, new: bytes) -> Sent:
    assert old in sent.value
    return Sent(sent.key, sent.value.replace(old, new), sent.headers)


def nested(levels: int, inner: Any) -> Any:
    for _ in range(levels):
        inner = {"M": {"a": inner}}
    return inner


def odd(changes: Changes, kind: str) -> Sent:
    """A change that nothing can be made of."""
    good = changes.insert({"id": "x", "status": "MARK", "n": 1})
    mark, number = b'"MARK"', b'{"N":"1"}'
    match kind:
        case "levels":
            return replaced(good, mark, b"[" * DEEP + b"]" * DEEP)
        case "maps":
            deep = b'{"M":{"a":' * DEEP + b'{"S":"x"}' + b"}}" * DEEP
            return replaced(good, b'{"S":"MARK"}', deep)
        case "not UTF-8":
            return replaced(good, b"MARK", b"\xff\xfe")
        case "half a pair":
            return replaced(good, b"MARK", b"\\ud800")
        case "an exponent":
            return replaced(good, number, b'{"N":"1E999999999"}')
        case "no number":
            return replaced(good, number, b'{"N":"NaN"}')
        case "cut off":
            return Sent(good.key, good.value[:-20], good.headers)
        case "a list":
            return Sent(good.key, b"[1]", good.headers)
        case _:
            return Sent(good.key, b"", good.headers)


KINDS = ("levels", "maps", "not UTF-8", "half a pair", "an exponent", "no number", "cut off",
         "a list", "empty")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transform", [SELECT, WHOLE], ids=["select", "whole"])
def test_an_odd_change_is_set_aside_and_the_next_is_taken(transform: Any, kind: str) -> None:
    changes = Changes(key=["id"])
    with TransformDriver(transform) as driver:
        driver.send(odd(changes, kind), changes.insert({"id": "y", "status": "fine", "n": 2}))
        assert [row["status"] for row in driver.rows()] == ["fine"]
        (letter,) = driver.dead_letters()
    assert letter.error != "RecursionError"
    assert "MARK" not in letter.reason
    assert len(letter.reason) < 500


def test_as_deep_and_as_long_as_dynamodb_allows_is_fine() -> None:
    # Source: quotas of Amazon DynamoDB: 32 levels, 400 KB an item.
    changes = Changes(key=["id"], typed=True)
    item = {
        "id": {"S": "x"},
        "status": {"S": "a\u0000b" + "ü" * 190_000},
        "n": {"N": "9" * 20},
        "m": nested(31, {"S": "deep"}),
    }
    for transform in (SELECT, WHOLE):
        with TransformDriver(transform) as driver:
            driver.send(changes.insert(item))
            assert driver.dead_letters() == []
            (row,) = driver.rows()
            assert row["status"] == item["status"]["S"]
            column = orjson.loads(row["m"])
            for _ in range(31):
                column = column["a"]
            assert column == "deep"


def test_an_item_with_more_columns_than_a_dataset_takes_is_set_aside_whole() -> None:
    changes = Changes(key=["id"])
    with TransformDriver(WHOLE) as driver:
        wide = {"id": "x", **{f"c{n}": n for n in range(10_001)}}
        driver.send(changes.insert(wide), changes.insert({"id": "y", "status": "fine"}))
        (letter,) = driver.dead_letters()
        assert "1,000" in letter.reason
        assert [row["_key"] for row in driver.rows()] == ['{"id":{"S":"y"}}']


def test_a_list_of_many_lines_makes_as_many_rows() -> None:
    changes = Changes(key=["id"])
    with TransformDriver(LINES) as driver:
        driver.send(changes.insert({"id": "x", "l": [f"line-{n}" for n in range(20_000)]}))
        assert driver.dead_letters() == []
        assert len(driver.table()) == 20_000
