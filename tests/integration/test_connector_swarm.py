"""Several connectors share a table while they are killed, held and joined by others.

Shards rotate and split, snapshots are asked for in the middle; what a read_committed reader finds
must be each version of each item once, in order, whoever carried it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.wire.kafka import KafkaConfig
from bridge.wire.requests import request_backfill
from bridge.wire.version import epoch_floor
from tests.fakes.dynamodb import FakeDynamoDB, World
from tests.fault import lab
from tests.fault.writer import Writer
from tests.parts.process import Process

pytestmark = [pytest.mark.integration, pytest.mark.needs("expiry", "txn_timeout")]

TABLE = "orders"
QUICK = {"transaction_interval_s": 0.1, "poll_idle_s": 0.2, "survey_interval_s": 1.0}
PARTITIONS = 4
ITEMS = 150


@pytest.fixture
def world() -> Iterator[tuple[World, str]]:
    world = World(shards=4, seed=11, rotate_every=150, split_rate=0.3)
    with FakeDynamoDB(world) as server:
        world.create_table(TABLE)
        for number in range(ITEMS):
            world.put(TABLE, {"id": {"S": f"item-{number}"}, "n": {"N": "-1"}})
        yield world, server.endpoint


class Swarm:
    """Connector processes over one table; all gone when the `with` ends."""

    def __init__(self, kafka: KafkaConfig, endpoint: str, folder: Path) -> None:
        self._kafka, self._endpoint, self._folder = kafka, endpoint, folder
        self.workers: list[Process] = []

    def join(self) -> None:
        """One more."""
        name = str(len(self.workers))
        worker = lab.connector_process(
            replace(self._kafka, replica=name),
            self._endpoint,
            [TABLE],
            log=self._folder / f"worker-{name}",
            name=f"worker {name}",
            **QUICK,
        )
        worker.start()
        self.workers.append(worker)

    def disturb(self, draw: random.Random) -> None:
        """Kill one and start it again, or hold it, perhaps until others have taken over."""
        worker = draw.choice(self.workers)
        if draw.random() < 0.6:
            worker.kill()
            worker.start()
        else:
            worker.pause()
            time.sleep(draw.uniform(1, 14))
            worker.resume()

    def __enter__(self) -> Swarm:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()


@pytest.mark.parametrize(
    ("changes", "rate_per_s", "snapshots"),
    [
        pytest.param(20_000, 500, 1, id="20,000", marks=pytest.mark.timeout(240)),
        pytest.param(
            200_000, 600, 5, id="200,000", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]
        ),
    ],
)
def test_workers_killed_and_held_lose_and_double_nothing(
    world: tuple[World, str],
    kafka: KafkaConfig,
    tmp_path: Path,
    changes: int,
    rate_per_s: float,
    snapshots: int,
) -> None:
    fake, endpoint = world
    draw = random.Random(4)
    asked = asked_at_s = disturbed = 0
    with Swarm(kafka, endpoint, tmp_path) as swarm:
        for _ in range(3):
            swarm.join()
        with Writer(fake, TABLE, changes, rate_per_s) as writer:
            while writer.busy:
                time.sleep(draw.uniform(1.5, 3))
                swarm.disturb(draw)
                disturbed += 1
                if asked < writer.written * (snapshots + 1) // changes and asked < snapshots:
                    # Its bump reaches every bucket, and its seal follows, while this goes on.
                    asked_at_s = int(time.time())
                    request_backfill(kafka, TABLE)
                    asked += 1
                    if asked == 1:
                        swarm.join()
        for worker in swarm.workers:
            if not worker.alive:
                worker.start()
        lab.await_quiet(kafka, TABLE, quiet_s=8.0, timeout_s=300)
        lab.await_history(kafka, fake.history, TABLE, timeout_s=120)
        # A snapshot that is asked for while another is being read takes its place.
        topic = lab.await_changes(
            kafka,
            TABLE,
            lambda found: max(sealed_epochs(found), default=0) >= asked_at_s,
            timeout_s=60,
        )
    assert disturbed >= 5
    assert asked == snapshots
    lab.check_against(fake.history, TABLE, topic)
    seals = [(partition, seal.epoch) for partition, _, seal in topic.seals]
    sealed = sealed_epochs(topic)
    assert len(seals) == len(set(seals)) == PARTITIONS * len(sealed), "a seal twice, or in part"
    begun = {change.version[:10] for change in (*topic.stream(), *topic.reads())}
    assert 1 <= len(sealed) <= len(begun) <= snapshots + 1
    assert len(begun) >= 2, "no change carries the epoch of a snapshot that was asked for"
    print(f"{disturbed} kills and holds, {len(sealed)} of {snapshots + 1} snapshots sealed")
    scanned = [(change.key, change.version) for change in topic.reads()]
    assert len(scanned) == len(set(scanned)), "an item twice in one scan"
    found = lab.replay(topic, epoch_floor(max(sealed_epochs(topic))))
    items = {f'{{"id":{{"S":"{item["id"]["S"]}"}}}}': item["n"] for item in fake.items(TABLE)}
    assert {key: image["n"] for key, image in found.items()} == items


def sealed_epochs(topic: lab.Topic) -> set[int]:
    """Epochs whose seal stands in every partition."""
    by_epoch: dict[int, set[int]] = {}
    for partition, _, seal in topic.seals:
        by_epoch.setdefault(seal.epoch, set()).add(partition)
    return {epoch for epoch, found in by_epoch.items() if len(found) == PARTITIONS}
