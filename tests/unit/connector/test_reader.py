"""The cursor of one shard, driven by hand."""

from __future__ import annotations

import pytest

from bridge.connector.backoff import Backoff, PollPace
from bridge.connector.checkpoints import Position, Shard
from bridge.connector.failures import Failure, Trouble
from bridge.connector.keyed import Keyed
from bridge.connector.reader import (
    UNREAD_MAX_S,
    GetRecords,
    ListChildren,
    OpenIterator,
    ShardReader,
)
from bridge.connector.records import RecordsPage

NOW_S = 1_763_907_404.0
CHILD = Shard(arn="arn", shard="s", parent="p", start="100")
FIRST = Shard(arn="arn", shard="s", parent=None, start="100", first=True)


def position(sequence: str | None = None, *, whole: bool = False, age_s: float = 0) -> Position:
    at_s = int(NOW_S - age_s)
    return Position(arn="arn", shard="s", epoch=7, sequence=sequence, whole=whole, at_s=at_s)


def reader(
    shard: Shard = CHILD, committed: Position | None = None, *, restart: bool = False
) -> ShardReader:
    return ShardReader(
        "orders",
        shard,
        committed,
        restart=restart,
        pace=PollPace(),
        backoff=Backoff(),
        now_s=NOW_S,
    )


def page(*sequences: str, following: str | None = "next") -> RecordsPage:
    return RecordsPage(
        records=[Keyed(b"k", b"{}") for _ in sequences],
        next_iterator=following,
        last=sequences[-1] if sequences else None,
    )


def failure(trouble: Trouble) -> Failure:
    return Failure(trouble, "x")


def opening(kind: str, sequence: str | None) -> OpenIterator:
    return OpenIterator("arn", "s", kind, sequence)  # type: ignore[arg-type]


def test_it_goes_on_after_the_committed_number() -> None:
    cursor = reader(committed=position("150"))
    assert cursor.request() == opening("AFTER_SEQUENCE_NUMBER", "150")
    assert cursor.opened("it").page is None
    assert cursor.request() == GetRecords("it")
    step = cursor.received(page("160", "170"))
    assert step.page is not None
    assert (step.page.sequence, step.page.ended) == ("170", False)
    assert cursor.request() == GetRecords("next")


def test_a_new_child_is_read_from_its_first_number_so_that_a_loss_shows() -> None:
    cursor = reader(CHILD)
    assert cursor.request() == opening("AT_SEQUENCE_NUMBER", "100")
    step = cursor.failed(failure(Trouble.TRIMMED), 0.5)
    assert step.finished
    assert step.gap == "it was trimmed before it was read"


def test_a_child_whose_start_no_listing_told_is_read_from_the_trim_horizon() -> None:
    bare = Shard(arn="arn", shard="s", parent="p")
    assert reader(bare).request() == opening("TRIM_HORIZON", None)


def test_a_first_shard_that_is_whole_is_remembered_as_such() -> None:
    cursor = reader(FIRST, position())
    assert cursor.request() == opening("AT_SEQUENCE_NUMBER", "100")
    placed = cursor.opened("it").page
    assert placed is not None
    assert (placed.whole, placed.sequence, placed.records) == (True, None, ())


@pytest.mark.parametrize("trouble", [Trouble.TRIMMED, Trouble.INVALID])
def test_an_old_first_shard_is_read_from_what_is_left(trouble: Trouble) -> None:
    cursor = reader(FIRST, position())
    assert cursor.failed(failure(trouble), 0.5).gap is None
    assert cursor.request() == opening("TRIM_HORIZON", None)
    assert cursor.opened("it").gap is None


def test_an_old_first_shard_that_lay_unread_for_a_day_is_a_gap() -> None:
    cursor = reader(FIRST, position(age_s=UNREAD_MAX_S + 1))
    cursor.failed(failure(Trouble.TRIMMED), 0.5)
    step = cursor.opened("it")
    assert step.finished
    assert step.gap is not None


def test_the_last_records_come_with_the_end_and_its_children() -> None:
    cursor = reader(committed=position("150"))
    cursor.opened("it")
    assert cursor.received(page("160", following=None)).page is None
    assert cursor.request() == ListChildren("arn", "s")
    step = cursor.listed((("c", "200"),))
    assert step.finished
    assert step.page is not None
    assert step.page.ended
    assert step.page.sequence == "160"
    assert len(step.page.records) == 1
    assert step.page.children == (("c", "200"),)


@pytest.mark.parametrize("trouble", list(Trouble))
def test_no_failure_to_list_children_loses_the_end(trouble: Trouble) -> None:
    cursor = reader(committed=position("150"))
    cursor.opened("it")
    cursor.received(page(following=None))
    step = cursor.failed(failure(trouble), 0.5)
    assert step.finished
    assert step.page is not None
    assert step.page.ended
    assert step.page.children == ()


def test_an_empty_page_is_no_end() -> None:
    cursor = reader(committed=position("150"))
    cursor.opened("it")
    step = cursor.received(page())
    assert not step.finished
    assert step.page is None
    assert step.delay_s > 0


