"""Keyed rows on a broker: through both steps, kills, lost state and a new snapshot of the source.

What a reader of committed rows makes of them, as the sink does, equals the items aggregated in
plain Python; and no version of a target key is there twice or goes back.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

import processors.examples.status_totals
from bridge.wire.kafka import KafkaConfig
from processors.testing import Changes
from tests.integration.processor_feed import Feed
from tests.parts.process import Process
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TOTALS = Path(processors.examples.status_totals.__file__)
TIMEOUT_S = 90.0
SEED = int(os.environ.get("PRODUCT_SEED", "20261124"))
STATUSES = ["open", "paid", "sent", "done"]


class Source:
    """A table of orders, and a feed of what happens to it."""

    def __init__(self, feed: Feed, chance: random.Random) -> None:
        self._feed = feed
        self._chance = chance
        self.items: dict[str, dict[str, object]] = {}

    def change(self, count: int, names: int = 200) -> None:
        """Orders come, change status and total, and go."""
        sent, chance, changes = [], self._chance, self._feed.changes
        for _ in range(count):
            name = f"o-{chance.randrange(names)}"
            old = self.items.get(name)
            if old is not None and chance.random() < 0.2:
                sent.append(changes.remove(self.items.pop(name)))
                continue
            total = chance.randrange(10_000)
            new = {"orderId": name, "orderTotal": total, "status": chance.choice(STATUSES)}
            sent.append(changes.modify(new, old) if old else changes.insert(new))
            self.items[name] = new
        self._feed.send(*sent)

    def rescan(self) -> None:
        """A new generation: some items vanished in the gap, the others are read again."""
        for name in self._chance.sample(sorted(self.items), len(self.items) // 4):
            del self.items[name]
        epoch = self._feed.changes.epoch + 1
        self._feed.changes = Changes(key=["orderId"], epoch=epoch)
        self._feed.send(*map(self._feed.changes.read, self.items.values()))
        self._feed.seal()

    def totals(self) -> dict[str, tuple[int, str, str]]:
        """What the table must show."""
        groups = defaultdict(list)
        for item in self.items.values():
            groups[item["status"]].append(item["orderTotal"])
        return {
            status: (len(values), f"{sum(values)}.00", f"{max(values)}.00")
            for status, values in groups.items()
        }


def table(feed: Feed) -> dict[str, tuple[int, str, str]]:
    """What the sink makes of the rows: the newest of each key, none below the sealed epoch."""
    if not feed.has_rows(TOTALS):
        return {}
    newest: dict[str, dict] = {}
    sealed: dict[int, int] = {}
    for partition, rows in feed.rows(TOTALS).items():
        for _, value in rows:
            row = json.loads(value)
            if "tailrace" in row:
                assert row["tailrace"]["partition"] == partition
                sealed[partition] = row["tailrace"]["epoch"]
                continue
            known = newest.get(row["_key"])
            if not feed.kafka.static_membership:
                assert known is None or row["_version"] > known["_version"]
            if known is None or row["_version"] >= known["_version"]:
                newest[row["_key"]] = row
    floor = f"{min(sealed.values()):010d}" if len(sealed) == feed.partitions else ""
    return {
        row["status"]: (row["orders"], row["total"], row["largest"])
        for row in newest.values()
        if row["_op"] == "upsert" and row["_version"] >= floor
    }


@pytest.fixture
def feed(kafka: KafkaConfig) -> Feed:
    opened = Feed(kafka)
    opened.open()
    return opened


@pytest.fixture
def launch(kafka: KafkaConfig, tmp_path: Path):
    """Makes processor processes; what is left of them dies with the test."""
    made: list[Process] = []

    def make() -> Process:
        options = {
            "brokers": kafka.brokers,
            "namespace": kafka.namespace,
            "replica": "0",
            "static_membership": kafka.static_membership,
            "file": str(TOTALS),
            "state_dir": str(tmp_path / "state"),
        }
        command = [sys.executable, "-m", "tests.integration.processor_process"]
        log = tmp_path / f"processor-{len(made)}.log"
        process = Process("processor", [*command, json.dumps(options)], log=log)
        made.append(process)
        process.start()
        return process

    yield make
    for process in made:
        process.kill()


def await_table(feed: Feed, process: Process, source: Source) -> None:
    def there() -> bool:
        assert process.alive, process.log_tail()
        return table(feed) == source.totals()

    try:
        wait_until(there, timeout_s=TIMEOUT_S, what="the totals", interval_s=0.3)
    except AssertionError as error:
        message = f"{error}\n{table(feed)}\n{source.totals()}\n{process.log_tail()}"
        raise AssertionError(message) from None


def test_totals_follow_the_items_across_a_snapshot_and_a_restart_without_state(
    feed, launch, tmp_path
):
    source = Source(feed, random.Random(SEED))
    source.change(300)
    process = launch()
    await_table(feed, process, source)
    assert process.stop() == 0, process.log_tail()
    shutil.rmtree(tmp_path / "state")
    source.rescan()
    source.change(100)
    process = launch()
    await_table(feed, process, source)
    assert process.stop() == 0, process.log_tail()


@pytest.mark.real
def test_killed_at_random_with_state_deleted_at_random(feed, launch, tmp_path):
    chance = random.Random(SEED + 1)
    source = Source(feed, chance)
    process = launch()
    for round_number in range(8):
        source.change(400)
        if round_number in (3, 6):
            source.rescan()
        source.change(200)
        time.sleep(chance.uniform(0.2, 3))  # where in its work the kill strikes
        process.kill()
        if chance.random() < 0.5:
            shutil.rmtree(tmp_path / "state", ignore_errors=True)
        process = launch()
    await_table(feed, process, source)
    assert process.stop() == 0, process.log_tail()
    assert table(feed) == source.totals()
