"""Where a stage may go on, and where going on would be a silent jump."""

import pytest

from bridge.wire.errors import GapError
from bridge.wire.gap import check_position
from bridge.wire.kafka import LogBounds

WHERE = {"where": "t partition 0", "remedy": "Run: tailrace backfill orders"}


@pytest.mark.parametrize(
    ("position", "bounds", "expected"),
    [
        (None, LogBounds(0, 0), 0),
        (None, LogBounds(0, 9), 0),
        (5, LogBounds(0, 9), 5),
        (5, LogBounds(5, 9), 5),
        (9, LogBounds(0, 9), 9),
        (9, LogBounds(9, 9), 9),
    ],
)
def test_nothing_is_missing(position, bounds, expected):
    assert check_position(position, bounds, **WHERE) == expected


def test_a_log_that_starts_later_is_a_gap_with_from_to_and_the_command():
    with pytest.raises(GapError, match=r"GAP: offsets 5 to 7 .*Run: tailrace backfill orders"):
        check_position(5, LogBounds(8, 20), **WHERE)


def test_a_group_with_nothing_stored_misses_what_the_log_lost():
    with pytest.raises(GapError, match="offsets 0 to 7"):
        check_position(None, LogBounds(8, 20), **WHERE)


def test_a_log_that_ends_earlier_is_another_log():
    with pytest.raises(GapError, match="re-created"):
        check_position(21, LogBounds(0, 20), **WHERE)


def test_an_accepted_gap_goes_on_at_the_logs_start():
    assert check_position(5, LogBounds(8, 20), **WHERE, accepted_start=8) == 8
    assert check_position(None, LogBounds(8, 20), **WHERE, accepted_start=20) == 8


def test_a_gap_that_grew_after_it_was_accepted_is_a_gap_again():
    with pytest.raises(GapError):
        check_position(5, LogBounds(9, 20), **WHERE, accepted_start=8)
