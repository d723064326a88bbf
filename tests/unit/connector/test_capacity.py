"""The read capacity budget of scans: what it allows over time, whatever pages cost."""

from __future__ import annotations

import heapq
import random

import pytest

from bridge.connector.backoff import Backoff
from bridge.connector.capacity import ReadBudget, units_of
from bridge.connector.checkpoints import Segment
from bridge.connector.failures import Failure, Trouble
from bridge.connector.records import ScanPage
from bridge.connector.segment import SegmentReader
from tests.unit.connector.test_shards import GENERATION, TABLE


def reader(budget: ReadBudget | None, index: int = 0) -> SegmentReader:
    segment = Segment(table=TABLE, epoch=7, index=index)
    return SegmentReader(GENERATION, segment, budget=budget, backoff=Backoff())


def spent(budget: ReadBudget, readers: int, seconds: float, cost: float) -> float:
    """Units that so many segments consume at full speed, on a clock of their own."""
    draw, total = random.Random(1), 0.0
    due = [(0.0, n, reader(budget, n)) for n in range(readers)]
    while due[0][0] < seconds:
        now_s, number, segment = heapq.heappop(due)
        wait_s = segment.wait_s(now_s)
        if wait_s == 0.0:
            units = cost * draw.uniform(0.5, 1.5)
            total += units
            segment.received(ScanPage(next_start="x", consumed_units=units))
            wait_s = 0.01  # how long an answer takes
        heapq.heappush(due, (now_s + wait_s, number, segment))
    return total


@pytest.mark.parametrize("readers", [1, 8])
@pytest.mark.parametrize("cost", [0.5, 128.0])
def test_all_segments_together_take_what_is_allowed(readers: int, cost: float) -> None:
    budget = ReadBudget(50.0)
    total = spent(budget, readers, seconds=600.0, cost=cost)
    most = 50.0 * 600 + 256.0
    assert total <= most
    if readers * cost * 100 > 50:
        assert total >= 0.9 * 50.0 * 600


def test_a_worker_takes_its_share_of_the_buckets() -> None:
    budget = ReadBudget(50.0)
    budget.share = 0.25
    assert spent(budget, 4, seconds=600.0, cost=16.0) <= 12.5 * 600 + 256.0
    budget.share = 0.0
    assert budget.reserve(1.0, 10**6) > 0


def test_a_failed_page_costs_nothing_and_none_is_without_limit() -> None:
    budget = ReadBudget(1.0)
    segment = reader(budget)
    assert segment.wait_s(100.0) == 0.0
    assert segment.wait_s(100.0) > 0.0
    assert segment.wait_s(200.0) > 0.0
    other = reader(ReadBudget(1.0))
    assert other.wait_s(100.0) == 0.0
    other.failed(Failure(Trouble.THROTTLED, "x"), 0.5)
    assert other.wait_s(100.0) == 0.0
    assert reader(None).wait_s(0.0) == 0.0


def test_a_service_that_does_not_tell_is_charged_by_size() -> None:
    assert units_of(1024 * 1024, consistent=True) == 256.0
    assert units_of(1024 * 1024, consistent=False) == 128.0
    assert units_of(1, consistent=False) == 0.5
    budget = ReadBudget(1.0)
    segment = reader(budget)
    segment.wait_s(0.0)
    segment.received(ScanPage(next_start="x", size_bytes=8192))
    assert segment.wait_s(0.99) > 0.0
    assert segment.wait_s(1.0) == 0.0
