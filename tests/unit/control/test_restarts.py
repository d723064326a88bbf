"""When a stage is started again: decisions over its record."""

from __future__ import annotations

from bridge.control.restarts import (
    BACKOFF_MAX_S,
    FAILURES_MAX,
    STEADY_S,
    Again,
    GiveUp,
    Record,
    after_end,
    exit_text,
)


def test_a_wrong_configuration_is_never_tried_again() -> None:
    assert isinstance(after_end(Record(), 2, ran_s=1), GiveUp)


def test_delays_grow_and_it_gives_up() -> None:
    record, delays = Record(), []
    for _ in range(FAILURES_MAX - 1):
        decision = after_end(record, -9, ran_s=1)
        assert isinstance(decision, Again)
        record = decision.record
        delays.append(decision.delay_s)

    assert delays == sorted(delays)
    assert delays[0] < 1
    assert delays[-1] <= BACKOFF_MAX_S
    assert isinstance(after_end(record, 1, ran_s=1), GiveUp)


def test_who_ran_steadily_starts_with_a_clean_record() -> None:
    decision = after_end(Record(FAILURES_MAX - 1), 1, ran_s=STEADY_S)

    assert isinstance(decision, Again)
    assert decision.record.failures == 1


def test_exit_codes_are_said_in_words() -> None:
    assert exit_text(-9) == "SIGKILL"
    assert exit_text(1) == "exit code 1"
