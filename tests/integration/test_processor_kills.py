"""Processors killed, paused, doubled and robbed of their state: each row once, in order.

What a reader of committed messages finds is compared, partition by partition, with the sequence an
undisturbed run gives: a lost, doubled, reordered or wrongly retracted row can't hide.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.wire.kafka import KafkaConfig, committed_ends
from bridge.wire.topics import admin
from processors.positions import Positions
from processors.testing import Sent
from tests.integration.processor_feed import ORDER_LINES, ORDERS, Feed, Message, workload
from tests.parts.process import Process
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TIMEOUT_S = 90.0
Rows = dict[int, list[Message]]
SEED = int(os.environ.get("PRODUCT_SEED", "20261123"))


@pytest.fixture
def feed(kafka: KafkaConfig) -> Feed:
    opened = Feed(kafka)
    opened.open()
    return opened


@pytest.fixture
def launch(kafka: KafkaConfig, tmp_path: Path):
    """Makes processor processes; what is left of them dies with the test."""
    made: list[Process] = []

    def make(file: Path = ORDER_LINES, *, replica: str = "0", fail: str = "") -> Process:
        options = {
            "brokers": kafka.brokers,
            "namespace": kafka.namespace,
            "replica": replica,
            "static_membership": kafka.static_membership,
            "file": str(file),
            "state_dir": str(tmp_path / "state"),
        }
        command = [sys.executable, "-m", "tests.integration.processor_process"]
        process = Process(
            f"processor {replica}",
            [*command, json.dumps(options)],
            log=tmp_path / f"processor-{len(made)}.log",
            environment={"TAILRACE_FAIL": fail},
        )
        made.append(process)
        process.start()
        return process

    yield make
    for process in made:
        process.kill()


def count(feed: Feed, file: Path) -> int:
    if not feed.has_rows(file):
        return 0
    return sum(map(len, feed.rows(file).values()))


def await_progress(feed: Feed, process: Process, before: int, file: Path = ORDER_LINES) -> None:
    """Wait for more than `before` rows."""

    def more() -> bool:
        assert process.alive, process.log_tail()
        return count(feed, file) > before

    try:
        wait_until(more, timeout_s=TIMEOUT_S, what="progress", interval_s=0.2)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{standing(feed, process)}") from None


def standing(feed: Feed, process: Process) -> str:
    """Where a processor that gets nowhere stands: its stack, its positions, the log's ends."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGUSR1)
        time.sleep(1)  # the process writes its stack whenever it is scheduled
    with Positions(feed.kafka, f"{feed.kafka.namespace}.explode_order_lines") as positions:
        committed = positions.committed(feed.topic, range(feed.partitions))
    ends = committed_ends(admin(feed.kafka), feed.topic, range(feed.partitions))
    return f"{process.log_tail()}\ncommitted {committed} of {ends}"


def differences(found: Rows, expected: Rows) -> list[str]:
    """Per partition: how many there are of how many, and where they first differ."""
    lines = []
    for partition, wanted in expected.items():
        rows = found[partition]
        same = sum(
            1 for _ in itertools.takewhile(lambda p: p[0] == p[1], zip(rows, wanted, strict=False))
        )
        here, there = rows[same : same + 1], wanted[same : same + 1]
        lines.append(f"{partition}: {len(rows)} of {len(wanted)}, from {same}: {here} {there}")
    return lines


def await_exactly(feed: Feed, file: Path, process: Process) -> None:
    """Wait for as many rows as expected, then compare the sequences."""
    expected = feed.expected(file)
    total = sum(map(len, expected.values()))
    timeout_s = TIMEOUT_S + total / 1_000

    def complete() -> bool:
        assert process.alive, process.log_tail()
        return count(feed, file) >= total

    try:
        wait_until(complete, timeout_s=timeout_s, what=f"{total} rows", interval_s=0.3)
    except AssertionError as error:
        found = "\n".join(differences(feed.rows(file), expected))
        raise AssertionError(f"{error}\n{found}\n{standing(feed, process)}") from None
    assert feed.rows(file) == expected
    # Others may have written it all before this one was ready to be stopped.
    wait_until(
        lambda: "now processing" in process.log_tail(1_000), timeout_s=TIMEOUT_S, what="its start"
    )
    assert process.stop() == 0, process.log_tail()
    assert feed.rows(file) == expected


