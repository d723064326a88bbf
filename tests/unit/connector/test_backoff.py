"""How long is waited, in numbers."""

import threading
from collections import deque

import pytest

from bridge.connector.backoff import Backoff, CallRate, PollPace


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


def test_a_throttled_shard_keeps_a_distance_and_eases_it_slowly() -> None:
    pace = PollPace()
    assert pace.after_answer_s(0.0) == 0.0
    spacing = pace.after_throttle_s(0.0)
    assert spacing == 0.2
    assert pace.after_throttle_s(spacing) == 0.4
    assert pace.after_throttle_s(1.9) == 2.0
    eased = [spacing]
    while eased[-1]:
        eased.append(pace.after_answer_s(eased[-1]))
    assert eased == sorted(eased, reverse=True)
    assert 200 < len(eased) < 300


def most_in_a_second(times: list[float]) -> int:
    most, recent = 0, deque[float]()
    for time_s in sorted(times):
        recent.append(time_s)
        while recent[0] <= time_s - 1.0:
            recent.popleft()
        most = max(most, len(recent))
    return most


def test_a_rate_holds_in_every_second_whoever_asks() -> None:
    rate = CallRate(per_s=7.0, burst=3)
    now_s, made, left_out = 100.0, [], 0
    for turn in range(300):
        now_s += 0.02
        if turn % 3 == 0:
            made.append(now_s + rate.reserve(now_s))
        elif rate.free(now_s):
            made.append(now_s)
        else:
            left_out += 1
    assert most_in_a_second(made) <= 10
    assert left_out > 100
    assert made[:1] == [100.02], "the first waits for nobody"


def test_after_a_pause_a_few_calls_go_at_once() -> None:
    rate = CallRate(per_s=7.0, burst=3)
    assert [rate.reserve(0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rate.reserve(0.0) == pytest.approx(1 / 7)
    assert not rate.free(0.1)
    assert [rate.free(60.0) for _ in range(4)] == [True, True, True, False]


def test_threads_share_one_rate() -> None:
    rate, waits, lock = CallRate(per_s=7.0, burst=3), [], threading.Lock()

    def ask() -> None:
        for _ in range(50):
            wait_s = rate.reserve(5.0)
            with lock:
                waits.append(wait_s)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most_in_a_second(waits) <= 10
    assert max(waits) == pytest.approx(197 / 7)
