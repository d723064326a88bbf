"""The connector against the fake with many shards and the broker of `--broker`."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from bridge.connector import service, worker
from bridge.connector.generation import TablePolicy
from bridge.source import DynamoDBSource
from bridge.wire.errors import ConfigurationError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.namespace import read_namespace
from bridge.wire.requests import request_backfill
from bridge.wire.version import epoch_floor
from tests.fakes.dynamodb import FakeDynamoDB, World
from tests.fault import lab
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fake DynamoDB that this process's connectors speak to."""
    world = World(shards=4, seed=7)
    with FakeDynamoDB(world) as server:
        for name, value in lab.ACCOUNT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield world


def put_many(world: World, table: str, items: int, value: int) -> None:
    for number in range(items):
        world.put(table, {"id": {"S": f"item-{number}"}, "n": {"N": str(value)}})


def sealed(topic: lab.Topic, times: int = 1) -> bool:
    return len(topic.seals) >= times * 4


def test_existing_items_and_changes_arrive_once_and_in_order(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("orders")
    put_many(world, "orders", 100, 1)
    with lab.Running(lab.config(kafka, "orders")):
        for value in (2, 3):
            put_many(world, "orders", 100, value)
            for shard in world.open_shards("orders"):
                world.split(shard)
        world.rotate_all("orders")
        put_many(world, "orders", 50, 4)
        topic = lab.await_history(kafka, world.history, "orders")
        topic = lab.await_changes(kafka, "orders", sealed)
    assert {change.key for change in topic.reads()} == {
        f'{{"id":{{"S":"item-{number}"}}}}' for number in range(100)
    }
    assert len(topic.reads()) == 100
    assert len(lab.replay(topic)) == 100
    epochs = {seal.epoch for _, _, seal in topic.seals}
    assert len(epochs) == 1
    assert sorted((p, s.partition, s.of) for p, _, s in topic.seals) == [
        (p, p, 4) for p in range(4)
    ]
    for partition, offset, _ in topic.seals:
        later = [r for r in topic.reads() if r.partition == partition and r.offset > offset]
        assert not later, "a row of the scan lies behind its seal"


def test_a_restart_goes_on_where_the_last_commit_was(world: World, kafka: KafkaConfig) -> None:
    world.create_table("orders")
    put_many(world, "orders", 60, 1)
    with lab.Running(lab.config(kafka, "orders")):
        lab.await_history(kafka, world.history, "orders")
        lab.await_changes(kafka, "orders", sealed)
    identity = read_namespace(kafka).namespace_id
    put_many(world, "orders", 60, 2)
    world.rotate_all("orders")
    put_many(world, "orders", 60, 3)
    with lab.Running(lab.config(kafka, "orders")):
        topic = lab.await_history(kafka, world.history, "orders")
    assert len(topic.reads()) == 60
    assert len(topic.seals) == 4
    assert identity is not None
    assert read_namespace(kafka).namespace_id == identity


@pytest.mark.parametrize(
    ("kind", "values"), [("N", ["1", "1.50", "-3E+2"]), ("B", ["AA==", "/w=="])]
)
def test_hash_and_range_keys_of_every_type(
    world: World, kafka: KafkaConfig, kind: str, values: list[str]
) -> None:
    world.create_table("events", "owner", kind, range_key="at", range_type="N")
    for value in values:
        for number in range(20):
            world.put("events", {"owner": {kind: value}, "at": {"N": str(number)}})
    world.delete("events", {"owner": {kind: values[0]}, "at": {"N": "3"}})
    with lab.Running(lab.config(kafka, "events")):
        lab.await_history(kafka, world.history, "events")
        topic = lab.await_changes(kafka, "events", sealed)
    assert len(lab.replay(topic)) == len(values) * 20 - 1
    by_owner = {change.kafka_key for change in topic.changes}
    assert len(by_owner) == len(values)
    assert all(key.startswith(b'{"owner":{"') for key in by_owner)


def test_a_requested_backfill_scans_again_and_seals_with_a_higher_epoch(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("orders")
    put_many(world, "orders", 40, 1)
    with lab.Running(lab.config(kafka, "orders")):
        lab.await_changes(kafka, "orders", sealed)
        put_many(world, "orders", 40, 2)
        lab.await_history(kafka, world.history, "orders")
        request_backfill(kafka, "orders")
        put_many(world, "orders", 20, 3)
        topic = lab.await_changes(kafka, "orders", lambda found: sealed(found, 2))
        lab.await_history(kafka, world.history, "orders")
    first, second = sorted({seal.epoch for _, _, seal in topic.seals})
    assert second > first
    assert len(topic.reads()) == 80
    assert len(lab.replay(topic, epoch_floor(second))) == 40


def test_trouble_with_aws_loses_and_doubles_nothing(world: World, kafka: KafkaConfig) -> None:
    world.create_table("orders")
    world.configure(empty_page_rate=0.2, final_batch="together", null_iterator="mixed")
    for kind in ("throttle", "server_error", "reset", "lost", "bad_checksum"):
        world.fail("*", kind, times=None, probability=0.05)
    draw = random.Random(3)
    with lab.Running(lab.config(kafka, "orders")):
        for value in range(6):
            put_many(world, "orders", 60, value)
            world.split(draw.choice(world.open_shards("orders")))
            world.expire_iterators()
        lab.await_history(kafka, world.history, "orders", timeout_s=90)
        lab.await_changes(kafka, "orders", sealed, timeout_s=60)


def test_a_trimmed_shard_is_a_gap_and_a_backfill_repairs_it(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("orders")
    world.create_table("calm")
    put_many(world, "orders", 40, 1)
    with lab.Running(lab.config(kafka, "orders", "calm")):
        lab.await_history(kafka, world.history, "orders")
        lab.await_changes(kafka, "orders", sealed)
    put_many(world, "orders", 40, 2)
    world.delete("orders", {"id": {"S": "item-0"}})
    world.trim("orders")
    put_many(world, "orders", 20, 3)
    with lab.Running(lab.config(kafka, "orders", "calm")) as running:
        line = wait_until(
            lambda: (
                (running.connector.health() or "")[:600]
                if "GAP" in (running.connector.health() or "")
                else ""
            ),
            timeout_s=30,
            what="the gap",
        )
        assert "table orders" in line
        assert "tailrace backfill orders" in line
        put_many(world, "calm", 30, 1)
        lab.await_history(kafka, world.history, "calm")
        request_backfill(kafka, "orders")
        topic = lab.await_changes(kafka, "orders", lambda found: sealed(found, 2))
        wait_until(lambda: running.connector.health() is None, timeout_s=20, what="health")
        put_many(world, "orders", 20, 4)
        topic = lab.await_changes(
            kafka,
            "orders",
            lambda found: (
                len(
                    [c for c in found.stream() if c.body["dynamodb"]["NewImage"]["n"] == {"N": "4"}]
                )
                == 20
                if all("NewImage" in c.body["dynamodb"] for c in found.stream())
                else False
            ),
        )
    newest = max(seal.epoch for _, _, seal in topic.seals)
    state = lab.replay(topic, epoch_floor(newest))
    assert sorted(state.items()) == sorted(
        (f'{{"id":{{"S":"{item["id"]["S"]}"}}}}', item) for item in world.items("orders")
    )


def test_a_gap_is_repaired_by_itself_where_the_source_says_so(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("orders")
    put_many(world, "orders", 30, 1)
    source = DynamoDBSource(table_name="orders", region=lab.REGION, on_gap="resnapshot")
    with lab.Running(lab.config(kafka, source)):
        lab.await_changes(kafka, "orders", sealed)
    put_many(world, "orders", 30, 2)
    world.rotate_all("orders")
    world.trim("orders")
    with lab.Running(lab.config(kafka, source)):
        topic = lab.await_changes(kafka, "orders", lambda found: sealed(found, 2))
    epochs = {seal.epoch for _, _, seal in topic.seals}
    assert len(epochs) == 2, "one snapshot repairs all shards that lost something"
    assert len(lab.replay(topic, epoch_floor(max(epochs)))) == 30


def test_a_stream_that_was_enabled_again_begins_a_new_epoch_with_a_scan(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("orders")
    put_many(world, "orders", 30, 1)
    update = {"TableName": "orders"}
    with lab.Running(lab.config(kafka, "orders")):
        lab.await_changes(kafka, "orders", sealed)
        put_many(world, "orders", 30, 2)
        world.call("UpdateTable", **update, StreamSpecification={"StreamEnabled": False})
        put_many(world, "orders", 30, 3)
        world.delete("orders", {"id": {"S": "item-7"}})
        enable = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        world.call("UpdateTable", **update, StreamSpecification=enable)
        put_many(world, "orders", 5, 4)
        topic = lab.await_changes(kafka, "orders", lambda found: sealed(found, 2))
        lab.await_changes(kafka, "orders", lambda found: len(found.stream()) >= 65)
    topic = lab.read_topic(kafka, "orders")
    lab.check_against(world.history, "orders", topic)
    newest = max(seal.epoch for _, _, seal in topic.seals)
    state = lab.replay(topic, epoch_floor(newest))
    assert len(state) == 29
    assert all(image["n"]["N"] in "34" for image in state.values())


def test_what_cannot_be_replicated_is_refused_with_its_remedy(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("bare", view_type=None)
    world.create_table("keys", view_type="KEYS_ONLY")
    expected = {
        "missing": "there is no such table",
        "bare": "aws dynamodb update-table --table-name bare",
        "keys": "StreamViewType=NEW_AND_OLD_IMAGES",
    }
    for table, text in expected.items():
        running = lab.Running(lab.config(kafka, table))
        with pytest.raises(ConfigurationError, match=text), running:
            wait_until(lambda r=running: r.error, timeout_s=20, what="the refusal")


def test_a_missing_stream_is_turned_on_where_that_is_allowed(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("bare", view_type=None)
    put_many(world, "bare", 10, 1)
    with lab.Running(lab.config(kafka, "bare", enable_streams=True)):
        lab.await_changes(kafka, "bare", sealed)
        put_many(world, "bare", 10, 2)
        topic = lab.await_changes(kafka, "bare", lambda found: len(found.stream()) == 10)
    lab.check_against(world.history, "bare", topic)
    assert len(topic.reads()) == 10


def test_without_a_snapshot_only_changes_arrive(world: World, kafka: KafkaConfig) -> None:
    world.create_table("orders")
    put_many(world, "orders", 10, 1)
    source = DynamoDBSource(table_name="orders", region=lab.REGION, snapshot="never")
    with lab.Running(lab.config(kafka, source)):
        lab.await_history(kafka, world.history, "orders")
        topic = lab.await_changes(kafka, "orders", sealed)
    assert topic.reads() == []
    assert not any(seal.scanned for _, _, seal in topic.seals)


def test_the_items_alone_are_read_once_without_a_stream_and_again_when_asked(
    world: World, kafka: KafkaConfig
) -> None:
    world.create_table("bare", view_type=None)
    put_many(world, "bare", 30, 1)
    source = DynamoDBSource(table_name="bare", region=lab.REGION, snapshot="only")
    with lab.Running(lab.config(kafka, source)):
        topic = lab.await_changes(kafka, "bare", sealed)
        assert len(topic.reads()) == len(lab.replay(topic)) == 30
    put_many(world, "bare", 10, 2)
    world.delete("bare", {"id": {"S": "item-29"}})
    with lab.Running(lab.config(kafka, source)) as running:
        wait_until(lambda: running.connector.health() is None, timeout_s=20, what="health")
        request_backfill(kafka, "bare")
        topic = lab.await_changes(kafka, "bare", lambda found: sealed(found, 2))
    assert len(topic.reads()) == 30 + 29, "a restart alone scans nothing"
    newest = max(seal.epoch for _, _, seal in topic.seals)
    assert len(lab.replay(topic, epoch_floor(newest))) == 29
    assert "DescribeStream" not in world.calls
    assert "UpdateTable" not in world.calls


def test_checkpoints_forget_shards_that_are_gone(
    world: World, kafka: KafkaConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_PRUNE_INTERVAL_S", 0.2)
    monkeypatch.setattr(
        service, "_policy", lambda source: TablePolicy(table=source.table_name, keep_s=0.0)
    )
    world.create_table("orders", shards=2)
    with lab.Running(lab.config(kafka, "orders")) as running:
        for value in range(5):
            put_many(world, "orders", 20, value)
            lab.await_history(kafka, world.history, "orders")
            world.rotate_all("orders")
        put_many(world, "orders", 20, 9)
        lab.await_history(kafka, world.history, "orders")
        view, arn = running.connector.view, world.stream_arn("orders")
        wait_until(
            lambda: sum(p.ended for p in view.positions[arn].values()) == 10,
            timeout_s=20,
            what="the ends",
        )
        for shard in world.shards("orders"):
            if shard.closed_s is not None:
                world.drop_shard(shard.id)
        wait_until(lambda: len(view.positions[arn]) == 2, timeout_s=30, what="the pruning")
        assert running.connector.health() is None
    with lab.Running(lab.config(kafka, "orders")) as running:
        put_many(world, "orders", 20, 10)
        lab.await_history(kafka, world.history, "orders")
        assert running.connector.health() is None
