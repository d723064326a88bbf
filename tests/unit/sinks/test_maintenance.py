"""Maintenance: due when it pays, under the commit protocol, never in the way of a reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks import failpoints
from sinks.maintenance import CHECK_COMMITS, Caretaker, Job, Upkeep, due_jobs
from sinks.properties import CHECKPOINT_INTERVAL
from sinks.protocol import PositionsMovedError
from tests.unit.sinks.build import SCHEMAS, Crash, CrashAt, Log, World

CALM = {
    "version": 5, "checkpoint_version": 0, "small_files": 3,
    "since_cleanup_s": 0.0, "since_vacuum_s": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "jobs"),
    [
        ({}, ()),
        ({"small_files": 24}, (Job.COMPACT,)),
        ({"version": CHECKPOINT_INTERVAL}, (Job.CHECKPOINT,)),
        ({"since_cleanup_s": 4_000.0}, (Job.CLEAN_LOG,)),
        ({"since_vacuum_s": 90_000.0}, (Job.VACUUM,)),
        ({"small_files": 99, "version": 99}, (Job.COMPACT, Job.CHECKPOINT)),
    ],
)
def test_jobs_are_due_when_they_pay(changed, jobs):
    assert due_jobs(Upkeep(**{**CALM, **changed})) == jobs


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def fill(writer, log, commits):
    for _ in range(commits):
        length = len(log.partitions[0])
        log.upsert(f"k{length:05d}", length)
        writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)


def test_small_files_become_few_and_a_checkpoint_is_written(world):
    log, writer = Log(), world.writer()
    caretaker = Caretaker(writer.fresh, lambda: 0.0)
    for _ in range(4):
        fill(writer, log, CHECK_COMMITS)
        caretaker.look_after(writer.version)
    assert len(world.rows()) == 4 * CHECK_COMMITS
    assert world.store.open().files().num_rows < 12
    assert list(Path(world.store.uri).glob("_delta_log/*.checkpoint.parquet"))
    fill(writer, log, 1)  # the writer goes on upon its own maintenance
    assert world.writer().ledger.offsets == {0: 4 * CHECK_COMMITS + 1}


def test_nothing_is_looked_at_before_enough_commits(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 2)
    assert Caretaker(writer.fresh, lambda: 0.0).look_after(writer.version) is None


def test_a_writer_whose_table_another_owns_maintains_nothing(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 30)
    fill(world.writer(), log, 1)
    before = world.version()
    with pytest.raises(PositionsMovedError):
        Caretaker(writer.fresh, lambda: 0.0).look_after(writer.version)
    assert world.version() == before


def test_a_reader_opened_before_vacuum_still_reads(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 30)
    reader = world.view()
    clock = iter([0.0, *[100_000.0] * 9])
    Caretaker(writer.fresh, lambda: next(clock)).look_after(writer.version)
    fill(writer, log, 1)
    assert len(list(reader.rows())) == 30
    assert len(world.rows()) == 31


def test_a_crash_during_maintenance_costs_nothing(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 30)
    dying = Caretaker(writer.fresh, lambda: 0.0, CrashAt(failpoints.AFTER_COMPACTION))
    with pytest.raises(Crash):
        dying.look_after(writer.version)
    successor = world.writer()
    fill(successor, log, 1)
    assert len(world.rows()) == 31
