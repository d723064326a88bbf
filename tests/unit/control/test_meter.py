"""Rates over a window."""

from __future__ import annotations

from bridge.control.meter import Meter
from bridge.control.scrape import Counted


def test_rate_is_the_mean_over_the_window() -> None:
    meter = Meter(window_s=2)
    for second in range(6):
        meter.observe(second, second * 10)

    assert meter.rate == 10
    assert meter.history[-1] == 10


def test_rate_falls_to_zero_when_nothing_grows() -> None:
    meter = Meter(window_s=2)
    for second, count in enumerate([0, 50, 50, 50, 50]):
        meter.observe(second, count)

    assert meter.rate == 0


def test_one_observation_has_no_rate() -> None:
    meter = Meter()
    meter.observe(1, 1000)

    assert meter.rate == 0


def test_a_counter_goes_on_after_a_restart() -> None:
    counted = Counted()

    assert [counted.observe(n) for n in (3, 5, 0, 2)] == [3, 5, 5, 7]
