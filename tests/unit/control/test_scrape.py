"""Reading a stage's metrics and health, from the server it really has."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from bridge.control.ports import free_port
from bridge.control.scrape import health, scrape
from bridge.wire.observe import Observatory


class Part:
    """What the stage says of itself."""

    problem: str | None = None
    port = 0


@pytest.fixture
def part() -> Iterator[Part]:
    """A served registry."""
    found = Part()
    registry = CollectorRegistry()
    rows = Counter("tailrace_sink_rows_total", "rows", ["dataset", "kind"], registry=registry)
    rows.labels("a", "upserted").inc(3)
    rows.labels("b", "upserted").inc(4)
    rows.labels("b", "stale").inc(9)
    lag = Gauge("tailrace_sink_lag_seconds", "lag", ["dataset"], registry=registry)
    lag.labels("a").set(0.5)
    lag.labels("b").set(2)
    observatory = Observatory(
        host="127.0.0.1", port=0, health=lambda: found.problem, stage="sink", registry=registry
    )
    observatory.start()
    found.port = observatory.port
    yield found
    observatory.close()


def test_totals_and_maxima_by_label(part: Part) -> None:
    found = scrape(part.port)

    assert found is not None
    assert found.total("tailrace_sink_rows_total", kind="upserted") == 7
    assert found.total("tailrace_sink_rows_total", dataset="b") == 13
    assert found.largest("tailrace_sink_lag_seconds") == 2
    assert found.total("absent") == 0
    assert found.largest("absent") is None


def test_health_is_none_or_the_reason(part: Part) -> None:
    assert health(part.port) is None
    found = scrape(part.port)
    assert found is not None
    assert found.values("tailrace_stage_healthy", stage="sink") == [1.0]

    part.problem = "no progress for 40 s"
    assert health(part.port) == "no progress for 40 s"
    found = scrape(part.port)
    assert found is not None
    assert found.values("tailrace_stage_healthy", stage="sink") == [0.0]


def test_who_connects_and_says_nothing_keeps_nobody_waiting(part: Part) -> None:
    with socket.create_connection(("127.0.0.1", part.port)):
        assert health(part.port) is None


def test_who_does_not_answer_has_no_figures() -> None:
    port = free_port()

    assert scrape(port) is None
    assert health(port) == "does not answer"
