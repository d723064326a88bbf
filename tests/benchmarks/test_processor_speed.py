"""The processor's speed: changes per CPU second, side by side with what one would write instead.

`pytest -m bench tests/benchmarks/test_processor_speed.py --broker kafka -s` prints it all and then
fails if a target was missed. No run counts whose rows, headers included, differ in any byte or in
their order from the others' in the same turn.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from statistics import median

import pytest

from bridge.wire.kafka import KafkaConfig
from processors.testing import Changes, Sent
from tests.benchmarks.processor_race import BARE, OURS, STOCK, Run, race
from tests.benchmarks.report import Target, at_least, at_most, surroundings
from tests.integration.processor_feed import workload
from tests.parts.brokers import Broker

REPETITIONS = 3
CHANGES = 100_000
RUNNERS = (OURS, STOCK, BARE)
TASKS = ("select", "lines")


def load_of(count: int) -> list[Sent]:
    """Inserted, changed and removed orders."""
    return workload(Changes(key=["orderId"]), count, seed=4, items=count // 5)


def turn(broker: Broker, folder: Path, task: str, load: list[Sent]) -> list[Run]:
    """Every runner once.

    Raises:
        AssertionError: they do not write the same.
    """
    runs = []
    for runner in RUNNERS:
        namespace = f"bench-{uuid.uuid4().hex[:8]}"
        kafka = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)
        runs.append(race(kafka, folder, runner, task, load))
    first = runs[0].rows
    assert sum(map(len, first.values())) > 0
    assert [run.runner for run in runs if run.rows != first] == []
    return runs


def ratio(turns: list[list[Run]], upper: str, lower: str) -> float:
    """Median over the turns of one runner's CPU over another's."""
    by_name = [{run.runner: run.cpu_us for run in runs} for runs in turns]
    return median(own[upper] / own[lower] for own in by_name)


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_changes_per_cpu_second(broker: Broker, tmp_path: Path) -> None:
    print()
    load, targets = load_of(CHANGES), list[Target]()
    for task in TASKS:
        turns = []
        for repetition in range(REPETITIONS):
            turns.append(turn(broker, tmp_path, task, load))
            for run in turns[-1]:
                print(run.line(f"turn {repetition + 1}"), flush=True)
        for number, runner in enumerate(RUNNERS):
            cpu_us = median(runs[number].cpu_us for runs in turns)
            print(f"median            {task:<8}{runner:<12}{1e6 / cpu_us:>9,.0f} changes/CPU s")
        targets.append(at_least(f"{task}: times stock Quix", 2, ratio(turns, STOCK, OURS)))
        if task == "select":
            targets.append(at_most(f"{task}: the bare loop's CPU", 1.6, ratio(turns, OURS, BARE)))
        else:
            print(f"{task}: {ratio(turns, OURS, BARE):.2f} times the bare loop's CPU")
    for line in [*surroundings(broker), *(target.line() for target in targets)]:
        print(line, flush=True)
    assert [target.line() for target in targets if not target.met] == []


@pytest.mark.integration
@pytest.mark.real
@pytest.mark.parametrize("task", TASKS)
def test_every_runner_passes_the_gate(broker: Broker, tmp_path: Path, task: str) -> None:
    runs = turn(broker, tmp_path, task, load_of(2_000))
    assert all(run.cpu_s > 0 and run.peak_rss_bytes > 10e6 for run in runs)
