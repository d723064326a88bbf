"""What AWS may do to a connector, one kind of trouble at a time, and what is large or many."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bridge.source import DynamoDBSource
from bridge.wire.errors import TopicError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from tests.fakes.dynamodb import FakeDynamoDB, VirtualClock, World
from tests.fault import lab
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.integration


def serve(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with FakeDynamoDB(world) as server:
        for name, value in lab.ACCOUNT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield world


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fake DynamoDB that this process's connectors speak to."""
    yield from serve(World(shards=2, seed=7), monkeypatch)


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The same, an hour ahead of this machine, and strict about it."""
    clock = VirtualClock(time.time() + 3600)
    yield from serve(World(clock=clock, shards=2, seed=7, clock_skew_max_s=300.0), monkeypatch)


def put(world: World, items: int, value: int, size: int = 0) -> None:
    for number in range(items):
        item = {"id": {"S": f"item-{number}"}, "n": {"N": str(value)}}
        world.put("orders", {**item, "blob": {"S": "x" * size}} if size else item)


def sealed(topic: lab.Topic) -> bool:
    return len(topic.seals) >= 4


def test_items_of_400_kb_with_both_images_pass(world: World, kafka: KafkaConfig) -> None:
    world.create_table("orders")
    size = 400 * 1024 - 100
    put(world, 2, 1, size)
    with lab.Running(lab.config(kafka, "orders")):
        put(world, 2, 2, size)
        lab.await_history(kafka, world.history, "orders")
        topic = lab.await_changes(kafka, "orders", sealed)
    largest = max(len(change.body["dynamodb"].get("OldImage", {})) for change in topic.stream())
    assert largest == 3
    assert len(topic.reads()) == 2


def test_a_changes_topic_too_small_for_such_items_is_refused_at_the_start(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("orders")
    small = TopicSpec(
        name=TopicNames(kafka.namespace).changes("orders"),
        partitions=1,
        settings={"max.message.bytes": "1000000"},
    )
    ensure_topics(admin(kafka), [small])
    running = lab.Running(lab.config(kafka, "orders"))
    with pytest.raises(TopicError, match=r"max.message.bytes=\d+ on the topic"), running:
        wait_until(lambda: running.error, timeout_s=20, what="the refusal")


def test_credentials_that_expire_are_found_anew(
    world: World, kafka: KafkaConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create_table("orders")
    with lab.Running(lab.config(kafka, "orders")):
        put(world, 20, 1)
        lab.await_history(kafka, world.history, "orders")
        world.expire_credentials(lab.ACCOUNT["AWS_ACCESS_KEY_ID"])
        put(world, 20, 2)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
        lab.await_history(kafka, world.history, "orders")


def test_a_clock_that_is_an_hour_off_is_corrected(skewed: World, kafka: KafkaConfig) -> None:
    skewed.create_table("orders")
    with lab.Running(lab.config(kafka, "orders")):
        put(skewed, 20, 1)
        lab.await_history(kafka, skewed.history, "orders")
        lab.await_changes(kafka, "orders", sealed)


@pytest.mark.real
@pytest.mark.parametrize("kind", ["slow", "lost"])
def test_late_and_lost_answers_lose_and_double_nothing(
    world: World, kafka: KafkaConfig, kind: str
) -> None:
    world.create_table("orders")
    delay_s = 1.0 if kind == "slow" else 0.0
    for operation in ("GetRecords", "GetShardIterator", "Scan"):
        world.fail(operation, kind, times=4, delay_s=delay_s)  # type: ignore[arg-type]
    with lab.Running(lab.config(kafka, "orders")):
        put(world, 40, 1)
        world.rotate_all("orders")
        put(world, 40, 2)
        lab.await_history(kafka, world.history, "orders")
    assert world.faults.struck[kind] >= 8


def test_the_view_type_is_looked_at_again_when_the_stream_is_new(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("orders")
    put(world, 10, 1)

    def renew(view_type: str) -> None:
        update = {"TableName": "orders"}
        world.call("UpdateTable", **update, StreamSpecification={"StreamEnabled": False})
        enable = {"StreamEnabled": True, "StreamViewType": view_type}
        world.call("UpdateTable", **update, StreamSpecification=enable)

    with lab.Running(lab.config(kafka, "orders")) as running:
        lab.await_changes(kafka, "orders", sealed)
        renew("KEYS_ONLY")
        wait_until(
            lambda: "KEYS_ONLY" in (running.connector.health() or ""),
            timeout_s=20,
            what="the refusal",
        )
        time.sleep(1.1)  # streams of one table are told apart by the second they began in
        renew("NEW_AND_OLD_IMAGES")
        put(world, 10, 2)
        topic = lab.await_changes(kafka, "orders", lambda t: len(t.seals) >= 8)
        wait_until(lambda: running.connector.health() is None, timeout_s=20, what="health")
    assert all("NewImage" in change.body["dynamodb"] for change in topic.changes)


def test_a_scan_keeps_to_its_read_capacity(world: World, kafka: KafkaConfig) -> None:
    world.create_table("orders")
    put(world, 16, 1, 100 * 1024)  # read consistently, 25 units each
    source = DynamoDBSource(table_name="orders", region=lab.REGION, read_capacity=100.0)
    begun_s = time.monotonic()
    with lab.Running(lab.config(kafka, source)):
        topic = lab.await_changes(kafka, "orders", sealed)
    assert len(topic.reads()) == 16
    # All but the last pages are waited off; the first of 8 segments alone would take no time.
    assert time.monotonic() - begun_s > 16 * 25 / 100 - 256 / 100


@pytest.mark.real
def test_a_scan_goes_on_at_the_page_it_had_reached(world: World, kafka: KafkaConfig) -> None:
    world.create_table("orders")
    put(world, 20, 1, 300 * 1024)  # four a page
    world.slow("Scan", 0.7, times=None)
    settings = lab.config(kafka, "orders", buckets=1)
    with lab.Running(settings) as running:

        def items() -> int:
            (status,) = running.connector.status() or (None,)
            return status.snapshot.items if status and status.snapshot else 0

        wait_until(lambda: 0 < items() < 20, timeout_s=20, what="the first pages")
        (status,) = running.connector.status()
        assert status.snapshot is not None
        assert 0 < status.snapshot.ratio < 1
        assert status.snapshot.eta_s
    pages = world.calls["Scan"]
    with lab.Running(settings):
        topic = lab.await_changes(kafka, "orders", sealed)
    assert len(topic.reads()) == 20, "each item once"
    assert len({change.key for change in topic.reads()}) == 20
    assert world.calls["Scan"] <= pages + 5, "at most the page under way was asked for again"
