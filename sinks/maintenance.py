"""Keeping tables fast: what is due is decided in `sinks.upkeep`, then done by the one writer.

All of it follows the commit protocol: a fresh snapshot on which our last commit stands, no retries,
only while the lease is ours. Compaction carries no app transactions (delta-rs drops them). Vacuum
is never a full one, which deletes live deletion vectors, and keeps a week of files, so that readers
opened before it never miss one. When it was last done stands in the table, so that a restart does
not begin the day anew.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice

from sinks import failpoints
from sinks.cluster_by import ChosenOrder, chosen_columns
from sinks.clustering import BY_KEY, parts_of, sample_cuts, sort_part
from sinks.failpoints import Failpoint
from sinks.order import Cut
from sinks.table import (
    NO_HOOKS,
    SORTED_METADATA,
    WRITER,
    Snapshot,
    TableError,
    commit_properties,
    lake_errors,
)
from sinks.upkeep import (
    LARGE_TARGET,
    RANGE_BYTES,
    FileFacts,
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

logger = logging.getLogger(__name__)

CHECK_COMMITS = 8
RETENTION_PROPERTY = "delta.deletedFileRetentionDuration"
VACUUMED_TRANSACTION = "tailrace:vacuumed"
_MERGES_KEPT = 16
_KEYS_SAMPLED = 500
_LOOK_BACK = 30
# Rows are unpacked, sorted and packed again: measured on narrow rows that compress well.
_UNPACKED = 12

Admission = Callable[[int], AbstractContextManager[bool]]
"""Waits for so many bytes of memory; whether it got them."""


class Caretaker:
    """Maintains one table.

    Args:
        fresh: a snapshot this writer may commit on, None while there is no table.
        clock: seconds since 1970.
        failpoint: where tests kill.
        admitted: asks for memory.
        goes_on: whether the table is still ours; asked during long jobs.
    """

    def __init__(
        self,
        fresh: Callable[[], Snapshot | None],
        clock: Callable[[], float] = time.time,
        failpoint: Failpoint = failpoints.never,
        *,
        admitted: Admission = lambda _bytes: nullcontext(True),
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._fresh = fresh
        self._clock = clock
        self._failpoint = failpoint
        self._admitted = admitted
        self._goes_on = goes_on
        self._checked_version = 0
        self._checkpoint_version = 0
        self._cleaned_at_s = clock()
        self._files = 0
        self._rewrites: deque[Rewrite] = deque(maxlen=_MERGES_KEPT)
        self._chosen = ChosenOrder(clock)
        self.optimized_at_s: float | None = None

    def merged(self, keys: Iterable[str], rows: int, files_rewritten: int) -> None:
        """Take note of a merge: of its `rows` keys a sample is kept."""
        part = min(files_rewritten / self._files, 1.0) if self._files else 0.0
        sample = islice(keys, 0, None, max(rows // _KEYS_SAMPLED, 1)) if part else ()
        self._rewrites.append(Rewrite(part, tuple(sample)))

    def look(self) -> FileFacts | None:
        """The files as they are, and when they were last optimized, as the log tells.

        Raises:
            TableError, PositionsMovedError: as every commit.
        """
        snapshot = self._fresh()
        if snapshot is None:
            return None
        facts = facts_of(snapshot)
        self._files = facts.files
        self.optimized_at_s = optimized_at_s(snapshot)
        return facts

    def look_after(self, version: int) -> FileFacts | None:
        """Do what is due, if enough commits have passed since the last look; the files after it.

        Raises:
            TableError, PositionsMovedError: as every commit.
        """
        if version - self._checked_version < CHECK_COMMITS:
            return None
        snapshot = self._fresh()
        if snapshot is None:
            return None
        self._checked_version = snapshot.version
        facts = facts_of(snapshot)
        sorting = self._sorting(snapshot, facts)
        jobs = due_jobs(self._upkeep(snapshot, facts, clustering=sorting is not None))
        if jobs:
            self._failpoint(failpoints.BEFORE_MAINTENANCE)
            facts = self._do(jobs, facts, sorting or _nothing)
            self._failpoint(failpoints.AFTER_MAINTENANCE)
        self._files = facts.files
        return facts

    def _sorting(self, snapshot: Snapshot, facts: FileFacts) -> Callable[[], None] | None:
        """What puts the table in order, None if that does not pay."""
        if facts.chosen_order:
            due = self._chosen.due(snapshot)
            return partial(self._chosen.sort, due, self._fresh, self._goes_on) if due else None
        if not may_cluster(facts, self._rewrites):
            return None
        (whole,) = parts_of(snapshot)
        cuts = sample_cuts(snapshot, BY_KEY, whole)
        keys = [str(key) for (key,) in cuts]
        if not clustering_pays(facts.bytes, self._rewrites, keys):
            return None
        return partial(self._sort_by_key, cuts)

    def _sort_by_key(self, cuts: Sequence[Cut]) -> None:
        snapshot = self._fresh()
        if snapshot is not None:
            (whole,) = parts_of(snapshot)
            sort_part(snapshot, BY_KEY, whole, cuts, self._goes_on)

    def _upkeep(self, snapshot: Snapshot, facts: FileFacts, *, clustering: bool) -> Upkeep:
        now_s = self._clock()
        return Upkeep(
            version=snapshot.version,
            checkpoint_version=self._checkpoint_version,
            compaction=facts.compaction(),
            clustering=clustering,
            since_cleanup_s=now_s - self._cleaned_at_s,
            since_vacuum_s=now_s - vacuumed_at_s(snapshot),
        )

    def _do(self, jobs: Sequence[Job], facts: FileFacts, sort: Callable[[], None]) -> FileFacts:
        for job in jobs:
            snapshot = self._fresh()
            if snapshot is None:
                return facts
            try:
                self._run(job, snapshot, facts.compaction(), sort)
                if job in (Job.COMPACT, Job.CLUSTER):
                    self._rewrites.clear()
                    snapshot = self._fresh() or snapshot
                    facts = facts_of(snapshot)
                    self.optimized_at_s = self._clock()
            except TableError as error:
                logger.warning("maintenance put off", extra={"job": job.value, "cause": str(error)})
                return facts
            logger.info("maintenance", extra={"job": job.value, "table": snapshot.uri})
        return facts

    def _run(
        self, job: Job, snapshot: Snapshot, packing: Packing | None, sort: Callable[[], None]
    ) -> None:
        if job is Job.CHECKPOINT:
            write_checkpoint(snapshot)
            self._checkpoint_version = snapshot.version
        elif job is Job.CLEAN_LOG:
            self._cleaned_at_s = self._clock()
            clean_log(snapshot)
        elif job is Job.VACUUM:
            vacuum(snapshot, self._clock())
        else:
            self._rewrite(job, snapshot, packing, sort)

    def _rewrite(
        self, job: Job, snapshot: Snapshot, packing: Packing | None, sort: Callable[[], None]
    ) -> None:
        size = RANGE_BYTES if packing is None or job is Job.CLUSTER else packing.target
        with self._admitted(size * _UNPACKED) as ready:
            if not ready:
                raise TableError("the lease is gone", where=snapshot.uri)
            if job is Job.CLUSTER:
                sort()
            elif packing is not None:
                compact(snapshot, packing.target)
        self._failpoint(failpoints.AFTER_COMPACTION)


def _nothing() -> None:
    """No sorting is due."""


def facts_of(snapshot: Snapshot) -> FileFacts:
    """The files of a snapshot.

    Raises:
        TableError: the lake does not answer.
    """
    return file_facts(snapshot.files(), chosen_order=bool(chosen_columns(snapshot)))


def compact(snapshot: Snapshot, target: int = LARGE_TARGET) -> None:
    """Join files below `target` bytes to files of about that size, in one commit.

    Raises:
        TableError: as every commit.
    """
    with lake_errors(snapshot.uri):
        snapshot.delta.optimize.compact(
            target_size=target,
            max_concurrent_tasks=1,
            writer_properties=WRITER,
            commit_properties=commit_properties({}),
            post_commithook_properties=NO_HOOKS,
        )


def write_checkpoint(snapshot: Snapshot) -> None:
    """Write the table's state as of this version, so that opening it reads one file.

    Raises:
        TableError: the lake did not take it.
    """
    with lake_errors(snapshot.uri):
        snapshot.delta.create_checkpoint()


def clean_log(snapshot: Snapshot) -> None:
    """Remove commits of the log that are older than its retention and behind a checkpoint.

    Raises:
        TableError: the lake does not answer.
    """
    with lake_errors(snapshot.uri):
        snapshot.delta.cleanup_metadata()


def vacuum(snapshot: Snapshot, now_s: float) -> int:
    """Delete files that left the table longer ago than `kept_hours`; how many they are.

    Those an earlier vacuum deleted count as well, until a checkpoint forgets them.

    Never a full one: it takes live deletion vectors for files that nobody needs.

    Raises:
        TableError: as every commit.
    """
    with lake_errors(snapshot.uri):
        gone = _vacuum(snapshot, dry_run=False)
        snapshot.delta.update_incremental()
    Snapshot(snapshot.delta).commit_transactions({VACUUMED_TRANSACTION: int(now_s)})
    return len(gone)


def deletable_files(snapshot: Snapshot) -> int:
    """How many files a vacuum would delete now, those included that an earlier one deleted.

    Raises:
        TableError: the lake does not answer.
    """
    with lake_errors(snapshot.uri):
        return len(_vacuum(snapshot, dry_run=True))


def _vacuum(snapshot: Snapshot, *, dry_run: bool) -> list[str]:
    found: list[str] = snapshot.delta.vacuum(
        retention_hours=kept_hours(snapshot.properties.get(RETENTION_PROPERTY)),
        dry_run=dry_run,
        enforce_retention_duration=False,
        full=False,
        commit_properties=commit_properties({}),
        post_commithook_properties=NO_HOOKS,
    )
    return found


def vacuumed_at_s(snapshot: Snapshot) -> float:
    """When it was last vacuumed, seconds since 1970; when it was made if never."""
    recorded = snapshot.transaction(VACUUMED_TRANSACTION)
    if recorded is not None:
        return float(recorded)
    return float(snapshot.delta.metadata().created_time or 0) / 1000


def optimized_at_s(snapshot: Snapshot) -> float | None:
    """When files were last joined or sorted, seconds since 1970; None if not in the newest commits.

    Raises:
        TableError: the lake does not answer.
    """
    for commit in snapshot.history(_LOOK_BACK):
        if commit.get("operation") == "OPTIMIZE" or SORTED_METADATA in commit:
            return float(commit.get("timestamp") or 0) / 1000
    return None
