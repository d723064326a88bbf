"""Any stream, in any batches, with crashes, lost answers, zombies and replays, against oracles that
sort by version: of every mode, and of partitioned tables."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from sinks.dataset import Dataset, Target
from sinks.partitions import bucket_of
from tests.unit.sinks.build import TABLE, World, version
from tests.unit.sinks.schedules import (
    CITIES,
    COMMIT_POINTS,
    EPOCHS,
    KEYS,
    PARTITIONS,
    Change,
    Player,
    before_the_seals,
    filled_log,
    schedules,
    seals,
    streams,
)

FLOOR = version(0, EPOCHS[1])
LAYOUTS = {
    "current": {},
    "current by city": {"partition_by": ["city"]},
    "current by day and bucket": {"partition_by": ["days(at)", "bucket(3, _key)"]},
    "soft": {"deletes": "soft"},
    "log": {"mode": "log"},
    "log by day": {"mode": "log", "partition_by": ["days(_event_time)"]},
    "history": {"mode": "history"},
    "history by city and bucket": {
        "mode": "history",
        "partition_by": ["city", "bucket(2, _key)"],
    },
}


def moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def newest(changes: list[Change]) -> Change:
    return max(changes, key=lambda change: (change.version, not change.delete))


def by_key(stream: list[Change]) -> dict[str, list[Change]]:
    found = defaultdict(list)
    for change in stream:
        found[change.key].append(change)
    return found


def current(stream):
    """An upsert beats a delete; what the sealed epoch never saw is gone."""
    last = (newest(changes) for changes in by_key(stream).values())
    return [(c.key, c.version, c.city) for c in last if not c.delete and c.version >= FLOOR]


def soft(stream):
    """The newest columns, and since when they are no more."""
    found = []
    for key, changes in by_key(stream).items():
        upserts = [change for change in changes if not change.delete]
        if not upserts:
            continue
        row = newest(upserts)
        deletes = [c for c in changes if c.delete and c.version > row.version]
        since = newest(deletes).at if deletes else None
        if since is None and row.version < FLOOR:
            since = EPOCHS[1]
        found.append((key, row.version, row.city, since is not None, moment(since)))
    return found


def log(stream):
    """Every change once."""
    found = {}
    for change in stream:
        known = found.get((change.key, change.version))
        if known is None or known.delete:
            found[change.key, change.version] = change
    return [(c.key, c.version, None if c.delete else c.city, c.operation) for c in found.values()]


def history(stream):
    """By definition: valid until the earliest later time; equal neighbours are one."""
    found = []
    for key, changes in by_key(stream).items():
        entries = sorted({newest([o for o in changes if o.version == c.version]) for c in changes},
                         key=lambda change: change.version)  # fmt: skip
        rows = []
        apart = True
        for number, entry in enumerate(entries):
            if entry.delete:
                apart = True
                continue
            ends = [later.at for later in entries[number + 1 :]]
            ends += [EPOCHS[1]] if entry.version < FLOOR else []
            end = min(ends, default=None)
            if end is not None and end <= entry.at:
                continue
            if rows and not apart and rows[-1][2] == entry.at and rows[-1][3] == contents(entry):
                begin = rows.pop()[1]
            else:
                begin = entry.at
            rows.append((entry.version, begin, end, contents(entry)))
            apart = False
        found += [
            (key, v, content[0], moment(begin), moment(end), end is None)
            for v, begin, end, content in rows
        ]
    return found


def contents(change):
    return (change.city, change.day)


MODES = {
    "current": (current, ["_key", "_version", "city"]),
    "soft": (soft, ["_key", "_version", "city", "_deleted", "_deleted_at"]),
    "log": (log, ["_key", "_version", "city", "_op"]),
    "history": (
        history,
        ["_key", "_version", "city", "valid_from", "valid_to", "is_current"],
    ),
}


def check_partitions(world: World) -> None:
    """Partition columns say what their sources say."""
    for batch in world.view().batches():
        for row in batch.to_pylist():
            if "at_day" in row and row["at"] is not None:
                assert row["at_day"] == row["at"].date()
            if "event_time_day" in row and row["_event_time"] is not None:
                assert row["event_time_day"] == row["_event_time"].date()
            if "key_bucket" in row:
                size = 3 if "at_day" in row else 2
                assert row["key_bucket"] == bucket_of(row["_key"], size)


def check_schedule(name, stream, seal_at, schedule) -> None:
    """Play a schedule and compare the table with what it must be."""
    options = LAYOUTS[name]
    mode = "soft" if "deletes" in options else options.get("mode", "current")
    expect, columns = MODES[mode]
    if mode == "soft":
        stream = before_the_seals(stream, seal_at)
    with tempfile.TemporaryDirectory() as folder:
        target = Target(Dataset(id="orders", **options), (TABLE,))
        world = World(Path(folder), partitions=PARTITIONS, target=target)
        log_of_rows = filled_log(stream, seal_at)
        player = Player(world, log_of_rows)
        for kind, first, second, point in schedule:
            player.play(kind, {0: first, 1: second}, point)
        for _ in range(3):
            player.commit()
        if not stream:
            return
        found = [
            tuple(row[column] for column in columns)
            for batch in world.view().batches()
            for row in batch.to_pylist()
        ]
        assert sorted(found, key=str) == sorted(expect(stream), key=str)
        assert dict(player.writer.ledger.offsets) == {
            p: len(messages) for p, messages in enumerate(log_of_rows.partitions)
        }
        assert not world.view().loading
        check_partitions(world)


quickly = settings(
    max_examples=int(os.environ.get("TAILRACE_EXAMPLES", "3")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(170)
@pytest.mark.parametrize("name", LAYOUTS)
def test_any_schedule_ends_at_what_an_oracle_finds(name):
    @quickly
    @given(stream=streams(), seal_at=seals, schedule=schedules)
    def check(stream, seal_at, schedule):
        check_schedule(name, stream, seal_at, schedule)

    check()


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", LAYOUTS)
def test_any_schedule_ends_at_what_an_oracle_finds_at_length(name):
    @settings(quickly, max_examples=500)
    @given(stream=streams(), seal_at=seals, schedule=schedules)
    def check(stream, seal_at, schedule):
        check_schedule(name, stream, seal_at, schedule)

    check()


@pytest.mark.parametrize("name", ["history", "log", "soft"])
def test_a_crash_at_every_step_in_turn_ends_there_too(name):
    stream = [
        Change(key, epoch, sequence, sequence == 3, CITIES[sequence % 4], second)
        for epoch in (0, 1)
        for sequence, second in ((2, 1), (0, None), (4, 3), (3, 2), (1, 0), (5, 4))
        for key in KEYS
    ]
    schedule = [("crash", 3, 2, point) for point in COMMIT_POINTS]
    check_schedule(name, stream, (16, 14), schedule)
