"""Rules that matter in rare schedules only: the simulator notices when one of them is taken away.

Each schedule is run with the rule, which must hold, and without it, which must be seen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from bridge.connector import plan, shards
from bridge.connector.checkpoints import Generation
from bridge.connector.plan import shard_bucket
from bridge.connector.shards import ShardState, ShardView, shard_state, shard_views
from bridge.connector.view import CheckpointView
from bridge.connector.work import Message
from tests.fault.log import Place, SimKafka
from tests.fault.sim_worker import BUCKETS, CHECKPOINTS, TABLE, SimWorker
from tests.fault.simulator import KEYS, Simulation
from tests.fault.test_simulator import check, run_all

DAY_S = 24 * 3600
_gate, _read = shards._gate, SimKafka.read


def _without_own_bump(view: CheckpointView, shard: shards.Shard, bump: int) -> ShardState:
    state = _gate(view, shard, bump)
    return ShardState.READ if state is ShardState.WAIT_EPOCH else state


def _without_epochs(view: CheckpointView, generation: Generation, _buckets: int) -> bool:
    if generation.segments == 0 or view.active_gaps(generation.table):
        return False
    return all(_placed(view, known, generation) for known in _known(view, generation))


def _without_places(view: CheckpointView, generation: Generation, buckets: int) -> bool:
    if generation.segments == 0 or view.active_gaps(generation.table):
        return False
    arn, epoch = generation.arn, generation.epoch
    return all(view.bump(arn, bucket) >= epoch for bucket in range(buckets))


def _known(view: CheckpointView, generation: Generation) -> list[ShardView]:
    return shard_views(view, generation.table, generation.arn)


def _placed(view: CheckpointView, known: ShardView, generation: Generation) -> bool:
    unplaced = (ShardState.PLACE, ShardState.RESTART)
    return shard_state(view, known, generation.epoch) not in unplaced


def _uncommitted(
    kafka: SimKafka, place: Place, position: int, most: int
) -> tuple[list[Message], int]:
    if place[0] != CHECKPOINTS:
        return _read(kafka, place, position, most)
    found = [entry.message for entry in kafka.logs.get(place, [])[position : position + most]]
    return found, position + len(found)


def give_all(simulation: Simulation, owner: SimWorker) -> None:
    """One worker owns every bucket; the others own nothing."""
    for worker in simulation.workers:
        worker.owned.clear()
    for bucket in range(BUCKETS):
        owner.acquire(bucket)


def write_all(simulation: Simulation) -> None:
    """Every item changes."""
    for number in range(KEYS):
        simulation.written += 1
        item = {"id": {"S": f"k{number}"}, "n": {"N": str(simulation.written)}}
        simulation.world.put(TABLE, item)


def children_in_a_bucket_without_the_bump() -> None:
    """One worker has begun a new epoch; another has not heard of it and owns a child's bucket."""
    met = [child_in_a_bucket_without_the_bump(seed) for seed in range(30)]
    assert any(met), "no child came into the slow worker's bucket: the schedules show nothing"


def child_in_a_bucket_without_the_bump(seed: int) -> bool:
    """Whether the schedule of this seed has such a child."""
    simulation = Simulation(seed)
    quick, slow = simulation.workers[:2]
    give_all(simulation, quick)
    for _ in range(4):
        simulation.round(quick)
    quick.owned.pop(1)
    slow.acquire(1)
    simulation.markers()
    for partition in range(BUCKETS):
        slow.tail(partition, 10**6)
    simulation.ask_for_scan()
    arn, met = simulation.world.stream_arn(TABLE), False
    for _ in range(6):
        simulation.round(quick)  # whatever it reads from now on carries the new epoch
        write_all(simulation)
        for shard in simulation.world.open_shards(TABLE):
            simulation.world.rotate(shard)
        simulation.round(quick)
        simulation.markers()
        slow.tail(2, 10**6)  # it sees that parents have ended, and not why
        slow.plan()
        owned = slow.ready()[1]
        for _ in range(4 * len(owned.readers)):
            slow.read(owned)
        while owned.backlog:
            slow.commit(1)
        met = met or any(
            known.shard.parent is not None
            and shard_bucket(BUCKETS, arn, known.shard.shard) == 1
            and shard_bucket(BUCKETS, arn, known.shard.parent) == 2
            for known in shard_views(slow.view, TABLE, arn)
        )
    simulation.settle()
    check(simulation)
    return met


