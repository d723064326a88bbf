"""Hundreds of schedules: every version of every item once, rising, none missing."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from bridge.connector import generation, shards
from bridge.connector.generation import Survey
from bridge.connector.reader import ShardReader, Step
from bridge.connector.records import RecordsPage
from bridge.connector.shards import ShardState
from bridge.wire.envelope import Sealed, change_key, change_origin, change_version, header
from bridge.wire.version import epoch_floor
from tests.fault import sim_worker
from tests.fault.log import SimKafka
from tests.fault.sim_worker import PARTITIONS, TABLE
from tests.fault.simulator import Simulation

STEPS = 400


def run(seed: int, *, trims: bool, prunes: bool = False, races: bool = False) -> Simulation:
    simulation = Simulation(seed, trims=trims, prunes=prunes, races=races)
    try:
        simulation.run(STEPS)
        check(simulation)
    except Exception as error:
        error.add_note(
            f"replay with PRODUCT_SEED={seed} (trims={trims}, prunes={prunes}, races={races}): "
            f"{simulation.steps}"
        )
        raise
    return simulation


def run_all(
    seeds: Iterable[int], *, trims: bool, prunes: bool = False, races: bool = False
) -> None:
    for seed in seeds:
        run(seed, trims=trims, prunes=prunes, races=races)


def check(simulation: Simulation) -> None:
    """The promises, of what a read_committed reader sees."""
    versions: defaultdict[str, list[str]] = defaultdict(list)
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    reads: set[tuple[str, str]] = set()
    state: dict[str, tuple[str, Any]] = {}
    epochs: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    scanned: list[tuple[str, int, str]] = []
    sealed = 0
    for partition in range(PARTITIONS):
        for message in simulation.committed(partition):
            assert message.value is not None
            if header(message.headers, "control"):
                sealed = max(sealed, Sealed.decode(message.value).epoch)
                continue
            change = orjson.loads(message.value)
            key, version = change_key(change), change_version(change, change_origin(change))
            if change["eventName"] == "READ":
                assert (key, version) not in reads, f"{key} was scanned twice in one generation"
                reads.add((key, version))
                epoch = change_origin(change).epoch
                scanned.append((key, epoch, change["dynamodb"]["NewImage"].get("n", {}).get("N")))
            else:
                epochs[key].append(
                    (int(change["dynamodb"]["SequenceNumber"]), change_origin(change).epoch)
                )
                versions[key].append(version)
                numbers[key].append(int(change["dynamodb"]["SequenceNumber"]))
            if key not in state or version > state[key][0]:
                state[key] = (version, change["dynamodb"].get("NewImage"))
    for key, found in versions.items():
        assert found == sorted(set(found)), f"{key}: versions double or fall"
    compare(simulation, numbers)
    nothing_stays_below_a_scan(simulation, scanned, epochs)
    floor = epoch_floor(sealed)
    live = {k: image for k, (v, image) in state.items() if image is not None and v >= floor}
    wanted = {f'{{"id":{{"S":"{i["id"]["S"]}"}}}}': i for i in simulation.world.items(TABLE)}
    assert live == wanted


def compare(simulation: Simulation, numbers: dict[str, list[int]]) -> None:
    first = simulation.first_arn()
    for versions in simulation.world.history.items(TABLE).values():
        key = f'{{"id":{{"S":"{versions[0].keys["id"]["S"]}"}}}}'
        wanted = [
            v.sequence for v in versions if v.stream_arn is not None and v.stream_arn >= first
        ]
        got = numbers.get(key, [])
        if simulation.trims:
            assert set(got) <= set(wanted), key
        else:
            assert got == wanted, f"{key}: {len(got)} arrived of {len(wanted)}"


def nothing_stays_below_a_scan(
    simulation: Simulation,
    scanned: list[tuple[str, int, str]],
    epochs: dict[str, list[tuple[int, int]]],
) -> None:
    """What happened to an item after a scan saw it sorts above the row of that scan.

    Each value of `n` is written once, so the row tells which version of the item the scan saw.
    """
    for versions in simulation.world.history.items(TABLE).values():
        key = f'{{"id":{{"S":"{versions[0].keys["id"]["S"]}"}}}}'
        place = {v.sequence: index for index, v in enumerate(versions) if v.sequence is not None}
        seen = {v.item["n"]["N"]: index for index, v in enumerate(versions) if v.item is not None}
        for name, epoch, number in scanned:
            if name != key:
                continue
            below = [s for s, e in epochs[key] if place[s] > seen[number] and e < epoch]
            assert not below, f"{key}: {below} came after the scan of {epoch} and sort below it"


def seeds(group: int, size: int) -> list[int]:
    """The seeds of one group; PRODUCT_SEED alone, in every group, where it is set."""
    chosen = os.environ.get("PRODUCT_SEED")
    return [int(chosen)] if chosen else list(range(group * size, (group + 1) * size))


@pytest.mark.parametrize("trims", [False, True], ids=["nothing lost", "gaps repaired"])
@pytest.mark.parametrize("group", range(10))
def test_every_schedule_keeps_the_promises(group: int, trims: bool) -> None:
    run_all(seeds(group, 10), trims=trims)


@pytest.mark.parametrize(
    ("seed", "trims"),
    [
        (649, True),  # a zombie saw its successor's bump and began to read without an epoch
        (259, False),  # a scan that was not consistent, of a stream a minute old
    ],
)
def test_schedules_that_once_broke_a_promise(seed: int, trims: bool) -> None:
    run(seed, trims=trims)


@pytest.mark.parametrize("trims", [False, True], ids=["nothing lost", "gaps repaired"])
@pytest.mark.parametrize("group", range(5))
def test_nothing_is_lost_while_checkpoints_are_forgotten(group: int, trims: bool) -> None:
    done = [run(seed, trims=trims, prunes=True) for seed in seeds(group, 20)]
    assert sum(simulation.pruned for simulation in done) > len(done), "hardly anything was pruned"
    for simulation in done:
        view, arn = simulation.committed_view(), simulation.world.stream_arn(TABLE)
        known = len(simulation.world.shards(TABLE))
        assert len(view.positions[arn]) <= known + 12, "checkpoints grow with the stream's age"


def _positions_first(view: Any, generation: Any, owns: Any, *_: Any) -> list[bytes]:
    found = view.positions[generation.arn].items()
    return [p.key() for name, p in found if p.ended and owns.shard(generation.arn, name)]


def _unasked(view: Any, generation: Any, gone: Any, *rest: Any) -> Any:
    everything = frozenset((generation.arn, name) for name in view.shards[generation.arn])
    return _forget_listings(view, generation, everything | gone, *rest)


_forget_listings = generation.forget_listings


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (sim_worker, "forget_progress", _positions_first),
        (generation, "forget_listings", _unasked),
    ],
    ids=["positions go before listings", "AWS is not asked"],
)
def test_forgetting_in_the_wrong_order_is_noticed(
    where: Any, name: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, broken)
    with pytest.raises((AssertionError, KeyError)):
        run_all(range(20), trims=False, prunes=True)


def _begin_at_once(_view: object, _shard: object, _bump: int) -> ShardState:
    return ShardState.READ


def _without_last_batch(reader: ShardReader, page: RecordsPage) -> Step:
    if page.next_iterator is None:
        page.records = []
    return _received(reader, page)


def _undrained(_view: object, _generation: object, survey: Survey) -> bool:
    return bool(survey.following)


_received = ShardReader.received
BROKEN = {
    "children do not wait": (shards, "_gate", _begin_at_once),
    "the last batch is dropped": (ShardReader, "received", _without_last_batch),
    "a new stream does not wait for the old one": (generation, "_finished", _undrained),
    "nobody is fenced": (SimKafka, "_check", lambda *_: None),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_noticed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, broken = BROKEN[rule]
    monkeypatch.setattr(where, name, broken)
    with pytest.raises((AssertionError, KeyError)):
        run_all(range(100), trims=False)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("trims", [False, True], ids=["nothing lost", "gaps repaired"])
def test_two_thousand_schedules_keep_the_promises(trims: bool) -> None:
    run_all(seeds(0, 1000), trims=trims)
    run_all(seeds(1, 1000), trims=trims, prunes=True)
