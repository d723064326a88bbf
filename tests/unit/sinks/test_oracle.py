"""Any stream, in any batches, with crashes, lost answers, zombies and replays, against an oracle
that sorts by version."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks import failpoints
from sinks.protocol import PositionsMovedError
from sinks.rows import Batch
from sinks.table import TableError
from tests.unit.sinks.build import (
    SCHEMAS,
    Crash,
    CrashAt,
    Log,
    LostAnswer,
    World,
    row_message,
    seal_message,
    sealed,
    version,
)

PARTITIONS = 2
KEYS = ("a", "b", "c", "d", "e")
COMMIT_POINTS = [p for p in failpoints.FAILPOINTS if "offsets" not in p and "ma" not in p]

changes = st.tuples(st.sampled_from(KEYS), st.integers(1, 2), st.integers(0, 6), st.booleans())
logs = st.lists(changes, min_size=1, max_size=40)
steps = st.lists(
    st.tuples(
        st.sampled_from(["commit", "commit", "commit", "crash", "lost", "zombie", "replay"]),
        st.integers(0, 8),
        st.integers(0, 8),
        st.sampled_from(COMMIT_POINTS),
    ),
    min_size=1,
    max_size=12,
)


def partition_of(key: str) -> int:
    return KEYS.index(key) % PARTITIONS


def filled_log(stream, seal_at) -> Log:
    """The stream with the seals of epoch 2 somewhere in each partition, minutes apart."""
    log = Log(PARTITIONS)
    for key, epoch, sequence, delete in stream:
        partition = partition_of(key)
        log.append(row_message(key, sequence, epoch=epoch, delete=delete, partition=partition))
    for partition, at in enumerate(seal_at):
        messages = log.partitions[partition]
        messages.insert(min(at, len(messages)), seal_message(sealed(2, partition, PARTITIONS)))
    for messages in log.partitions:
        for offset, message in enumerate(messages):
            message._offset = offset
    return log


def oracle(stream) -> dict[str, str]:
    """Sorted by version; an upsert beats a delete; what the sealed epoch 2 never saw is gone."""
    newest: dict[str, tuple[str, bool]] = {}
    for key, epoch, sequence, delete in stream:
        candidate = (version(sequence, epoch), not delete)
        newest[key] = max(newest.get(key, ("", False)), candidate)
    floor = version(0, 2)
    return {key: v for key, (v, live) in newest.items() if live and v >= floor}


class Player:
    """Plays steps on a table; every odd thing begins a new owner, as a worker does."""

    def __init__(self, world: World, log: Log) -> None:
        self.world, self.log = world, log
        self.writer = world.writer()
        self.zombie = None

    def commit(self, limits=None, *, replay=False) -> None:
        """Go on from where the table is; or take rows from the log's beginning once more."""
        offsets = dict(self.writer.ledger.offsets)
        batch = self.log.batch({} if replay else offsets, limits)
        if replay:
            batch = Batch(rows=batch.rows, next_offsets=offsets)
        try:
            self.writer.commit(batch, SCHEMAS)
            self.writer.seal_what_is_due()
        except (PositionsMovedError, TableError, Crash):
            self.writer = self.world.writer()

    def play(self, kind: str, limits: dict[int, int], point: str) -> None:
        if kind == "crash":
            self.writer = self.world.writer(failpoint=CrashAt(point))
        elif kind == "lost":
            self.writer = self.world.writer(engine=LostAnswer())
        elif kind == "zombie":
            self._wake_zombie()
        self.commit(limits, replay=kind == "replay")

    def _wake_zombie(self) -> None:
        """One owner falls asleep with a batch in hand; the one that slept before wakes."""
        if self.zombie is not None:
            writer, batch = self.zombie
            try:
                writer.commit(batch, SCHEMAS)
                writer.seal_what_is_due()
            except (PositionsMovedError, TableError):
                pass
        self.zombie = (self.writer, self.log.batch(dict(self.writer.ledger.offsets)))
        self.writer = self.world.writer()


@settings(
    max_examples=int(os.environ.get("TAILRACE_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(stream=logs, seal_at=st.tuples(st.integers(0, 20), st.integers(0, 20)), schedule=steps)
def check_any_schedule(stream, seal_at, schedule):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), partitions=PARTITIONS)
        log = filled_log(stream, seal_at)
        player = Player(world, log)
        for kind, first, second, point in schedule:
            player.play(kind, {0: first, 1: second}, point)
        for _ in range(3):
            player.commit()
        assert world.rows() == oracle(stream)
        assert dict(player.writer.ledger.offsets) == {
            p: len(messages) for p, messages in enumerate(log.partitions)
        }
        assert not world.view().loading


@pytest.mark.timeout(170)
def test_any_schedule_ends_at_what_an_oracle_finds():
    check_any_schedule()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_any_schedule_ends_at_what_an_oracle_finds_at_length():
    settings(parent=settings.default, max_examples=1_000)(check_any_schedule)()
