"""Reads are spread by what their answers say they took."""

from __future__ import annotations

import pytest

from bridge.control.read_budget import ReadBudget


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize(
    "consumed",
    [{"CapacityUnits": 10.0}, [{"CapacityUnits": 4.0}, {"CapacityUnits": 6.0}]],
    ids=["scan", "batch"],
)
def test_a_page_is_paid_before_the_next_one(consumed: object) -> None:
    time = Time()
    budget = ReadBudget(5, clock=time, sleep=time.sleep)
    for _ in range(3):
        budget.wait()
        budget.pay({"ConsumedCapacity": consumed})
    budget.wait()

    assert time.now_s == pytest.approx(100 + 3 * 10 / 5)
    assert budget.arguments == {"ReturnConsumedCapacity": "TOTAL"}


def test_a_pause_is_not_saved_up() -> None:
    time = Time()
    budget = ReadBudget(5, clock=time, sleep=time.sleep)
    time.now_s += 60
    budget.pay({"ConsumedCapacity": {"CapacityUnits": 10}})
    budget.wait()

    assert time.now_s == pytest.approx(162)


def test_without_a_limit_nothing_is_asked_for_and_nothing_waits() -> None:
    time = Time()
    budget = ReadBudget(None, clock=time, sleep=time.sleep)
    budget.pay({})
    budget.wait()

    assert (time.now_s, budget.arguments) == (100.0, {})
