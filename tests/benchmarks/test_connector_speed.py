"""The connector's speed: records per CPU second of the process that reads.

`pytest -m bench tests/benchmarks/test_connector_speed.py --broker kafka -s` prints it all and then
fails if a target was missed. No run counts whose records did not all arrive exactly once. Runners
take turns, since the machine is shared and only ratios within a turn can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.benchmarks.race import BOTO_LOOP, CONNECTOR, FLOOR, Figures, Race
from tests.benchmarks.report import (
    Target,
    at_least,
    at_most,
    idle_line,
    median_of,
    ratio,
    run_line,
    surroundings,
)
from tests.benchmarks.streams_server import Load
from tests.parts.brokers import Broker

REPETITIONS = 3
IDLE_POLL_S = 5.0
RUNNERS = (CONNECTOR, FLOOR, BOTO_LOOP)
DUEL = Load(shards=8, busy=8, pages=25)
BOTO_DUEL = Load(shards=8, busy=8, pages=2)
# The same number of records each time, however many shards they come from.
SCALE = (
    Load(shards=1, busy=1, pages=200),
    Load(shards=64, busy=64, pages=3),
    Load(shards=1000, busy=200, pages=1),
)
IDLE = Load(shards=1000, busy=0, pages=0)
RECORDS_PER_CPU_S = 100_000


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_records_per_cpu_second(broker: Broker, tmp_path: Path) -> None:
    print()
    show(surroundings(broker))
    runs = duel(broker, tmp_path)
    for runner in RUNNERS:
        show([run_line(f"median of {REPETITIONS}", median_of(runs, runner))])
    ours = median_of(runs, CONNECTOR)
    judge(
        broker,
        at_least("times the boto3 loop", 20, ratio(runs, BOTO_LOOP, CONNECTOR)),
        at_least("records per CPU s", RECORDS_PER_CPU_S, ours.per_cpu_s),
        at_most("times the floor's CPU", 1.5, ratio(runs, CONNECTOR, FLOOR)),
    )


@pytest.mark.bench
@pytest.mark.timeout(1800)
def test_cpu_per_record_from_one_shard_to_a_thousand(broker: Broker, tmp_path: Path) -> None:
    print()
    show(surroundings(broker))
    runs = scale(broker, tmp_path)
    by_shards = [run.cpu_ms for run in runs.values()]
    judge(
        broker,
        at_most("CPU per record, most over least", 1.5, max(by_shards) / min(by_shards)),
        at_most("peak RSS at 64 busy shards", 300, runs[64].peak_rss_bytes / 1e6, " MB"),
    )


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_a_thousand_idle_shards(broker: Broker, tmp_path: Path) -> None:
    print()
    idle = Race(broker, tmp_path, IDLE, poll_idle_s=IDLE_POLL_S).idle(30.0)
    show([idle_line(idle)])
    judge(
        broker,
        at_most(f"core at {idle.shards} idle shards", 20, idle.core_share * 100, " %"),
        at_most("GetRecords/s of one idle shard", 5, idle.get_records_per_shard_s),
        at_most("DescribeStream/s", 10, idle.describe_stream_s),
    )


def judge(broker: Broker, *targets: Target) -> None:
    """Print the targets with their figures; fail if one was missed."""
    show([*surroundings(broker), *(target.line() for target in targets)])
    missed = [target.line() for target in targets if not target.met]
    assert not missed


def duel(broker: Broker, folder: Path) -> list[Figures]:
    """Every runner in turn, several times."""
    runs = []
    for repetition in range(REPETITIONS):
        for runner in RUNNERS:
            load = BOTO_DUEL if runner == BOTO_LOOP else DUEL
            runs.append(Race(broker, folder, load).run(runner))
            show([run_line(f"{load.busy} shards, turn {repetition + 1}", runs[-1])])
    return runs


def scale(broker: Broker, folder: Path) -> dict[int, Figures]:
    """The connector from one shard to a thousand; by shards, the median of all turns."""
    runs: dict[int, list[Figures]] = {}
    for _ in range(REPETITIONS):
        for load in SCALE:
            run = Race(broker, folder, load, poll_idle_s=IDLE_POLL_S).run(CONNECTOR)
            runs.setdefault(load.shards, []).append(run)
            show([run_line(f"{load.shards} shards, {load.busy} busy", run)])
    return {shards: median_of(own, CONNECTOR) for shards, own in runs.items()}


def show(lines: Iterable[str]) -> None:
    """Print at once: it takes minutes."""
    for line in lines:
        print(line, flush=True)


@pytest.mark.integration
def test_every_runner_passes_the_gate(broker: Broker, tmp_path: Path) -> None:
    race = Race(broker, tmp_path, Load(shards=2, busy=2, pages=2, records=50), interval_s=0.2)
    runs = {runner: race.run(runner) for runner in RUNNERS}
    assert {run.records for run in runs.values()} == {200}
    assert all(run.cpu_s > 0 and run.peak_rss_bytes > 10e6 for run in runs.values())
    assert runs[BOTO_LOOP].cpu_ms > runs[FLOOR].cpu_ms
    for run in runs.values():
        assert run.runner in run_line("smoke", run)


@pytest.mark.integration
def test_an_idle_connector_is_metered(broker: Broker, tmp_path: Path) -> None:
    race = Race(broker, tmp_path, Load(shards=120, busy=0, pages=0), poll_idle_s=0.5)
    idle = race.idle(2.0)
    assert idle.core_share > 0
    assert 0 < idle.get_records_per_shard_s <= 5
    assert 1 <= idle.describe_stream_s <= 10
    assert idle.get_records_per_s > 100
