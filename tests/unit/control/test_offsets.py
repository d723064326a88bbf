"""Which moves of a position are carried out, and which are refused with the way that keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.control.offsets import positions
from bridge.control.offsets.cli import _moment, _place
from bridge.control.offsets.moving import Move, planned
from bridge.control.offsets.positions import Reader, Standing, find, readers
from bridge.control.plan import load_plan
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import Generations
from bridge.wire.kafka import KafkaConfig, LogBounds

ROWS = Reader(kind="dataset", name="orders", group="t.sink.orders", topics=("t.rows.orders",))
STANDING = [
    Standing("t.rows.orders", 0, LogBounds(10, 90), 50),
    Standing("t.rows.orders", 1, LogBounds(0, 5), None),
]


def wanted(offset: int, partition: int = 0) -> dict[tuple[str, int], int]:
    return {("t.rows.orders", partition): offset}


def test_back_is_a_move_and_the_same_place_is_none() -> None:
    assert planned(ROWS, STANDING, wanted(10)) == [Move("t.rows.orders", 0, 50, 10)]
    assert planned(ROWS, STANDING, wanted(50)) == []


@pytest.mark.parametrize(
    ("offset", "partition", "said", "way"),
    [
        (51, 0, "what is skipped would be lost", "dead letters"),
        (9, 0, "below the log's start, 10", "tailrace backfill TABLE"),
        (0, 1, "it has read nothing there yet", "by itself"),
        (0, 7, "does not read partition 7", "tailrace offsets show"),
    ],
)
def test_what_breaks_a_promise_is_refused(offset: int, partition: int, said: str, way: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        planned(ROWS, STANDING, wanted(offset, partition))
    assert said in refused.value.what
    assert way in refused.value.remedy


def test_one_wrong_place_moves_none() -> None:
    with pytest.raises(ConfigurationError):
        planned(ROWS, STANDING, wanted(10) | wanted(3, 1))


CHAINS = {
    "select": ('.select("dynamodb.NewImage.status.S")', "Dataset(id='d')", False),
    "explode": (
        '.explode("dynamodb.NewImage.l.L as l").select("dynamodb.Keys.id.S as id", "l.S as l")',
        "Dataset(id='d', key=['id', 'l'])",
        True,
    ),
    "group": (
        '.select("dynamodb.NewImage.status.S").group_by("status").agg(n="count()")',
        "Dataset(id='d')",
        True,
    ),
    "memory": (
        '.select("eventName").apply_stateful(lambda r, s: r, schema={"eventName": "string"})',
        "Dataset(id='d')",
        True,
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_transform_that_keeps_state_is_not_moved(
    chain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, dataset, stateful = CHAINS[chain]
    file = tmp_path / "t.py"
    file.write_text(
        "from bridge import DynamoDBSource\n"
        "from processors import Input, Output, Stream, transform\n"
        "from sinks import Dataset\n"
        "@transform(input_mapping={'i': Input(Stream(source=DynamoDBSource("
        "table_name='orders', region='r')))},\n"
        f"    output_mapping={{'o': Output({dataset})}})\n"
        f"def copied(i):\n    return i{text}\n"
    )
    monkeypatch.setattr(positions, "read_generations", lambda _: Generations())
    known = readers(KafkaConfig(brokers="nowhere:1", namespace="t"), [load_plan(str(file))])
    copied = find(known, "copied")
    assert copied.topics[0] == "t.changes.orders"
    assert (len(copied.topics) == 2) is (chain == "group")
    assert find(known, "dataset:d").topics == ("t.rows.d",)
    standing = [Standing(copied.topics[0], 0, LogBounds(0, 90), 50)]
    if not stateful:
        assert planned(copied, standing, {(copied.topics[0], 0): 1})
        return
    with pytest.raises(ConfigurationError, match=r"it keeps state.*tailrace rebuild"):
        planned(copied, standing, {(copied.topics[0], 0): 1})


@pytest.mark.parametrize(
    ("text", "said"), [("table:orders", "tailrace backfill orders"), ("nobody", "dataset:orders")]
)
def test_who_can_not_be_moved_is_told_the_way(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        find([ROWS], text)


@pytest.mark.parametrize("text", ["0:10", "orders:0:10", "t.rows.orders:0:10"])
def test_places_are_spelled_short_or_long(text: str) -> None:
    assert _place(ROWS, text) == (("t.rows.orders", 0), 10)


@pytest.mark.parametrize("text", ["10", "0:x", "-1:5", "others:0:10", "0:10:"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a place of it"):
        _place(ROWS, text)


def test_a_time_is_utc_unless_it_says_so() -> None:
    found: Any = _moment("1970-01-01T01:00:00")
    assert found == _moment("1970-01-01T02:00:00+01:00") == 3600
    with pytest.raises(ConfigurationError, match="nor a time"):
        _moment("yesterday")