SIZES = [
    pytest.param(20_000, 60, 8, id="20,000", marks=pytest.mark.real),
    pytest.param(
        300_000, 5_000, 30, id="300,000", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]
    ),
]


@pytest.mark.parametrize(("events", "items", "rounds"), SIZES)
def test_killed_at_random_with_state_deleted_at_random(
    feed, launch, tmp_path, events, items, rounds
):
    chance = random.Random(SEED)
    messages = workload(feed.changes, events, seed=SEED, items=items)
    size = events // rounds
    for start in range(0, events, size):
        batch = messages[start : start + size]
        before = count(feed, ORDER_LINES)
        # Some die between the writing and the commit of a checkpoint, the others anywhere.
        nth = chance.randrange(2, 6)
        process = launch(fail=f"processor.prepared:{nth}" if chance.random() < 0.4 else "")
        feed.send(*batch[: size // 2])
        await_progress_or_death(feed, process, before)
        feed.send_aborted(*batch[:5])
        feed.send(*batch[size // 2 :])
        time.sleep(chance.uniform(0, 0.4))  # where in its work the kill strikes
        process.kill()
        if chance.random() < 0.5:
            shutil.rmtree(tmp_path / "state")
    feed.seal()
    await_exactly(feed, ORDER_LINES, launch())


def await_progress_or_death(feed: Feed, process: Process, before: int) -> None:
    """Wait for more than `before` rows, or for the end that a failpoint makes."""
    wait_until(
        lambda: not process.alive or count(feed, ORDER_LINES) > before,
        timeout_s=TIMEOUT_S,
        what="progress",
        interval_s=0.2,
    )
    assert process.alive or process.exit_code == -signal.SIGKILL, process.log_tail()


@pytest.mark.parametrize(
    ("point", "wiped"),
    [
        ("processor.prepared", True),  # the rest in the real lane
        pytest.param("processor.prepared", False, marks=pytest.mark.real),
        pytest.param("processor.processed", True, marks=pytest.mark.real),
        pytest.param("processor.committed", True, marks=pytest.mark.real),
    ],
)
def test_killed_at_each_step_of_a_checkpoint(feed, launch, tmp_path, point, wiped):
    messages = iter(workload(feed.changes, 1_000, seed=SEED + 1))
    feed.send(*itertools.islice(messages, 200))
    # The first checkpoint, one in the middle, and one whose predecessor died at the same place.
    nth = {"processor.processed": (1, 120, 7)}.get(point, (1, 2, 1))
    for hits in nth:
        process = launch(fail=f"{point}:{hits}")
        feed_until_it_dies(feed, process, messages)
        assert process.exit_code == -9, process.log_tail()
        if wiped:
            shutil.rmtree(tmp_path / "state", ignore_errors=True)
    feed.send(*messages)
    await_exactly(feed, ORDER_LINES, launch())


def feed_until_it_dies(feed: Feed, process: Process, messages: Iterator[Sent]) -> None:
    """A few changes at a time, so that one checkpoint follows another."""

    def dead() -> bool:
        if process.alive:
            feed.send(*itertools.islice(messages, 5))
        return not process.alive

    wait_until(dead, timeout_s=TIMEOUT_S, what="the process to die", interval_s=0.3)


def test_sigterm_finishes_commits_and_exits_with_0(feed, launch):
    feed.send(*workload(feed.changes, 500, seed=SEED + 2))
    process = launch(ORDERS)
    await_progress(feed, process, 0, ORDERS)
    assert process.stop() == 0, process.log_tail()
    assert "Traceback" not in process.log_tail(1000)
    successor = launch(ORDERS)
    wait_until(
        lambda: "now processing" in successor.log_tail(), timeout_s=TIMEOUT_S, what="its start"
    )
    await_exactly(feed, ORDERS, successor)


@pytest.mark.real
def test_a_paused_processor_that_wakes_after_its_successor_is_fenced(feed, launch):
    messages = workload(feed.changes, 900, seed=SEED + 3)
    feed.send(*messages[:300])
    zombie = launch()
    await_progress(feed, zombie, 0)
    feed.send(*messages[300:600])
    zombie.pause()
    before = count(feed, ORDER_LINES)
    successor = launch()
    feed.send(*messages[600:700])
    await_progress(feed, successor, before)
    zombie.resume()
    rest = iter(messages[700:])

    def ended() -> bool:
        # Had it nothing to write, nobody would refuse it.
        feed.send(*itertools.islice(rest, 1))
        return not zombie.alive

    try:
        wait_until(ended, timeout_s=TIMEOUT_S, what="the zombie to end", interval_s=0.25)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{zombie.log_tail()}\n{successor.log_tail()}") from None
    feed.send(*rest)
    assert zombie.wait(timeout_s=TIMEOUT_S) == 1, zombie.log_tail()
    last = zombie.log_tail(1)
    assert last.startswith("ended: "), zombie.log_tail()
    # Waking, it may have taken the member id back once more before its producer was refused; the
    # successor then ends too and is started again, as a supervisor does.
    successor.kill()
    await_exactly(feed, ORDER_LINES, launch())


@pytest.mark.needs("expiry", "txn_timeout")
def test_a_paused_replica_loses_its_partitions_beyond_the_transaction_timeout(feed, launch):
    messages = workload(feed.changes, 1_200, seed=SEED + 4)
    feed.send(*messages[:300])
    zombie = launch(replica="a")
    await_progress(feed, zombie, 0)
    feed.send(*messages[300:600])
    zombie.pause()
    before = count(feed, ORDER_LINES)
    successor = launch(replica="b")
    feed.send(*messages[600:900])
    # Session and transaction have to run out on the broker first.
    await_progress(feed, successor, before)
    zombie.resume()
    feed.send(*messages[900:])
    assert zombie.wait(timeout_s=TIMEOUT_S) == 1, zombie.log_tail()
    await_exactly(feed, ORDER_LINES, successor)


@pytest.mark.needs("expiry")
def test_two_replicas_share_partitions_and_take_over_from_one_another(feed, launch):
    messages = iter(workload(feed.changes, 2_000, seed=SEED + 5))
    first, second = launch(replica="a"), launch(replica="b")
    for victim in (second, first):
        before = count(feed, ORDER_LINES)
        feed.send(*itertools.islice(messages, 500))
        await_progress(feed, victim, before)
        victim.kill()
        if victim is second:
            second = launch(replica="b")
    feed.send(*messages)
    await_exactly(feed, ORDER_LINES, second)


@pytest.mark.needs("expiry", "txn_timeout")
def test_three_replicas_are_killed_in_turn_and_robbed_of_their_state(feed, launch, tmp_path):
    chance = random.Random(SEED + 6)
    messages = iter(workload(feed.changes, 4_000, seed=SEED + 6))
    replicas = {name: launch(replica=name) for name in ("a", "b", "c")}
    for _ in range(4):
        before = count(feed, ORDER_LINES)
        feed.send(*itertools.islice(messages, 800))
        await_progress(feed, replicas["a"], before)
        name = chance.choice(["b", "c"])
        replicas[name].kill()
        for folder in (tmp_path / "state").glob(f"*/{name}"):
            if chance.random() < 0.5:
                shutil.rmtree(folder)
        replicas[name] = launch(replica=name)
    feed.send(*messages)
    await_exactly(feed, ORDER_LINES, replicas["a"])
