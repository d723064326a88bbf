"""A processor with state over millions of changes: memory and disk are bounded.

`pytest -m bench tests/benchmarks/test_processor_memory.py --broker kafka -s`. The keys
change without order; a fourth of the changes touches 71 % of the keys, all of them 99 %, so state
may grow by 40 %, and nothing else may grow at all.
"""

from __future__ import annotations

import json
import random
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.wire.kafka import KafkaConfig
from processors.positions import Positions
from processors.testing import Changes, Sent
from tests.benchmarks import meter
from tests.benchmarks.report import at_most, surroundings
from tests.integration.processor_feed import ORDER_LINES, Feed
from tests.parts.brokers import EXPIRY, Broker, delete_topics
from tests.parts.process import Process
from tests.parts.waiting import wait_until

EVENTS = 5_000_000
KEYS = 1_000_000
_ROOT = str(Path(__file__).parents[2])
_CHUNK = 25_000
# How far the feed runs ahead.
_AHEAD = 100_000
_QUARTERS = 4


def changes_of(events: int, keys: int) -> Iterator[Sent]:
    """Orders that grow, shrink and are removed; what is there is one byte per key."""
    chance, changes = random.Random(7), Changes(key=["orderId"])
    known = bytearray(keys)
    for _ in range(events):
        number = chance.randrange(keys)
        lines, before = chance.randrange(1, 4), known[number]
        if before and chance.random() < 0.1:
            known[number] = 0
            yield changes.remove(order(number, before))
            continue
        known[number] = lines
        new = order(number, lines)
        yield changes.modify(new, order(number, before)) if before else changes.insert(new)


def order(number: int, lines: int) -> dict[str, Any]:
    """An order of so many lines."""
    return {
        "orderId": f"order-{number:08d}",
        "status": "open",
        "lines": [{"line_no": n, "sku": "x", "quantity": 1, "price": 2} for n in range(lines)],
    }


@pytest.mark.bench
@pytest.mark.timeout(3600)
def test_memory_and_disk_are_flat(broker: Broker, tmp_path: Path) -> None:
    print()
    kafka = KafkaConfig(
        brokers=broker.bootstrap,
        namespace=f"bench-{uuid.uuid4().hex[:8]}",
        static_membership=EXPIRY not in broker.capabilities,
    )
    feed, state = Feed(kafka), tmp_path / "state"
    feed.open()
    options = {
        "brokers": kafka.brokers,
        "namespace": kafka.namespace,
        "replica": "0",
        "static_membership": kafka.static_membership,
        "file": str(ORDER_LINES),
        "state_dir": str(state),
        "commit_interval_s": 1.0,
    }
    command = [sys.executable, "-m", "tests.integration.processor_process", json.dumps(options)]
    process = Process("processor", command, log=tmp_path / "log", environment={"PYTHONPATH": _ROOT})
    figures = []
    with process, Positions(kafka, f"{kafka.namespace}.explode_order_lines") as positions:
        sent, load = 0, changes_of(EVENTS, KEYS)
        begin_s = time.monotonic()
        for quarter in range(1, _QUARTERS + 1):
            while sent < EVENTS * quarter // _QUARTERS:
                chunk = [change for _, change in zip(range(_CHUNK), load, strict=False)]
                feed.send(*chunk)
                sent += len(chunk)
                _await_read(positions, feed, sent - _AHEAD, process)
            _await_read(positions, feed, sent, process)
            rss, disk = meter.rss_bytes(process.pid), disk_bytes(state)
            figures.append((rss, disk))
            wall_s, cpu_s = time.monotonic() - begin_s, meter.cpu_s(process.pid)
            print(
                f"{sent:>10,} changes {wall_s:>7.0f} s {cpu_s:>7.1f} CPU s  "
                f"RSS {rss / 1e6:>5.0f} MB  state {disk / 1e6:>6.0f} MB",
                flush=True,
            )
        process.kill()
    delete_topics(kafka.brokers, kafka.namespace)
    (early_rss, early_disk), (late_rss, late_disk) = figures[0], figures[-1]
    targets = [
        at_most("memory at the end, of that at a fourth", 1.15, late_rss / early_rss),
        at_most("state on disk at the end, of that at a fourth", 2.0, late_disk / early_disk),
    ]
    for line in [*surroundings(broker), *(target.line() for target in targets)]:
        print(line, flush=True)
    assert [target.line() for target in targets if not target.met] == []


def _await_read(positions: Positions, feed: Feed, count: int, process: Process) -> None:
    """Until the group has committed so many changes; markers of the feed's transactions count."""
    partitions = range(feed.partitions)

    def done() -> bool:
        assert process.alive, process.log_tail()
        committed = positions.committed(feed.topic, partitions)
        return sum(position or 0 for position in committed.values()) >= count

    wait_until(done, timeout_s=600.0, what=f"{count:,} changes to be committed", interval_s=0.2)


def disk_bytes(folder: Path) -> int:
    """All files below; one that goes while it is looked at is none."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size if path.is_file() else 0)
        except FileNotFoundError:
            continue
    return sum(sizes)