def test_an_expired_iterator_is_renewed_after_the_last_number_read() -> None:
    cursor = reader(committed=position("150"))
    cursor.opened("it")
    cursor.received(page("160"))
    assert cursor.failed(failure(Trouble.EXPIRED), 0.5).delay_s == 0.0
    assert cursor.request() == opening("AFTER_SEQUENCE_NUMBER", "160")
    cursor.opened("again")
    cursor.failed(failure(Trouble.EXPIRED), 0.5)
    cursor.opened("again")
    assert cursor.failed(failure(Trouble.EXPIRED), 0.5).delay_s == 0.0


def test_iterators_that_expire_at_once_are_not_spun_on() -> None:
    cursor = reader(committed=position("150"))
    waits = [cursor.failed(failure(Trouble.EXPIRED), 0.5).delay_s for _ in range(4)]
    assert waits[1] > 0
    assert waits == sorted(waits)


@pytest.mark.parametrize("trouble", [Trouble.THROTTLED, Trouble.UNAVAILABLE, Trouble.DENIED])
def test_passing_trouble_keeps_the_iterator(trouble: Trouble) -> None:
    cursor = reader(committed=position("150"))
    cursor.opened("it")
    assert cursor.failed(failure(trouble), 0.5).delay_s > 0
    assert cursor.request() == GetRecords("it")


def test_trimmed_under_an_old_iterator_is_asked_about_again_before_it_is_a_gap() -> None:
    cursor = reader(committed=position("150"))
    cursor.opened("it")
    cursor.received(page("160"))
    assert cursor.failed(failure(Trouble.TRIMMED), 0.5).gap is None
    assert cursor.request() == opening("AFTER_SEQUENCE_NUMBER", "160")
    cursor.opened("fresh")
    step = cursor.failed(failure(Trouble.TRIMMED), 0.5)
    assert step.gap is not None
    assert cursor.read_to == "160"


def test_a_new_epoch_is_confirmed_by_the_next_answer_even_an_empty_one() -> None:
    cursor = reader(committed=position("150"))
    cursor.renew(7)
    cursor.opened("it")
    assert cursor.received(page()).page is None
    cursor.renew(8)
    confirmed = cursor.received(page()).page
    assert confirmed is not None
    assert confirmed.sequence == "150"
    assert cursor.received(page()).page is None


def test_a_loss_found_before_that_is_covered_by_the_scan_that_waits_for_it() -> None:
    cursor = reader(committed=position("150"))
    cursor.renew(8)
    assert cursor.loss("gone", scans=True, now_s=NOW_S).epoch == 7
    assert cursor.loss("gone", scans=False, now_s=NOW_S).epoch == 8
    cursor.opened("it")
    cursor.received(page())
    assert cursor.loss("gone", scans=True, now_s=NOW_S).epoch == 8


def test_a_loss_in_a_shard_without_a_position_is_never_taken_as_covered() -> None:
    cursor = reader(CHILD)
    cursor.renew(8)
    assert cursor.loss("gone", scans=True, now_s=NOW_S).epoch == 8


def test_a_shard_that_vanished_in_the_middle_is_a_gap() -> None:
    step = reader(committed=position("150")).failed(failure(Trouble.GONE), 0.5)
    assert step.finished
    assert step.gap is not None
    step = reader(CHILD).failed(failure(Trouble.GONE), 0.5)
    assert step.gap is not None


def test_a_first_shard_that_vanished_before_it_was_read_held_only_what_is_scanned() -> None:
    cursor = reader(FIRST, position())
    assert cursor.failed(failure(Trouble.GONE), 0.5).gap is None
    step = cursor.listed(())
    assert step.page is not None
    assert step.page.ended


def test_a_restart_after_a_gap_places_the_shard_first() -> None:
    cursor = reader(CHILD, position("150"), restart=True)
    assert cursor.request() == opening("TRIM_HORIZON", None)
    placed = cursor.opened("it").page
    assert placed is not None
    assert placed.sequence is None
    assert not placed.whole


def test_a_restart_of_a_shard_that_is_gone_ends_it() -> None:
    cursor = reader(CHILD, position("150"), restart=True)
    cursor.failed(failure(Trouble.GONE), 0.5)
    step = cursor.listed(())
    assert step.page is not None
    assert step.page.ended


def full_page(number: int) -> RecordsPage:
    return RecordsPage([Keyed(b"k", b"{}")] * 1000, next_iterator="next", last=str(1000 + number))


def polls(limit_per_s: int | None, seconds: float) -> tuple[int, int]:
    """A shard with a backlog, answers in 20 ms, on a virtual clock: pages read, calls refused."""
    cursor = reader(committed=position("150"))
    cursor.opened("it")
    now_s, calls, pages, refused = 0.0, list[float](), 0, 0
    while now_s < seconds:
        now_s += 0.02
        recent = [call for call in calls[-20:] if call > now_s - 1.0]
        if limit_per_s is not None and len(recent) >= limit_per_s:
            refused += 1
            step = cursor.failed(failure(Trouble.THROTTLED), 0.5)
        else:
            calls.append(now_s)
            pages += 1
            step = cursor.received(full_page(pages))
        now_s += step.delay_s
    return pages, refused


def test_a_backlog_is_read_as_quickly_as_answers_come() -> None:
    assert polls(None, 10.0) == (pytest.approx(500, abs=2), 0)


def test_a_throttled_shard_finds_the_rate_that_is_allowed() -> None:
    pages, refused = polls(5, 300.0)
    assert pages > 0.6 * 5 * 300
    assert refused < 0.03 * pages
