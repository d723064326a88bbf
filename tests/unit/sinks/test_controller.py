"""Batches close at the first bound they reach."""

from __future__ import annotations

import pytest

from sinks.controller import Close, FixedBounds, Pending, Wait

BOUNDS = FixedBounds(rows_max=100, bytes_max=1_000, freshness_s=1.0, fetch_rows=40)


@pytest.mark.parametrize(
    ("pending", "reason"),
    [
        (Pending(100, 0, 0.0), "rows"),
        (Pending(1, 1_000, 0.0), "bytes"),
        (Pending(1, 1, 1.0), "freshness"),
    ],
)
def test_a_bound_closes(pending, reason):
    assert BOUNDS.decide(pending) == Close(reason)


def test_an_empty_batch_waits_however_old():
    assert isinstance(BOUNDS.decide(Pending(0, 0, 99.0)), Wait)


def test_the_wait_never_passes_the_freshness_target():
    assert BOUNDS.decide(Pending(10, 10, 0.95)).timeout_s == pytest.approx(0.05)


def test_what_is_fetched_fits_into_the_batch():
    assert BOUNDS.decide(Pending(90, 90, 0.0)).rows == 10
    assert BOUNDS.decide(Pending(10, 100, 0.0)).rows == 40
    assert BOUNDS.decide(Pending(1, 600, 0.0)).rows == 1  # messages are big
