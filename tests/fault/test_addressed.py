"""Addressed scans among normal ones: a transform that begins late ends up with exactly the source.

What such a transform takes is computed from the log as its processor takes it: retention may have
cut any number of records from the front of each partition before it asked; below the ends it noted
it takes records of the stream only.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from bridge.connector import addressed
from bridge.connector.checkpoints import Request
from bridge.connector.work import Message
from bridge.wire.envelope import Sealed, change_key, change_origin, change_version, header
from bridge.wire.namespace import NAMESPACE_PARTITION
from bridge.wire.version import epoch_floor
from tests.fault.sim_worker import CHANGES, CHECKPOINTS, PARTITIONS, TABLE
from tests.fault.simulator import Simulation

STEPS = 400
OTHERS = 3


@dataclass(frozen=True, slots=True)
class Late:
    """A transform that began late: the log's starts it found and the ends it noted."""

    name: str
    starts: tuple[int, ...]
    limits: tuple[int, ...]


class LateTransforms(Simulation):
    """A schedule in which transforms begin late, each at a moment of its own."""

    def __init__(self, seed: int, *, trims: bool = False) -> None:
        super().__init__(seed, trims=trims)
        self.late: list[Late] = []

    def step(self) -> None:
        """One thing happens; now and then a transform begins."""
        super().step()
        if len(self.late) < OTHERS and self.draw.random() < 0.012:
            self.begin_late()

    def _ask(self) -> None:
        if self.draw.random() < 0.2:  # a new generation covers what was asked for one transform
            super()._ask()

    def run(self, steps: int) -> None:
        """The schedule, quiet, a transform that begins while items change, and quiet again."""
        super().run(steps)
        self.begin_late()
        for _ in range(120):
            self.step()
        self.world.clear_faults()
        self.settle()

    def begin_late(self) -> None:
        """Note the ends, then ask; a processor that crashes asks again under the same id."""
        limits = tuple(self.kafka.end((CHANGES, p)) for p in range(PARTITIONS))
        starts = tuple(self.draw.randint(0, limit) for limit in limits)
        late = Late(f"late{len(self.late)}", starts, limits)
        self.late.append(late)
        self.steps.append(late.name)
        for _ in range(self.draw.choice([1, 1, 2])):
            self.ask_for(late)

    def ask_for(self, late: Late) -> None:
        request = Request(table=TABLE, id=late.name, at_s=0, addressed_to=late.name)
        message = Message(CHECKPOINTS, request.key(), request.value(), NAMESPACE_PARTITION)
        self.kafka.append(message, NAMESPACE_PARTITION)

    def log(self, partition: int) -> list[tuple[int, Message]]:
        """Committed changes of a partition with their offsets."""
        entries = self.kafka.logs.get((CHANGES, partition), [])
        return [
            (offset, entry.message)
            for offset, entry in enumerate(entries)
            if entry.transaction is None or entry.transaction.visible((CHANGES, partition))
        ]


def taken_by(simulation: LateTransforms, late: Late) -> tuple[dict[str, Any], int]:
    """The rows of a late transform, by item, and the epoch its dataset is sealed at."""
    state: dict[str, tuple[str, Any]] = {}
    seals: defaultdict[int, set[int]] = defaultdict(set)
    for partition in range(PARTITIONS):
        for offset, message in simulation.log(partition):
            assert message.value is not None
            above = offset >= late.limits[partition]
            if header(message.headers, "control"):
                seal = Sealed.decode(message.value)
                if above and seal.addressed_to in (None, late.name):
                    seals[seal.epoch].add(seal.partition)
                continue
            change = orjson.loads(message.value)
            origin = change_origin(change)
            if offset < late.starts[partition] or origin.addressed_to not in (None, late.name):
                continue
            from_stream = change["eventName"] != "READ" and origin.addressed_to is None
            if not (above or from_stream):
                continue
            key, version = change_key(change), change_version(change, origin)
            if key not in state or version > state[key][0]:
                state[key] = (version, change["dynamodb"].get("NewImage"))
    sealed = max((e for e, passed in seals.items() if len(passed) == PARTITIONS), default=0)
    floor = epoch_floor(sealed)
    return {k: i for k, (v, i) in state.items() if i is not None and v >= floor}, sealed


def run_all(seeds: range, *, trims: bool) -> int:
    """Run schedules and check each late transform; how many scans for one there were."""
    scans = 0
    for seed in seeds:
        simulation = LateTransforms(seed, trims=trims)
        try:
            simulation.run(STEPS)
            scans += check(simulation)
        except Exception as error:
            error.add_note(f"seed {seed} (trims={trims}): {simulation.steps}")
            raise
    return scans


def check(simulation: LateTransforms) -> int:
    wanted = {f'{{"id":{{"S":"{i["id"]["S"]}"}}}}': i for i in simulation.world.items(TABLE)}
    for late in simulation.late:
        live, sealed = taken_by(simulation, late)
        assert sealed, f"{late} waits for its seal"
        assert live == wanted, late
    view = simulation.committed_view()
    assert not view.requests[TABLE], "requests that nobody answered"
    reads: set[tuple[str, str, str]] = set()
    for partition in range(PARTITIONS):
        sealed_for = set()
        for _, message in simulation.log(partition):
            change = orjson.loads(message.value or b"{}")
            if header(message.headers, "control"):
                seal = Sealed.decode(message.value or b"")
                sealed_for.add((seal.addressed_to, seal.epoch))
            if change.get("eventName") == "READ" and change["tailrace"].get("for"):
                origin = change_origin(change)
                version = change_version(change, origin)
                read = (origin.addressed_to or "", change_key(change), version)
                behind = (origin.addressed_to, origin.epoch) in sealed_for
                assert not behind, f"{read} lies behind its seal"
                assert read not in reads, f"{read} was scanned twice"
                reads.add(read)
    return len({name for name, _, _ in reads})


@pytest.mark.parametrize("trims", [False, True], ids=["nothing lost", "gaps repaired"])
def test_a_transform_that_begins_late_ends_up_with_the_source(trims: bool) -> None:
    assert run_all(range(50), trims=trims) > 20


def _eager(_view: object, _scan: object) -> bool:
    return True


def test_a_seal_before_the_scan_is_read_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addressed, "_all_read", _eager)
    with pytest.raises(AssertionError):
        run_all(range(60), trims=False)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("trims", [False, True], ids=["nothing lost", "gaps repaired"])
def test_a_thousand_schedules_with_late_transforms(trims: bool) -> None:
    assert run_all(range(1000), trims=trims) > 400
