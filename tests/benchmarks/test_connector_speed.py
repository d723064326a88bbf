"""The connector's speed: records per CPU second of the process that reads.

`pytest -m bench tests/benchmarks/test_connector_speed.py --broker kafka -s` prints it all and then
fails if a target was missed. No run counts whose records did not all arrive exactly once. Runners
take turns, since the machine is shared and only ratios within a turn can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.benchmarks.race import BOTO_LOOP, CONNECTOR, FLOOR, Figures, Idle, Race
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything measured in one run of the benchmark."""

    duel: list[Figures]
    scale: dict[int, Figures]
    idle: Idle

    def targets(self) -> list[Target]:
        """The targets with their figures."""
        ours = median_of(self.duel, CONNECTOR)
        flattest = [run.cpu_ms for run in self.scale.values()]
        idle = self.idle
        return [
            at_least("times the boto3 loop", 20, ratio(self.duel, BOTO_LOOP, CONNECTOR)),
            at_least("records per CPU s", RECORDS_PER_CPU_S, ours.per_cpu_s),
            at_most("times the floor's CPU", 1.5, ratio(self.duel, CONNECTOR, FLOOR)),
            at_most("peak RSS at 64 busy shards", 300, self.scale[64].peak_rss_bytes / 1e6, " MB"),
            at_most("CPU per record, most over least", 1.5, max(flattest) / min(flattest)),
            at_most(f"core at {idle.shards} idle shards", 20, idle.core_share * 100, " %"),
            at_most("GetRecords/s of one idle shard", 5, idle.get_records_per_shard_s),
            at_most("DescribeStream/s", 10, idle.describe_stream_s),
        ]


@pytest.mark.bench
@pytest.mark.timeout(3000)
def test_records_per_cpu_second(broker: Broker, tmp_path: Path) -> None:
    print()
    show(surroundings(broker))
    idle = Race(broker, tmp_path, IDLE, poll_idle_s=IDLE_POLL_S).idle(30.0)
    show([idle_line(idle)])
    results = Results(duel=duel(broker, tmp_path), scale=scale(broker, tmp_path), idle=idle)
    for runner in RUNNERS:
        show([run_line(f"median of {REPETITIONS}", median_of(results.duel, runner))])
    targets = results.targets()
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
    """The connector from one shard to a thousand; by shards, the median of three turns."""
    runs: dict[int, list[Figures]] = {}
    for _ in range(3):
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
