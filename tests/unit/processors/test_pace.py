"""Slow records are counted and named by their place, never by what they hold."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from prometheus_client import REGISTRY

from processors.pace import Pace


@dataclass
class Stub:
    at: int

    def topic(self):
        return "ns.changes.orders"

    def partition(self):
        return 3

    def offset(self):
        return self.at


def counted(transform: str) -> float:
    labels = {"transform": transform}
    return REGISTRY.get_sample_value("tailrace_processor_slow_records_total", labels) or 0.0


def test_a_change_that_takes_long_is_counted_and_named(caplog):
    now = [10.0]
    pace = Pace("slow_one", [Stub(7), Stub(8), Stub(9)], 100.0, lambda: now[0])
    now[0] += 0.9
    assert not pace.over()
    now[0] += 1.1
    with caplog.at_level(logging.WARNING, logger="processors.pace"):
        assert not pace.over()
    now[0] = 100.0
    assert pace.over()
    assert counted("slow_one") == 2
    first = next(r for r in caplog.records if r.getMessage() == "slow record")
    assert (first.topic, first.partition, first.offset, first.seconds) == (
        "ns.changes.orders",
        3,
        8,
        1.1,
    )


def test_quick_ones_are_not():
    now = [10.0]
    pace = Pace("quick_one", [Stub(1), Stub(2)], 11.0, lambda: now[0])
    now[0] += 0.5
    assert not pace.over()
    now[0] += 0.5
    assert pace.over()
    assert counted("quick_one") == 0
