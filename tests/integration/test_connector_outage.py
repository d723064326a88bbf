"""Kafka goes away and comes back: memory stays bounded, nothing is lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bridge.wire.kafka import KafkaConfig
from tests.fakes.dynamodb import FakeDynamoDB, World
from tests.fault import lab
from tests.parts import brokers
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.needs("restart")]

TABLE = "orders"
BUFFER_BYTES = 1024 * 1024


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(shards=4, seed=5)
    with FakeDynamoDB(world) as server:
        for name, value in lab.ACCOUNT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        world.create_table(TABLE)
        yield world


def put_many(world: World, value: int) -> None:
    for number in range(400):
        item = {"id": {"S": f"item-{number}"}, "n": {"N": str(value)}, "pad": {"S": "x" * 1500}}
        world.put(TABLE, item)


def test_a_broker_that_was_away_finds_everything_waiting(
    world: World, own_broker: brokers.Broker, namespace: str
) -> None:
    kafka = KafkaConfig(
        brokers=own_broker.bootstrap,
        namespace=namespace,
        static_membership=brokers.EXPIRY not in own_broker.capabilities,
    )
    put_many(world, 1)
    with lab.Running(lab.config(kafka, TABLE, buffer_bytes=BUFFER_BYTES)) as running:
        lab.await_history(kafka, world.history, TABLE)
        lab.await_changes(kafka, TABLE, lambda topic: len(topic.seals) == 4)
        wait_until(lambda: running.connector.health() is None, timeout_s=10, what="health")
        if brokers.DURABLE in own_broker.capabilities:
            own_broker.kill()
        else:
            own_broker.stop()
        for value in range(2, 10):
            put_many(world, value)
            world.rotate_all(TABLE)
        time.sleep(6)  # the outage itself
        calls = world.calls["GetRecords"]
        time.sleep(3)
        assert world.calls["GetRecords"] - calls < 60, "it spins while Kafka is away"
        assert running.connector.buffered_bytes < BUFFER_BYTES + 16 * 1024 * 1024
        own_broker.start()
        began_s = time.monotonic()
        lab.await_history(kafka, world.history, TABLE, timeout_s=60)
        assert time.monotonic() - began_s < 40
        assert running.error is None
