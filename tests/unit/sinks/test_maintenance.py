"""Maintenance: due when it pays, under the commit protocol, never in the way of a reader."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from sinks import failpoints
from sinks.clustering import BY_KEY, parts_of, sample_cuts, sort_part
from sinks.maintenance import (
    CHECK_COMMITS,
    VACUUMED_TRANSACTION,
    Caretaker,
    compact,
    optimized_at_s,
    vacuumed_at_s,
)
from sinks.properties import CHECKPOINT_INTERVAL
from sinks.protocol import PositionsMovedError
from sinks.table import TableError
from sinks.upkeep import (
    LARGE_TARGET,
    MEDIUM_TARGET,
    MEGABYTE,
    Job,
    Packing,
    Rewrite,
    Upkeep,
    clustering_pays,
    due_jobs,
    file_facts,
    kept_hours,
    may_cluster,
)
from tests.unit.sinks.build import SCHEMAS, Crash, CrashAt, Log, World

PACKING = Packing(MEDIUM_TARGET, 30, 1, MEGABYTE)
CALM = {
    "version": 5, "checkpoint_version": 0, "compaction": None, "clustering": False,
    "since_cleanup_s": 0.0, "since_vacuum_s": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "jobs"),
    [
        ({}, ()),
        ({"compaction": PACKING}, (Job.COMPACT,)),
        ({"version": CHECKPOINT_INTERVAL}, (Job.CHECKPOINT,)),
        ({"since_cleanup_s": 4_000.0}, (Job.CLEAN_LOG,)),
        ({"since_vacuum_s": 90_000.0}, (Job.VACUUM,)),
        ({"compaction": PACKING, "version": 99}, (Job.COMPACT, Job.CHECKPOINT)),
        ({"since_vacuum_s": 90_000.0, "version": 99}, (Job.VACUUM, Job.CHECKPOINT)),
        ({"compaction": PACKING, "clustering": True}, (Job.CLUSTER,)),
    ],
)
def test_jobs_are_due_when_they_pay(changed, jobs):
    assert due_jobs(Upkeep(**{**CALM, **changed})) == jobs


def facts_of(*files, partitions=None):
    """Facts of files given as (megabytes, lowest key, highest key)."""
    columns = {
        "size_bytes": [int(size * MEGABYTE) for size, _, _ in files],
        "min._key": [low for _, low, _ in files],
        "max._key": [high for _, _, high in files],
    }
    if partitions:
        columns["partition.city"] = partitions
    return file_facts(pa.table(columns))


def test_small_files_are_joined_without_rewriting_large_ones():
    facts = facts_of((120, "a", "z"), *[(0.1, "a", "z")] * 20)
    found = facts.compaction()
    assert (found.target, found.files, found.becomes) == (MEDIUM_TARGET, 20, 1)
    assert facts.small_files == 20
    assert facts.lookup_files == 21


def test_many_medium_files_become_large_ones():
    found = facts_of(*[(30, "a", "z")] * 24).compaction()
    assert (found.target, found.becomes) == (LARGE_TARGET, 6)


def test_large_files_and_few_small_ones_are_left():
    assert facts_of(*[(125, "a", "z")] * 99).compaction() is None
    assert facts_of(*[(0.1, "a", "z")] * 9).compaction() is None
    assert facts_of(*[(0.1, "a", "z")] * 9).compaction(fewer_least=1).becomes == 1
    assert facts_of((0.1, "a", "z")).compaction(fewer_least=0) is None


def test_files_of_different_partitions_are_never_joined():
    cities = [f"city {number}" for number in range(40)]
    assert facts_of(*[(0.1, "a", "z")] * 40, partitions=cities).compaction() is None
    facts = facts_of(*[(0.1, "a", "z")] * 80, partitions=cities * 2)
    assert facts.compaction().becomes == 40
    assert facts.partitioned


def test_files_that_hold_ranges_are_not_mixed_up_by_compaction():
    ranges = [(30, f"k{n:02d}0", f"k{n:02d}9") for n in range(24)]
    facts = facts_of(*ranges)
    assert facts.lookup_files == 1
    assert facts.in_ranges
    assert facts.compaction() is None


def test_sorting_pays_where_merges_rewrote_all_for_few_ranges():
    facts = facts_of(*[(100, "k000", "k999")] * 3)
    bounds = [f"k{n}00" for n in range(1, 6)]
    local = [Rewrite(1.0, ("k555", "k566"))] * 9
    assert not clustering_pays(facts.bytes, local[:1], bounds)
    scattered = [Rewrite(1.0, tuple(f"k{n}50" for n in range(6)))] * 9
    appended = [Rewrite(0.0, ())] * 9
    assert may_cluster(facts, local)
    assert clustering_pays(facts.bytes, local, bounds)
    assert may_cluster(facts, scattered)
    assert not clustering_pays(facts.bytes, scattered, bounds)
    assert not may_cluster(facts, appended)
    as_sorted = [Rewrite(0.2, ("k555", "k566"))] * 16  # what a sorted table's merges rewrite
    assert not clustering_pays(facts.bytes, as_sorted, bounds)


def test_a_table_that_is_small_huge_or_partitioned_is_not_sorted():
    rewrites = [Rewrite(1.0, ("a",))] * 16
    assert not may_cluster(facts_of((10, "a", "z")), rewrites)
    assert not may_cluster(facts_of(*[(500, "a", "z")] * 9), rewrites)
    assert not may_cluster(facts_of((200, "a", "z"), partitions=["x"]), rewrites)


@pytest.mark.parametrize(
    ("retention", "hours"),
    [
        ("interval 9 days", 168),
        ("INTERVAL 1 week", 120),
        ("interval 1 hour", 0),
        ("interval 0 hours", 0),
        ("interval 2 months", None),
        (None, None),
    ],
)
def test_vacuum_comes_before_a_checkpoint_forgets_what_left(retention, hours):
    assert kept_hours(retention) == hours


def in_two_days():
    return time.time() + 2 * 24 * 3600


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def sort_by_key(snapshot, cuts, goes_on=lambda: True):
    (whole,) = parts_of(snapshot)
    sort_part(snapshot, BY_KEY, whole, cuts, goes_on)


def fill(writer, log, commits):
    for _ in range(commits):
        length = len(log.partitions[0])
        log.upsert(f"k{length:05d}", length)
        writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)


def test_small_files_become_few_and_a_checkpoint_is_written(world):
    log, writer = Log(), world.writer()
    caretaker = Caretaker(writer.fresh)
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
    assert Caretaker(writer.fresh).look_after(writer.version) is None


def test_a_writer_whose_table_another_owns_maintains_nothing(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 30)
    fill(world.writer(), log, 1)
    before = world.version()
    with pytest.raises(PositionsMovedError):
        Caretaker(writer.fresh).look_after(writer.version)
    assert world.version() == before


def test_a_reader_opened_before_vacuum_still_reads(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 30)
    reader = world.view()
    Caretaker(writer.fresh, in_two_days).look_after(writer.version)
    fill(writer, log, 1)
    assert len(list(reader.rows())) == 30
    assert len(world.rows()) == 31


@pytest.mark.parametrize(
    "point",
    [
        failpoints.BEFORE_MAINTENANCE,
        failpoints.AFTER_COMPACTION,
        failpoints.AFTER_MAINTENANCE,
    ],
)
def test_a_crash_during_maintenance_costs_nothing(world, point):
    log, writer = Log(), world.writer()
    fill(writer, log, 30)
    dying = Caretaker(writer.fresh, in_two_days, CrashAt(point))
    with pytest.raises(Crash):
        dying.look_after(writer.version)
    successor = world.writer()
    Caretaker(successor.fresh, in_two_days).look_after(successor.version)
    fill(successor, log, 1)
    assert len(world.rows()) == 31
    assert world.writer().ledger.offsets == {0: 31}


def live(world):
    return {Path(uri.removeprefix("file://")) for uri in world.store.open().delta.file_uris()}


def test_vacuum_deletes_what_left_a_week_ago_and_no_live_file(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 30)
    caretaker = Caretaker(writer.fresh, in_two_days)
    caretaker.look_after(writer.version)
    gone = set(Path(world.store.uri).glob("*.parquet")) - live(world)
    assert len(gone) > 20  # those that compaction replaced are kept for readers
    snapshot = writer.fresh()
    assert vacuumed_at_s(snapshot) == pytest.approx(in_two_days(), abs=60)
    keep_nothing = {"delta.deletedFileRetentionDuration": "interval 0 hours"}
    snapshot.delta.alter.set_table_properties(keep_nothing)
    fill(writer, log, CHECK_COMMITS)
    Caretaker(writer.fresh, lambda: time.time() + 9 * 24 * 3600).look_after(writer.version)
    left = set(Path(world.store.uri).glob("*.parquet"))
    assert not gone & left
    assert live(world) <= left
    assert len(world.rows()) == 30 + CHECK_COMMITS


def test_vacuum_is_not_due_again_after_a_restart(world):
    log, writer = Log(), world.writer()
    fill(writer, log, CHECK_COMMITS)
    Caretaker(writer.fresh, in_two_days).look_after(writer.version)
    version = world.version()
    restarted = world.writer()
    Caretaker(restarted.fresh, in_two_days).look_after(restarted.version)
    assert world.version() == version
    assert restarted.fresh().transaction(VACUUMED_TRANSACTION) is not None


def test_when_it_was_optimized_outlives_the_process(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 3)
    caretaker = Caretaker(writer.fresh)
    assert [facts.files for facts in [caretaker.look()] if facts] == [3]
    assert caretaker.optimized_at_s is None
    compact(writer.fresh())
    assert optimized_at_s(world.store.open()) == pytest.approx(time.time(), abs=60)
    assert [facts.files for facts in [caretaker.look()] if facts] == [1]


def test_sorting_leaves_each_file_a_narrow_range_and_every_row(world, monkeypatch):
    monkeypatch.setattr("sinks.clustering.MEDIUM_TARGET", 6_000)
    log, writer = Log(), world.writer()
    for start in range(4):
        for number in range(start, 4000, 4):
            log.upsert(f"k{number:05d}", number)
        writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)
    before, offsets = world.rows(), dict(writer.ledger.offsets)
    snapshot = writer.fresh()
    assert file_facts(snapshot.files()).lookup_files == 4
    monkeypatch.setattr("sinks.clustering.ranges_of", lambda _: 10)
    (whole,) = parts_of(snapshot)
    cuts = sample_cuts(snapshot, BY_KEY, whole)
    assert len(cuts) == 9
    sort_by_key(snapshot, cuts)
    facts = file_facts(writer.fresh().files())
    assert facts.files >= 4
    assert facts.lookup_files == 1
    assert world.rows() == before
    assert world.writer().ledger.offsets == offsets
    log.upsert("k00000", 5000)
    log.delete("k00001", 5001)
    writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)
    assert len(world.rows()) == 3999


def test_sorting_that_is_given_up_or_outrun_commits_nothing(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 4)
    answers = iter([True, False])
    with pytest.raises(TableError, match="given up"):
        sort_by_key(writer.fresh(), [("k00002",)], lambda: next(answers))
    stale = writer.fresh()
    fill(writer, log, 1)
    version = world.version()
    with pytest.raises(TableError):
        sort_by_key(stale, [("k00002",)])
    assert world.version() == version
    assert len(world.rows()) == 5


def test_compaction_outrun_by_a_merge_is_refused_and_by_an_append_loses_nothing(world):
    log, writer = Log(), world.writer()
    fill(writer, log, 4)
    stale = writer.fresh()
    log.upsert("k00001", 99)
    writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)
    merged = world.rows()
    with pytest.raises(TableError, match="concurrent"):
        compact(stale)
    assert world.rows() == merged
    stale = writer.fresh()
    fill(writer, log, 1)
    appended = world.rows()
    compact(stale)
    assert world.rows() == appended
    fill(writer, log, 1)
    assert world.rows().keys() > appended.keys()


def test_the_writer_sorts_when_its_own_merges_say_so(world, monkeypatch):
    monkeypatch.setattr("sinks.upkeep.CLUSTER_LEAST", 0)
    monkeypatch.setattr("sinks.upkeep.RANGE_BYTES", 400)
    log, writer = Log(), world.writer()
    caretaker = Caretaker(writer.fresh)
    for number in range(0, 2000, 2):
        log.upsert(f"k{number * 37 % 2000:05d}", number)
    for sequence in (3000, 3001):  # the second is a merge
        log.upsert("k01990", sequence)
        writer.commit(log.batch(dict(writer.ledger.offsets)), SCHEMAS)
    facts = caretaker.look()
    assert facts is not None
    for name in ("RANGE_BYTES", "MEDIUM_TARGET"):
        monkeypatch.setattr(f"sinks.upkeep.{name}", facts.bytes // 6)
    for sequence in range(5000, 5000 + 2 * CHECK_COMMITS):
        log.upsert("k01990", sequence)
        batch = log.batch(dict(writer.ledger.offsets))
        done = writer.commit(batch, SCHEMAS)
        assert done.files_rewritten == 1
        caretaker.merged([row.key for row in batch.rows], 1, done.files_rewritten)
        caretaker.look_after(writer.version)
    assert caretaker.optimized_at_s is not None
    assert any(commit.get("tailrace.sorted") == "_key" for commit in world.store.open().history(30))
    assert len(world.rows()) == 1000


def test_no_reader_fails_while_the_table_is_maintained(world):
    log, writer = Log(), world.writer()
    fill(writer, log, CHECK_COMMITS)
    done, counts, troubles = threading.Event(), [], []

    def read():
        while not done.is_set():
            try:
                counts.append(len(list(world.view().rows())))
            except Exception as error:
                troubles.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    caretaker = Caretaker(writer.fresh, in_two_days)
    try:
        for _ in range(4):
            fill(writer, log, CHECK_COMMITS)
            caretaker.look_after(writer.version)
            snapshot = writer.fresh()
            sort_by_key(snapshot, [("k00010",)])
    finally:
        done.set()
        reader.join()
    assert not troubles
    assert len(counts) > 1
    assert counts == sorted(counts)
