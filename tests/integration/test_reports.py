"""Reports through a real broker: what a process says is read back, and its last word too."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bridge.wire.kafka import KafkaConfig
from bridge.wire.reports import Reporter, read_reports, this_process
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@dataclass
class Thing:
    dataset: str
    stalled: str | None


def test_a_process_says_how_it_is_and_as_its_last_word_why_it_ended(kafka: KafkaConfig):
    assert read_reports(kafka) == ()
    troubles: list[str] = []
    who = this_process(kafka, "sink", "orders.py", ["out"], "h:1")
    reporter = Reporter(
        kafka,
        who,
        lambda: troubles[-1] if troubles else None,
        lambda: (Thing("out", None),),
        interval_s=0.2,
    )
    with reporter:
        wait_until(lambda: read_reports(kafka), timeout_s=30, what="the first report")
        (first,) = read_reports(kafka)
        assert (first.report.problem, first.report.stopped) == (None, None)
        assert first.report.things == ({"dataset": "out", "stalled": None},)
        assert (first.report.covers, first.report.metrics) == (("out",), "h:1")
        troubles.append("disk full")
        wait_until(
            lambda: read_reports(kafka)[0].report.problem == "disk full",
            timeout_s=30,
            what="a problem to be seen",
        )
        reporter.stopped = "no space left"
    (last,) = read_reports(kafka)
    assert last.report.stopped == "no space left"
    assert last.at_s >= first.at_s > 0


def test_a_trouble_that_comes_or_goes_is_said_before_the_next_report_is_due(kafka: KafkaConfig):
    troubles: list[str] = []
    reporter = Reporter(
        kafka,
        this_process(kafka, "sink", "orders.py", ["out"]),
        lambda: troubles[-1] if troubles else None,
        interval_s=3600,
    )
    with reporter:
        wait_until(lambda: read_reports(kafka), timeout_s=30, what="the first report")
        for word in ("disk full", None):
            troubles[:] = [word] if word else []
            wait_until(
                lambda word=word: read_reports(kafka)[0].report.problem == word,
                timeout_s=30,
                what=f"{word} to be seen",
            )
