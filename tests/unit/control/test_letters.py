"""Dead letters: which are meant, how they are counted, what is written back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from bridge.control.letters import Letter, Selection, grouped, parse_address
from bridge.control.replay import addressed, original, refusal
from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import change_origin, stamp, stamp_record
from bridge.wire.errors import ConfigurationError, WireError
from bridge.wire.topics import TopicNames

NAMES = TopicNames("t")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def letter(
    offset: int = 5,
    *,
    error: str = "WireError",
    topic: str = "t.changes.orders",
    stage: str = "processor",
    at: datetime = NOON,
    value: bytes = b"{}",
) -> Letter:
    cause = DeadLetter(stage, "copy", topic, 2, offset, error, f"reason {offset}")
    return Letter((2, offset + 100), cause, at, b"k", value, (("offset", b"5"),))


@pytest.mark.parametrize("text", ["", "3", "a:1", "1:", "1:-2", "1:2:3", "²:1"])
def test_an_address_is_two_numbers(text: str) -> None:
    assert parse_address("2:118", "here") == (2, 118)
    with pytest.raises(ConfigurationError, match="PARTITION:OFFSET"):
        parse_address(text, "here")


def test_nothing_is_selected_by_accident() -> None:
    with pytest.raises(ConfigurationError, match="no letter is selected"):
        Selection().check("here")
    Selection(everything=True).check("here")


def test_a_selection_is_narrowed_by_each_of_its_parts() -> None:
    found = letter()

    assert Selection(everything=True).holds(found)
    assert Selection(addresses=frozenset({(2, 105)})).holds(found)
    assert not Selection(addresses=frozenset({(2, 104)})).holds(found)
    assert not Selection(error="Other").holds(found)
    assert Selection(error="WireError", since=NOON).holds(found)
    assert not Selection(error="WireError", since=NOON + timedelta(seconds=1)).holds(found)


def test_letters_are_grouped_by_cause_with_what_became_of_them() -> None:
    later = NOON + timedelta(minutes=1)
    letters = [letter(1), letter(2, at=later), letter(3), letter(4, error="Rare")]

    groups = grouped(letters, {(2, 101): "replayed", (2, 103): "dropped"})

    assert [(g.error, g.open, g.replayed, g.dropped) for g in groups] == [
        ("Rare", 1, 0, 0),
        ("WireError", 1, 1, 1),
    ]
    assert (groups[1].first, groups[1].last, groups[1].example) == (NOON, later, (2, 102))


def change() -> bytes:
    # Spaces and an attribute that looks like ours: neither may be touched.
    record = (
        b'{"dynamodb": {"NewImage":{"tailrace":{"S":"\\"tailrace\\":{}"}}}, "eventName":"INSERT" }'
    )
    return stamp_record(record, stamp(7, "shard-1", "arn"))


def test_a_change_is_addressed_and_nothing_else_of_it_changes() -> None:
    before, after = change(), addressed(change(), "copy")

    origin = change_origin(orjson.loads(after))
    assert (origin.epoch, origin.shard, origin.addressed_to) == (7, "shard-1", "copy")
    head = before.rindex(b'"tailrace"')
    assert after[:head] == before[:head]
    assert addressed(after, "copy") == after


@pytest.mark.parametrize(
    "value", [b"", b"no json", b"[]", b'{"tailrace":1}', b'"tailrace":{}', b"{}"]
)
def test_what_is_no_change_cannot_be_addressed(value: bytes) -> None:
    with pytest.raises(WireError, match="addressed"):
        addressed(value, "copy")


def test_rows_go_back_as_they_are() -> None:
    row = letter(topic="t.rows.out", stage="sink", value=b'{"_key":"k"}')

    assert original(row, NAMES) == b'{"_key":"k"}'


def test_a_contribution_goes_back_as_a_repetition() -> None:
    topic = NAMES.contributions("out")
    value = b'{"v":1,"item":"i","version":"7.1","rows":[["a",1]],"from":[0,5,0],"at":null}'

    written = original(letter(topic=topic, value=value), NAMES)

    assert orjson.loads(written or b"") == {**orjson.loads(value), "from": None}
    with pytest.raises(WireError, match="repeated"):
        original(letter(topic=topic, value=b"[]"), NAMES)


def test_what_the_topic_no_longer_holds_is_refused() -> None:
    def starts(_topic: str) -> dict[int, int]:
        return {2: 5}

    assert refusal(letter(5), starts) is None
    assert "backfill" in (refusal(letter(4), starts) or "")
    assert "gone" in (refusal(letter(5), lambda _topic: {}) or "")
    assert "backfill" in (refusal(letter(stage="connector"), starts) or "")
