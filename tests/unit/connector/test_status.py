"""A gap as a person reads it, a feed's status, and the gauges and counters of the connector."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from prometheus_client import REGISTRY

from bridge.connector import metrics
from bridge.connector.checkpoints import Record, SealedMark, Segment
from bridge.connector.gaps import gap_line
from bridge.connector.status import TableStatus, show_table, table_status
from bridge.connector.tasks import Feed
from bridge.wire.observe import Observatory
from tests.unit.connector.test_shards import ARN, GENERATION, TABLE, gap, position, shard, view_of

NOW_S = 1000.0
ITEMS_ONLY = replace(GENERATION, arn=ARN.split("/stream/")[0])


def feed(**more: Any) -> Feed:
    region = cast("Any", SimpleNamespace(name="us-west-2"))
    return Feed(table=TABLE, region=region, key_names=("id",), **more)


def status(*records: Record, **more: Any) -> TableStatus:
    return table_status(view_of(*records), feed(**more), NOW_S)


def segment(index: int, **more: Any) -> Segment:
    return Segment(table=TABLE, epoch=7, index=index, **more)


def test_a_gap_names_table_shard_from_to_and_the_command() -> None:
    line = gap_line(gap("shard-1"))
    assert "table orders" in line
    assert "shard-1" in line
    assert "sequence number 5" in line
    assert "1970-01-01T00:00:00Z" in line
    assert line.endswith("tailrace backfill orders")


def test_a_gap_is_in_the_status_with_its_shard_from_and_to() -> None:
    (found,) = status(GENERATION, shard("s"), gap("s")).gaps
    assert (found.table, found.shard, found.after, found.found_at_s) == (TABLE, "s", "5", 0)
    repaired = replace(GENERATION, epoch=8)
    assert not status(repaired, shard("s"), gap("s")).gaps


def test_the_status_says_what_is_read() -> None:
    assert status().feed == "not begun"
    assert status(GENERATION).feed == "items and changes"
    assert status(replace(GENERATION, segments=0)).feed == "changes only"
    items = status(ITEMS_ONLY, SealedMark(table=TABLE, epoch=7))
    assert (items.feed, items.sealed, items.hours_to_trim) == ("items only", True, None)


def test_shards_are_counted_by_what_can_be_done_with_them() -> None:
    found = status(
        GENERATION, shard("a"), position("a", ended=True), shard("b", "a"), shard("c", "b")
    )
    assert (found.shards_open, found.shards_waiting, found.shards_done) == (1, 1, 1)


def test_the_oldest_unread_change_tells_the_hours_that_are_left() -> None:
    reading = feed()
    reading.behind("s", NOW_S - 1800.0)
    reading.behind("quiet", 0.0)
    found = table_status(view_of(GENERATION), reading, NOW_S)
    assert found.lag_s == pytest.approx(1800.0, abs=1)
    assert found.hours_to_trim == pytest.approx(23.5, abs=0.01)


def test_what_nobody_reads_any_more_ages_towards_its_trimming() -> None:
    view, reading = view_of(GENERATION), feed()
    reading.lags["quiet"] = (0.0, NOW_S)  # the last answer held nothing
    caught_up = table_status(view, reading, NOW_S + 1)
    silent = table_status(view, reading, NOW_S + 20 * 3600)
    lost = table_status(view, reading, NOW_S + 30 * 3600)
    assert caught_up.hours_to_trim == pytest.approx(24, abs=0.01)
    assert silent.hours_to_trim == pytest.approx(4, abs=0.01)
    # What was not read may hold changes: the lag is the silence.
    assert (silent.lag_s, lost.hours_to_trim) == (20 * 3600, 0)


def test_progress_of_a_scan_counts_items_against_the_expected_ones() -> None:
    found = status(GENERATION, segment(0, items=25), items_expected=100).snapshot
    assert found is not None
    assert (found.items, found.ratio, found.segments_done) == (25, 0.25, 0)
    assert found.eta_s == pytest.approx(3000.0), "a quarter took 1000 s"
    found = status(GENERATION, segment(0, items=25, done=True), items_expected=100).snapshot
    assert found is not None
    assert found.ratio == 0.5


def test_a_figure_that_is_hours_old_never_makes_a_scan_look_done() -> None:
    for expected in (0, 1, 10**9):
        running = (segment(0, items=500), segment(1, items=500, done=True))
        found = status(GENERATION, *running, items_expected=expected).snapshot
        assert found is not None
        assert 0.5 <= found.ratio < 1.0
        assert not found.done
    both = (segment(0, items=5, done=True), segment(1, items=5, done=True))
    found = status(GENERATION, *both, items_expected=10**9).snapshot
    assert found is not None
    assert (found.ratio, found.eta_s, found.done) == (1.0, 0.0, True)


def test_before_its_first_page_a_scan_has_no_eta_and_none_has_no_progress() -> None:
    found = status(GENERATION, items_expected=10).snapshot
    assert found is not None
    assert found.eta_s is None
    assert status(replace(GENERATION, segments=0)).snapshot is None


METRICS = {
    "changes_total": ["table"],
    "bytes_total": ["table"],
    "snapshot_items_total": ["table"],
    "transactions_total": ["table"],
    "aborts_total": [],
    "fences_total": ["table"],
    "throttles_total": ["table"],
    "empty_reads_total": ["table"],
    "dead_letters_total": ["table"],
    "repeated_total": ["table"],
    "backwards_total": ["table"],
    "shards": ["table", "state"],
    "lag_seconds": ["table"],
    "hours_to_trim": ["table"],
    "snapshot_ratio": ["table"],
    "snapshot_eta_seconds": ["table"],
    "gaps": ["table"],
}


def test_there_is_every_metric_with_labels_that_are_bounded() -> None:
    found = {
        kind._name.removeprefix("tailrace_connector_")
        + ("_total" if kind._type == "counter" else ""): list(kind._labelnames)
        for kind in vars(metrics).values()
        if hasattr(kind, "_labelnames")
    }
    assert found == METRICS


def test_gauges_follow_the_status() -> None:
    show_table(
        status(GENERATION, shard("s"), position("s"), gap("s"), segment(0, items=1, done=True))
    )

    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"tailrace_connector_{name}", {"table": TABLE, **labels})

    assert value("gaps") == 1
    assert value("shards", state="waiting") == 1
    assert value("snapshot_ratio") == 0.5
    assert value("snapshot_eta_seconds") == pytest.approx(1000.0)
    assert value("hours_to_trim") == 24


def test_the_status_is_served_as_json() -> None:
    observatory = Observatory(
        host="127.0.0.1",
        port=0,
        health=lambda: None,
        status=lambda: (status(GENERATION, shard("s"), gap("s")),),
    )
    observatory.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{observatory.port}/status") as answer:
            (found,) = orjson.loads(answer.read())
    finally:
        observatory.close()
    assert found["table"] == TABLE
    assert found["gaps"][0]["shard"] == "s"


def test_a_table_that_rests_says_so_and_counts_the_hours_to_trim_from_then_on() -> None:
    found = status(GENERATION, shard("s"), paused_at_s=NOW_S - 7200)
    assert (found.paused_at_s, found.lag_s, found.hours_to_trim) == (NOW_S - 7200, 7200.0, 22.0)
    assert status(GENERATION).paused_at_s is None


def test_a_table_aws_does_not_answer_for_is_behind_by_that_while_and_says_so(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("bridge.connector.tasks.time.monotonic", lambda: now[0])
    monkeypatch.setattr("bridge.connector.tasks.time.time", lambda: now[0])
    feed = Feed(table="orders", region=None, key_names=("id",))
    feed.asks("s-1")
    feed.behind("s-1", 0.0)
    feed.answered("s-1")
    now[0] += 10
    assert (feed.stall, feed.lag_s(now[0])) == (None, 0.0)
    feed.asks("s-1")
    now[0] += 15
    feed.asks("s-1")  # asked again: it has waited since the first time
    now[0] += 16
    assert feed.stall == "table orders: AWS does not answer for 31 s"
    assert feed.lag_s(now[0]) == 41.0
    feed.answered("s-1")
    assert feed.stall is None
