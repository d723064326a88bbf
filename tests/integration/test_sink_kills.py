"""Sinks that are killed, frozen and run twice: the table is right, whatever happens to them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.schemas import Column, Schema, register_schema
from sinks import failpoints
from sinks.reader import open_table
from tests.integration.sink_feed import COLUMNS, TRANSFORM, Feed
from tests.parts.process import Process
from tests.parts.waiting import wait_until

_NOT_YET = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]
ROOT = Path(__file__).parents[2]

# A change-over is passed once in the life of a generation: test_product_rebuild kills there.
STEPS = tuple(point for point in failpoints.FAILPOINTS if point not in failpoints.CHANGE_OVER)


@pytest.fixture
def kafka(broker, namespace):
    return KafkaConfig(brokers=broker.bootstrap, namespace=namespace, static_membership=True)


class Sinks:
    """Sink processes over one lake."""

    def __init__(self, kafka: KafkaConfig, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.lake = str(folder / "lake")
        self.processes: list[Process] = []

    def start(self, environment=None, **options) -> Process:
        settings = {
            "brokers": self.kafka.brokers,
            "namespace": self.kafka.namespace,
            "lake": self.lake,
            "datasets": ["orders"],
            **options,
        }
        process = Process(
            "sink",
            [sys.executable, "-m", "tests.integration.sink_process", json.dumps(settings)],
            log=self.folder / f"sink-{len(self.processes)}.log",
            environment={"PYTHONPATH": str(ROOT), **(environment or {})},
        )
        process.start()
        self.processes.append(process)
        return process

    def versions(self, dataset="orders") -> dict[str, str]:
        table = open_table(self.lake, dataset)
        if table is None:
            return {}
        rows = list(table.rows(["_version"]))
        assert len(rows) == len(dict(rows)), "a key is doubled"
        return {key: columns["_version"] for key, columns in rows}

    def await_versions(self, expected, dataset="orders") -> None:
        wait_until(
            lambda: self.versions(dataset) == expected, timeout_s=60, what=f"the rows of {dataset}"
        )


@pytest.fixture
def sinks(kafka, tmp_path):
    sinks = Sinks(kafka, tmp_path)
    yield sinks
    for process in sinks.processes:
        process.kill()


@pytest.fixture
def feed(kafka):
    feed = Feed(kafka)
    feed.create()
    return feed


def fill(feed: Feed, turn: int = 0, rows: int = 30, epoch: int = 0) -> None:
    """Enough for every step of a commit: columns that come in, deletes, poison, a new epoch."""
    epoch = epoch or turn + 1
    newer = Schema(feed.dataset, TRANSFORM, (*COLUMNS, Column(f"note_{turn}", "string")))
    register_schema(feed.kafka, newer)
    names = [f"{turn:02d}-{i:03d}" for i in range(rows)]
    for name in names:
        feed.upsert(name, 0, epoch=epoch)
    for name in names[::5]:
        feed.delete(name, 1, epoch=epoch)
    for name in names[::7]:
        note = {"order_id": "x", "total": "2", f"note_{turn}": "n"}
        feed.upsert(name, 2, epoch=epoch, schema=newer, **note)
    feed.seal(epoch)
    before = dict(feed.newest)
    feed.upsert("poison", turn, epoch=epoch, order_id="poison", total="not a number")
    feed.newest = before
    feed.flush()


def committed_offsets(feed: Feed) -> dict[int, int]:
    group = Consumer(feed.kafka.consumer(group=f"{feed.kafka.namespace}.sink.{feed.dataset}"))
    places = [TopicPartition(feed.topic, p) for p in range(feed.partitions)]

    def asked() -> list[TopicPartition]:
        try:
            found: list[TopicPartition] = group.committed(places, timeout=20)
        except KafkaException as error:
            # A group nobody asked for before has no coordinator for a moment.
            if error.args[0].code() not in _NOT_YET:
                raise
            return []
        return found

    try:
        found = wait_until(asked, timeout_s=30, what="the group's offsets")
        return {place.partition: max(place.offset, 0) for place in found}
    finally:
        group.close()


def check_kafka_is_not_ahead(feed: Feed, sinks: Sinks) -> None:
    table = open_table(sinks.lake, feed.dataset)
    partitions = range(feed.partitions)
    ours = table.offsets(feed.namespace_id, feed.topic, partitions) if table else {}
    for partition, offset in committed_offsets(feed).items():
        assert offset <= (ours.get(partition) or 0)


@pytest.mark.timeout(240)
def test_sinks_killed_at_every_step_lose_and_double_nothing(feed, sinks):
    """Each succeeds the one before, with more to do, and dies at the next step of the commit."""
    for turn, point in enumerate(STEPS):
        fill(feed, turn, rows=70 if point == failpoints.AFTER_COMPACTION else 20)
        told = {"description": f"killed at {point}"}
        process = sinks.start({"TAILRACE_FAIL": point}, batch_rows_max=2, dataset=told)
        assert process.wait(timeout_s=60) == -9, point
        check_kafka_is_not_ahead(feed, sinks)
    sinks.start()
    sinks.await_versions(feed.expected(floor_epoch=len(STEPS)))
    wait_until(lambda: not open_table(sinks.lake, "orders").loading, timeout_s=30, what="the seal")
    dead = list(read_to_end(feed.kafka, feed.names.dead_letters(TRANSFORM), [0]))
    assert len({message.value() for message in dead}) == len(STEPS)
    headers = dict(dead[0].headers())
    assert (headers["dlq.stage"], headers["dlq.owner"]) == (b"sink", b"orders")


def test_a_sink_killed_again_and_again_under_load_loses_and_doubles_nothing(feed, sinks):
    sequence = 0
    for turn in range(6):
        process = sinks.start(batch_rows_max=40)
        for _ in range(120):
            sequence += 1
            name = f"o-{sequence * 7 % 50}"
            if sequence % 11 == 0:
                feed.delete(name, sequence)
            else:
                feed.upsert(name, sequence)
        feed.flush()
        before = committed_offsets(feed)
        wait_until(
            lambda before=before: committed_offsets(feed) != before,
            timeout_s=60,
            what="a commit",
        )
        process.kill()
        check_kafka_is_not_ahead(feed, sinks)
        assert turn == 5 or sinks.versions()
    sinks.start()
    sinks.await_versions(feed.expected())


def test_sigterm_commits_what_is_in_hand_and_ends_well(feed, sinks):
    feed.upsert("a", 1)
    feed.flush()
    process = sinks.start()
    sinks.await_versions(feed.expected())
    assert process.stop(timeout_s=30) == 0


@pytest.mark.needs("expiry")
@pytest.mark.parametrize(
    ("point", "said"),
    [
        # It looks and sees that it was succeeded, unless it hears first that its lease is gone.
        (failpoints.BEFORE_SNAPSHOT, ("fenced", "lease lost")),
        (failpoints.BEFORE_COMMIT, ("commit failed",)),  # it has looked: its commit conflicts
    ],
)
def test_a_frozen_sink_that_wakes_after_its_successor_is_turned_away_and_rejoins(
    feed, sinks, point, said
):
    feed.upsert("a", 1)
    feed.upsert("b", 1)
    feed.flush()
    frozen = sinks.start({"TAILRACE_PAUSE": point}, replica="frozen", static=False)
    wait_until(
        lambda: "State:\tT" in Path(f"/proc/{frozen.pid}/status").read_text(),
        timeout_s=60,
        what="the sink to freeze",
    )
    successor = sinks.start(replica="successor", static=False)
    feed.delete("a", 2)
    feed.flush()
    sinks.await_versions(feed.expected())
    version = open_table(sinks.lake, "orders").version
    frozen.resume()
    wait_until(
        lambda: any(word in frozen.log_tail(200) for word in said),
        timeout_s=60,
        what="the rejection",
    )
    assert open_table(sinks.lake, "orders").version == version
    assert sinks.versions() == feed.expected()
    assert successor.stop(timeout_s=60) == 0
    feed.upsert("c", 3)
    feed.flush()
    sinks.await_versions(feed.expected())  # by the one that was frozen: it has rejoined
