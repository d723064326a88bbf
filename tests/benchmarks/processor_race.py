"""One run of one processor: let it settle, give it everything in one transaction, meter it.

The load becomes visible at the moment its transaction commits. The CPU counted lies between that
moment and the first look that saw the whole load committed by the processor's group; starting up is
not in it. Feed, broker and processor are processes of their own.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from bridge.wire.kafka import KafkaConfig, committed_ends, read_to_end
from bridge.wire.topics import TopicSpec, admin, ensure_topics
from processors.application import LINGER_MS
from processors.compiled import compile_transform
from processors.loader import load_transforms
from processors.positions import Positions
from processors.testing import Sent
from tests.benchmarks import meter
from tests.integration.processor_feed import ORDER_LINES, ORDERS, Feed
from tests.parts.brokers import delete_topics
from tests.parts.process import Process
from tests.parts.waiting import wait_until

OURS, STOCK, BARE = "ours", "stock Quix", "bare loop"
FILES = {"select": ORDERS, "lines": ORDER_LINES}
_WARM_UP = 500
_INTERVAL_S = 1.0
_ROOT = str(Path(__file__).parents[2])
_MODULES = {
    OURS: "tests.integration.processor_process",
    STOCK: "tests.benchmarks.stock_quix",
    BARE: "tests.benchmarks.bare_processor",
}
Rows = dict[int, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run gave; `rows` by partition, in order."""

    runner: str
    task: str
    changes: int
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    rows: Rows

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per change."""
        return self.cpu_s / self.changes * 1e6

    def line(self, label: str) -> str:
        """For people."""
        return (
            f"{label:<18}{self.task:<8}{self.runner:<12}{1e6 / self.cpu_us:>9,.0f} changes/CPU s "
            f"{self.cpu_us:>7.1f} us CPU each {self.cpu_s:>6.2f} CPU s {self.wall_s:>5.1f} s "
            f"{self.peak_rss_bytes / 1e6:>5.0f} MB"
        )


def race(kafka: KafkaConfig, folder: Path, runner: str, task: str, load: list[Sent]) -> Run:
    """Run it; `kafka`'s namespace is this run's own and is gone afterwards.

    Raises:
        AssertionError: it ended or did not get to the end.
    """
    feed = Feed(kafka)
    feed.open()
    (transform,) = load_transforms(FILES[task])
    compiled = compile_transform(transform)
    rows_topic = feed.rows_topic(FILES[task])
    group = f"{kafka.namespace}.{compiled.name if runner == OURS else 'rival'}"
    state = folder / kafka.namespace
    options = _options(runner, task, feed, state)
    if runner != OURS:
        topics = [rows_topic, options["changelog"]]
        ensure_topics(admin(kafka), [TopicSpec(name=t, partitions=feed.partitions) for t in topics])
    process = Process(
        runner,
        [sys.executable, "-m", _MODULES[runner], json.dumps(options)],
        log=folder / f"{kafka.namespace}.log",
        environment={"PYTHONPATH": _ROOT},
    )
    with process:
        feed.send(*load[:_WARM_UP])
        _await_done(feed, group, process)
        begin_cpu_s, begin_s = _send(feed, load[_WARM_UP:], process)
        _await_done(feed, group, process)
        cpu_s, end_s = meter.cpu_s(process.pid) - begin_cpu_s, time.monotonic()
        peak = meter.peak_rss_bytes(process.pid)
        process.kill()
    rows = _rows(kafka, rows_topic, feed.partitions)
    delete_topics(kafka.brokers, kafka.namespace)
    shutil.rmtree(state, ignore_errors=True)
    return Run(
        runner=runner,
        task=task,
        changes=len(load) - _WARM_UP,
        cpu_s=cpu_s,
        wall_s=end_s - begin_s,
        peak_rss_bytes=peak,
        rows=rows,
    )


def _options(runner: str, task: str, feed: Feed, state: Path) -> dict[str, Any]:
    kafka = feed.kafka
    if runner == OURS:
        return {
            "brokers": kafka.brokers,
            "namespace": kafka.namespace,
            "replica": kafka.replica,
            "static_membership": kafka.static_membership,
            "file": str(FILES[task]),
            "state_dir": str(state),
            "commit_interval_s": _INTERVAL_S,
        }
    group = f"{kafka.namespace}.rival"
    producer = kafka.producer(transactional_id=group, statistics_interval_ms=0)
    producer["linger.ms"] = LINGER_MS
    consumer = kafka.client(
        fetch_message_max_bytes=4 * 1024 * 1024, fetch_wait_max_ms=100, statistics_interval_ms=0
    )
    if runner == BARE:
        own = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = {**consumer, **own}
    state.mkdir(parents=True, exist_ok=True)
    compiled = compile_transform(load_transforms(FILES[task])[0])
    return {
        "brokers": kafka.brokers,
        "group": group,
        "task": task,
        "topic": feed.topic,
        "rows": feed.rows_topic(FILES[task]),
        "changelog": f"{kafka.namespace}.changelog",
        "fingerprint": compiled.schema.fingerprint,
        "state_dir": str(state),
        "interval_s": _INTERVAL_S,
        "consumer": consumer,
        "producer": producer,
    }


def _send(feed: Feed, load: list[Sent], process: Process) -> tuple[float, float]:
    """Write the load; the processor's CPU and the time when it became visible."""
    producer = Producer(feed.kafka.producer(transactional_id=f"{feed.kafka.namespace}.load"))
    producer.init_transactions(30)
    producer.begin_transaction()
    for sent in load:
        while True:
            try:
                producer.produce(feed.topic, sent.value, sent.key)
                break
            except BufferError:
                producer.poll(1)
    producer.flush(60)
    begin = meter.cpu_s(process.pid), time.monotonic()
    producer.commit_transaction(30)
    return begin


def _await_done(feed: Feed, group: str, process: Process) -> None:
    """Until the group has committed all there is, the last marker perhaps excepted."""
    partitions = range(feed.partitions)
    ends = committed_ends(admin(feed.kafka), feed.topic, partitions)
    with Positions(feed.kafka, group) as positions:

        def done() -> bool:
            assert process.alive, process.log_tail()
            committed = positions.committed(feed.topic, partitions)
            return all((committed[p] or 0) >= end - 1 for p, end in ends.items())

        wait_until(done, timeout_s=120.0, what="all to be committed", interval_s=0.05)


def _rows(kafka: KafkaConfig, topic: str, partitions: int) -> Rows:
    found: Rows = {partition: [] for partition in range(partitions)}
    for message in read_to_end(kafka, topic, range(partitions)):
        row = (message.key(), message.value(), tuple(message.headers() or ()))
        found[message.partition()].append(row)
    return found
