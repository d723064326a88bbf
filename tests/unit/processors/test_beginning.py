"""A transform that begins late: which notes hold, what it asks, what it takes of which scan."""

from __future__ import annotations

import pytest

from bridge.wire.envelope import Origin, Sealed
from bridge.wire.errors import UnknownVersionError, WireError
from bridge.wire.kafka import LogBounds
from processors.admission import Admission
from processors.beginning import Beginning, in_force, is_late

TOPIC = "t.changes.orders"


def note(starts: dict[int, int], limits: dict[int, int]) -> Beginning:
    return Beginning("late", TOPIC, starts, limits)


def test_of_notes_written_at_once_the_first_holds_until_the_log_starts_elsewhere() -> None:
    first, second = note({0: 5, 1: 0}, {0: 9, 1: 4}), note({0: 5, 1: 0}, {0: 11, 1: 4})
    later = note({0: 8, 1: 0}, {0: 12, 1: 4})
    assert in_force([]) is None
    assert in_force([first, second, first]) == first
    assert in_force([first, second, later]) == later


def test_the_same_note_asks_for_the_same_scan_and_another_one_for_another() -> None:
    first = note({0: 5}, {0: 9})
    assert first.request == note({0: 5}, {0: 9}).request
    others = [note({0: 6}, {0: 9}), note({0: 5}, {0: 10}), Beginning("x", TOPIC, {0: 5}, {0: 9})]
    assert len({first.request, *(other.request for other in others)}) == 4


def test_a_note_is_read_back_as_it_was_written() -> None:
    first = note({0: 5, 10: 3}, {0: 9, 10: 3})
    # Replicas of two releases share the note: these bytes stay.
    assert first.key() == b'["beginning","late","t.changes.orders"]'
    assert first.value() == b'{"limits":{"0":9,"10":3},"starts":{"0":5,"10":3},"v":1}'
    assert Beginning.read("late", TOPIC, first.value()) == first
    with pytest.raises(UnknownVersionError):
        Beginning.read("late", TOPIC, first.value().replace(b'"v":1', b'"v":2'))


@pytest.mark.parametrize(
    ("stored", "starts", "late"),
    [
        ({0: None, 1: None}, (0, 0), False),
        ({0: None, 1: None}, (0, 7), True),
        ({0: 3, 1: None}, (0, 7), False),
        ({0: 3, 1: 9}, (5, 7), False),
    ],
)
def test_late_is_who_read_nothing_of_a_log_that_lost_its_front(stored, starts, late) -> None:
    bounds = {p: LogBounds(start, 20) for p, start in enumerate(starts)}
    assert is_late(stored, bounds) is late


READ, STREAM = {"eventName": "READ"}, {"eventName": "MODIFY"}
ALL, MINE, THEIRS = Origin(7, "s"), Origin(7, "s", "late"), Origin(7, "s", "other")


@pytest.mark.parametrize(
    ("record", "origin", "below", "above"),
    [
        (STREAM, ALL, True, True),
        (READ, ALL, False, True),
        (READ, MINE, False, True),
        (STREAM, MINE, False, True),  # a replayed dead letter: a copy behind what it belongs to
        (READ, THEIRS, False, False),
    ],
)
def test_below_its_limits_it_takes_the_stream_alone(record, origin, below, above) -> None:
    admission = Admission("late", {TOPIC: {0: 10}})
    assert admission.takes(record, origin, TOPIC, (0, 9)) is below
    assert admission.takes(record, origin, TOPIC, (0, 10)) is above
    assert admission.takes(record, origin, "t.changes.other", (0, 9)) is above
    assert admission.takes(record, origin, TOPIC, (1, 0)) is above


def test_without_limits_it_takes_what_is_not_for_others() -> None:
    admission = Admission("late")
    assert admission.takes(READ, ALL, TOPIC, (0, 0))
    assert admission.takes(READ, MINE, TOPIC, (0, 0))
    assert not admission.takes(READ, THEIRS, TOPIC, (0, 0))


def test_the_seal_of_its_own_scan_is_a_seal_to_its_datasets() -> None:
    admission = Admission("late", {TOPIC: {0: 10}})
    plain, mine = Sealed("orders", 7, 0, 4), Sealed("orders", 7, 0, 4, addressed_to="late")
    for seal in (plain, mine):
        assert admission.seal(seal.encode(), TOPIC, (0, 9)) is None
        assert admission.seal(seal.encode(), TOPIC, (0, 10)) == (plain, plain.encode())
    other = Sealed("orders", 7, 0, 4, addressed_to="other")
    assert admission.seal(other.encode(), TOPIC, (0, 10)) is None
    with pytest.raises(WireError):
        admission.seal(b"{}", TOPIC, (0, 10))
