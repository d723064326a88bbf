"""How long is waited, in numbers."""

import pytest

from bridge.connector.backoff import Backoff, PollPace


def test_delays_double_up_to_the_cap_with_half_of_each_drawn() -> None:
    backoff = Backoff(first_s=0.1, cap_s=1.0)
    assert [backoff.delay_s(n, 0.0) for n in (1, 2, 3)] == [0.05, 0.1, 0.2]
    assert backoff.delay_s(1, 0.999) == pytest.approx(0.1, rel=0.01)
    assert backoff.delay_s(10_000, 0.0) == 0.5


def test_a_full_page_is_followed_at_once_and_an_empty_one_ever_later() -> None:
    pace = PollPace(busy_s=0.25, idle_s=1.0)
    assert pace.delay_s(1000, 10_000, 0.5) == 0.0
    assert pace.delay_s(3, 900_000, 0.5) == 0.0
    assert pace.delay_s(3, 300, 1.0) == 0.25
    waits = [0.25]
    for _ in range(5):
        waits.append(pace.delay_s(0, 50, waits[-1]))
    assert waits == sorted(waits)
    assert waits[-1] == 1.0