def a_day_between_the_scan_and_the_first_page() -> None:
    """A scan could begin, and a day of changes is trimmed before the shards are placed."""
    simulation = Simulation(5, trims=True)
    worker = simulation.workers[0]
    give_all(simulation, worker)
    for _ in range(2):  # the namespace's generation, then the bumps
        for partition in range(BUCKETS):
            worker.tail(partition, 10**6)
        worker.plan()
        worker.lead()
        for bucket, owned in worker.ready().items():
            while owned.backlog:
                worker.commit(bucket)
        simulation.world.clock.advance(1.0)
        simulation.markers()
    for partition in range(BUCKETS):
        worker.tail(partition, 10**6)
    worker.plan()
    segments = [(o, segment) for o in worker.ready().values() for segment in o.segments]
    for owned, segment in segments:
        while segment in owned.segments:
            worker._scan(owned, segment)
    write_all(simulation)
    simulation.world.clock.advance(DAY_S + 3600)
    simulation.settle()
    check(simulation)


def read_on(simulation: Simulation) -> None:
    """Every shard that is open to a worker is read for a while; no scan goes on meanwhile."""
    for worker in simulation.workers:
        for bucket, owned in worker.ready().items():
            for reader in list(owned.readers):
                for _ in range(100):
                    if reader in owned.readers:
                        worker._read(owned, reader)
            while owned.backlog:
                worker.commit(bucket)


def races() -> None:
    """Many schedules in which one worker does a lot while the others stand still."""
    run_all(range(60), trims=False, races=True)


RULES = {
    "a child waits for its own bucket's bump": (
        children_in_a_bucket_without_the_bump,
        (shards, "_gate", _without_own_bump),
    ),
    "a scan waits for the epoch in every bucket": (races, (plan, "scan_open", _without_epochs)),
    "shards are placed before the first page of a scan": (
        a_day_between_the_scan_and_the_first_page,
        (plan, "scan_open", _without_places),
    ),
    "positions are the last committed, not the last written": (
        races,
        (SimKafka, "read", _uncommitted),
    ),
}


@functools.cache
def keeps_the_promises(schedule: Callable[[], object]) -> None:
    """Once for all rules that are broken under it."""
    schedule()


@pytest.mark.parametrize("rule", RULES)
def test_the_simulator_notices_when_a_rule_is_gone(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, (where, name, without) = RULES[rule]
    keeps_the_promises(schedule)
    monkeypatch.setattr(where, name, without)
    with pytest.raises(AssertionError):
        schedule()


@pytest.mark.parametrize("seed", range(5))
def test_a_scan_of_more_than_a_day_joins_the_stream_without_a_hole(seed: int) -> None:
    simulation = Simulation(seed)
    for number in range(180):
        simulation.written += 1
        item = {"id": {"S": f"s{number}"}, "n": {"N": str(simulation.written)}}
        simulation.world.put(TABLE, item)
    simulation.scan_page_s = 1800.0
    for turn in range(60):
        simulation.round(simulation.workers[turn % 3])
        read_on(simulation)
        for _ in range(5):
            simulation.write()
        if turn % 10 == 9:
            simulation.world.rotate(simulation.world.open_shards(TABLE)[0])
    simulation.settle()
    check(simulation)
    assert simulation.scans_s[-1] - simulation.scans_s[0] > DAY_S
