"""Sinks of every layout that are killed at every step make the table that one left alone makes.

That one's is compared with oracles, over any schedule, in tests/unit/sinks/test_oracle.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.wire.kafka import KafkaConfig, written_bounds
from bridge.wire.topics import admin
from sinks import failpoints
from sinks.reader import open_table
from tests.integration.sink_feed import Feed
from tests.integration.test_sink_kills import STEPS, Sinks, check_kafka_is_not_ahead, fill
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.timeout(400)]

LAYOUTS = {
    "history": {"mode": "history"},
    "history by column and bucket": {
        "mode": "history",
        "partition_by": ["order_id", "bucket(3, _key)"],
    },
    "soft by column": {"deletes": "soft", "partition_by": ["order_id"]},
    "log by day": {"mode": "log", "partition_by": ["days(_event_time)"]},
    "current by day": {"partition_by": ["days(_event_time)"]},
}
# Of the last epoch's rows the current ones stay, of all the others what the layout keeps.
LEAST = {"history": 300, "log": 500, "current": 10}
FIRST_EPOCH, EPOCH_S = 1_763_900_000, 20_000
SMALL = ("history by column and bucket",)


def event_time(version: str) -> str:
    """Of a version: its epoch is seconds since 1970, a sequence number a minute more."""
    epoch, _, sequence = version.partition(".")
    at = datetime.fromtimestamp(int(epoch), UTC) + timedelta(minutes=int(sequence))
    return at.isoformat().replace("+00:00", "Z")


@pytest.fixture
def feed(broker, namespace):
    kafka = KafkaConfig(brokers=broker.bootstrap, namespace=namespace, static_membership=True)
    feed = Feed(kafka, event_time=event_time)
    feed.create()
    return feed


@pytest.fixture
def make_sinks(feed, tmp_path):
    made: list[Sinks] = []

    def make(name: str) -> Sinks:
        (tmp_path / name).mkdir()
        made.append(Sinks(feed.kafka, tmp_path / name))
        return made[-1]

    yield make
    for sinks in made:
        for process in sinks.processes:
            process.kill()


def rows(feed: Feed, sinks: Sinks) -> list[dict]:
    """All that the table holds once it has taken everything in."""
    bounds = written_bounds(admin(feed.kafka), feed.topic, range(feed.partitions))
    ends = {partition: bound.end for partition, bound in bounds.items()}

    def done() -> bool:
        table = open_table(sinks.lake, feed.dataset)
        if table is None or table.loading:
            return False
        return table.offsets(feed.namespace_id, feed.topic, range(feed.partitions)) == ends

    wait_until(done, timeout_s=90, what="everything to be in the table")
    table = open_table(sinks.lake, feed.dataset)
    found = [row for batch in table.batches() for row in batch.to_pylist()]
    return sorted(found, key=lambda row: (row["_key"], row["_version"]))


def check(layout: str, feed: Feed, make_sinks) -> None:
    options = LAYOUTS[layout]
    killed = make_sinks("killed")
    for turn, point in enumerate(STEPS):
        count = 70 if point == failpoints.AFTER_COMPACTION else 20
        fill(feed, turn, rows=count, epoch=FIRST_EPOCH + turn * EPOCH_S)
        told = {**options, "description": f"killed at {point}"}
        process = killed.start({"TAILRACE_FAIL": point}, batch_rows_max=2, dataset=told)
        assert process.wait(timeout_s=90) == -9, point
        check_kafka_is_not_ahead(feed, killed)
    last = killed.start(dataset=options)
    found = rows(feed, killed)
    assert last.stop(timeout_s=60) == 0
    alone = make_sinks("alone")
    alone.start(dataset=options)
    expected = rows(feed, alone)
    assert len(expected) > LEAST[options.get("mode", "current")]
    assert found == expected


@pytest.mark.parametrize("layout", SMALL)
def test_killed_at_every_step_a_sink_makes_the_same_table(layout, feed, make_sinks):
    check(layout, feed, make_sinks)


@pytest.mark.soak
@pytest.mark.parametrize("layout", LAYOUTS)
def test_killed_at_every_step_sinks_of_every_layout_make_the_same_table(layout, feed, make_sinks):
    check(layout, feed, make_sinks)
