"""Connectors killed, paused and doubled while shards split: nothing lost, all in order."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer

from bridge.connector.plan import shard_bucket
from bridge.wire.kafka import KafkaConfig
from bridge.wire.namespace import encode_key
from bridge.wire.topics import DEFAULT_BUCKETS, TopicNames
from tests.fakes.dynamodb import FakeDynamoDB, World
from tests.fault import lab
from tests.fault.writer import Writer
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.integration

TABLE = "orders"
QUICK = {"transaction_interval_s": 0.1, "poll_idle_s": 0.2, "survey_interval_s": 1.0}


@pytest.fixture
def endpoint() -> Iterator[tuple[World, str]]:
    world = World(shards=4, seed=11, rotate_every=120, split_rate=0.3)
    with FakeDynamoDB(world) as server:
        world.create_table(TABLE)
        yield world, server.endpoint


@pytest.mark.needs("read_back")
def test_a_connector_killed_again_and_again_loses_and_doubles_nothing(
    endpoint: tuple[World, str], kafka: KafkaConfig, tmp_path: Path
) -> None:
    world, address = endpoint
    for number in range(150):
        world.put(TABLE, {"id": {"S": f"item-{number}"}, "n": {"N": "-1"}})
    process = lab.connector_process(kafka, address, [TABLE], log=tmp_path / "log", **QUICK)
    draw = random.Random(2)
    kills = 0
    try:
        with Writer(world, TABLE, 4000, 400) as writer:
            while writer.busy:
                process.start()
                time.sleep(draw.uniform(1.0, 2.5))
                process.kill()
                kills += 1
        process.start()
        try:
            topic = lab.await_history(kafka, world.history, TABLE, timeout_s=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{process.log_tail(60)}") from None
        topic = lab.await_changes(kafka, TABLE, lambda found: len(found.seals) >= 4)
    finally:
        process.kill()
    assert kills >= 4
    assert len(topic.seals) == 4
    state = {key: image["n"] for key, image in lab.replay(topic).items()}
    items = {f'{{"id":{{"S":"{i["id"]["S"]}"}}}}': i["n"] for i in world.items(TABLE)}
    assert state == items


@pytest.mark.needs("expiry", "txn_timeout")
def test_others_take_over_within_15_seconds_of_a_kill(
    endpoint: tuple[World, str], kafka: KafkaConfig, tmp_path: Path
) -> None:
    world, address = endpoint
    first, second = (
        lab.connector_process(
            replace(kafka, replica=name), address, [TABLE], log=tmp_path / name, name=name, **QUICK
        )
        for name in ("first", "second")
    )
    with first:
        world.put(TABLE, {"id": {"S": "before"}, "n": {"N": "1"}})
        lab.await_history(kafka, world.history, TABLE)
        with second:
            wait_until(
                lambda: "lease acquired" in second.log_tail(), timeout_s=30, what="the second"
            )
            first.kill()
            killed_at = time.monotonic()
            for number in range(50):
                world.put(TABLE, {"id": {"S": f"after-{number}"}, "n": {"N": "1"}})
            lab.await_history(kafka, world.history, TABLE, timeout_s=30)
            assert time.monotonic() - killed_at < 15


@pytest.mark.needs("expiry", "txn_timeout")
def test_an_open_transaction_of_another_bucket_holds_up_no_take_over(
    kafka: KafkaConfig, tmp_path: Path
) -> None:
    """Only what the buckets with shards need is waited for, not the end of every partition."""
    world = World(shards=4, seed=11)
    with FakeDynamoDB(world) as server:
        world.create_table(TABLE)
        arn = world.stream_arn(TABLE)
        used = {shard_bucket(DEFAULT_BUCKETS, arn, shard) for shard in world.open_shards(TABLE)}
        other = max(set(range(1, DEFAULT_BUCKETS)) - used)
        first, second = (
            lab.connector_process(
                replace(kafka, replica=name),
                server.endpoint,
                [TABLE],
                log=tmp_path / name,
                name=name,
                **QUICK,
            )
            for name in ("first", "second")
        )
        with first:
            world.put(TABLE, {"id": {"S": "before"}, "n": {"N": "1"}})
            lab.await_history(kafka, world.history, TABLE)
            lab.await_changes(kafka, TABLE, lambda found: len(found.seals) >= 4)
            with second:
                wait_until(
                    lambda: "bucket taken over" in second.log_tail(), timeout_s=30, what="a share"
                )
                holder = _hold_open(kafka, other)
                first.kill()
                killed_at = time.monotonic()
                for number in range(50):
                    world.put(TABLE, {"id": {"S": f"after-{number}"}, "n": {"N": "1"}})
                lab.await_history(kafka, world.history, TABLE, timeout_s=30)
                assert time.monotonic() - killed_at < 15
                holder.abort_transaction(20)


def _hold_open(kafka: KafkaConfig, partition: int) -> Producer:
    """A transaction with a checkpoint in it that nobody decides for a minute."""
    settings = kafka.producer(transactional_id=f"{kafka.namespace}.held-open")
    producer = Producer({**settings, "transaction.timeout.ms": 60_000})
    producer.init_transactions(20)
    producer.begin_transaction()
    key = encode_key("held-open")
    producer.produce(TopicNames(kafka.namespace).checkpoints, b"{}", key, partition=partition)
    producer.flush(20)
    return producer


@pytest.mark.real
def test_a_scan_that_was_killed_goes_on_at_the_page_it_had_reached(
    endpoint: tuple[World, str], kafka: KafkaConfig, tmp_path: Path
) -> None:
    world, address = endpoint
    for number in range(40):  # about four a page
        text = {"S": f"{number:02}" + "x" * 300 * 1024}
        world.put(TABLE, {"id": {"S": f"item-{number}"}, "n": {"N": "-1"}, "text": text})
    world.slow("Scan", 0.7, times=None)
    settings = {**QUICK, "buckets": 1}
    with lab.connector_process(kafka, address, [TABLE], log=tmp_path / "log", **settings) as one:
        before = lab.await_changes(kafka, TABLE, lambda found: len(found.reads()) >= 20)
        one.kill()
        pages = world.calls["Scan"]
        one.start()
        topic = lab.await_changes(kafka, TABLE, lambda found: len(found.seals) >= 4, timeout_s=60)
    assert len(before.reads()) < 40, "the kill came in the middle"
    assert len(topic.reads()) == len({change.key for change in topic.reads()}) == 40
    assert world.calls["Scan"] <= pages + 8, "of ten pages, half were not asked for again"
