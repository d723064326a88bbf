"""Keeping tables fast: what is due is decided purely, then done by the table's one writer.

Compaction rewrites small files into few, Delta checkpoints keep opening cheap, log cleanup and
vacuum drop what no reader needs any more. All of it follows the commit protocol: a fresh snapshot
on which our last commit stands, no retries, only while the lease is ours. Compaction carries no app
transactions (delta-rs drops them). Vacuum is never a full one, which deletes live deletion vectors,
and keeps a week of files, so that readers opened before it never miss one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from sinks import failpoints
from sinks.failpoints import Failpoint
from sinks.properties import CHECKPOINT_INTERVAL
from sinks.table import NO_HOOKS, Snapshot, TableError, commit_properties, lake_errors

logger = logging.getLogger(__name__)

SMALL_FILE_BYTES = 16 * 1024 * 1024
TARGET_FILE_BYTES = 128 * 1024 * 1024
SMALL_FILES_MAX = 24
CHECK_COMMITS = 8
VACUUM_INTERVAL_S = 24 * 3600.0
CLEANUP_INTERVAL_S = 3600.0


class Job(StrEnum):
    """A piece of maintenance."""

    COMPACT = "compact"
    CHECKPOINT = "checkpoint"
    CLEAN_LOG = "clean log"
    VACUUM = "vacuum"


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a decision is made of; times are seconds since the job was last done."""

    version: int
    checkpoint_version: int
    small_files: int
    since_cleanup_s: float
    since_vacuum_s: float


def due_jobs(upkeep: Upkeep) -> tuple[Job, ...]:
    """The jobs that pay now, in the order they are done. Pure."""
    jobs = []
    if upkeep.small_files >= SMALL_FILES_MAX:
        jobs.append(Job.COMPACT)
    if upkeep.version - upkeep.checkpoint_version >= CHECKPOINT_INTERVAL:
        jobs.append(Job.CHECKPOINT)
    if upkeep.since_cleanup_s >= CLEANUP_INTERVAL_S:
        jobs.append(Job.CLEAN_LOG)
    if upkeep.since_vacuum_s >= VACUUM_INTERVAL_S:
        jobs.append(Job.VACUUM)
    return tuple(jobs)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Live files of a table."""

    files: int
    bytes: int
    small_files: int


def file_facts(files: pa.Table) -> FileFacts:
    """Counts from a table's add actions."""
    sizes = files["size_bytes"]
    small = pc.sum(pc.less(sizes, SMALL_FILE_BYTES)).as_py() or 0
    return FileFacts(files.num_rows, pc.sum(sizes).as_py() or 0, small)


class Caretaker:
    """Maintains one table.

    Args:
        fresh: a snapshot this writer may commit on, None while there is no table.
        clock: monotonic seconds.
        failpoint: where tests kill.
    """

    def __init__(
        self,
        fresh: Callable[[], Snapshot | None],
        clock: Callable[[], float],
        failpoint: Failpoint = failpoints.never,
    ) -> None:
        self._fresh = fresh
        self._clock = clock
        self._failpoint = failpoint
        self._checked_version = 0
        self._checkpoint_version = 0
        self._cleaned_at_s = self._vacuumed_at_s = clock()

    def look_after(self, version: int) -> FileFacts | None:
        """Do what is due, if enough commits have passed since the last look.

        Raises:
            TableError, PositionsMovedError: as every commit.
        """
        if version - self._checked_version < CHECK_COMMITS:
            return None
        snapshot = self._fresh()
        if snapshot is None:
            return None
        self._checked_version = snapshot.version
        facts = file_facts(snapshot.files())
        jobs = due_jobs(self._upkeep(snapshot.version, facts))
        if jobs:
            self._failpoint(failpoints.BEFORE_MAINTENANCE)
            self._do(jobs)
            self._failpoint(failpoints.AFTER_MAINTENANCE)
        return facts

    def _upkeep(self, version: int, facts: FileFacts) -> Upkeep:
        now_s = self._clock()
        return Upkeep(
            version=version,
            checkpoint_version=self._checkpoint_version,
            small_files=facts.small_files,
            since_cleanup_s=now_s - self._cleaned_at_s,
            since_vacuum_s=now_s - self._vacuumed_at_s,
        )

    def _do(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            snapshot = self._fresh()
            if snapshot is None:
                return
            try:
                self._run(job, snapshot)
            except TableError as error:
                logger.warning("maintenance put off", extra={"job": job.value, "cause": str(error)})
                return
            logger.info("maintenance", extra={"job": job.value, "table": snapshot.uri})

    def _run(self, job: Job, snapshot: Snapshot) -> None:
        with lake_errors(snapshot.uri):
            if job is Job.COMPACT:
                snapshot.delta.optimize.compact(
                    target_size=TARGET_FILE_BYTES,
                    max_concurrent_tasks=1,
                    commit_properties=commit_properties({}),
                    post_commithook_properties=NO_HOOKS,
                )
                self._failpoint(failpoints.AFTER_COMPACTION)
            elif job is Job.CHECKPOINT:
                snapshot.delta.create_checkpoint()
                self._checkpoint_version = snapshot.version
            elif job is Job.CLEAN_LOG:
                self._cleaned_at_s = self._clock()
                snapshot.delta.cleanup_metadata()
            else:
                self._vacuumed_at_s = self._clock()
                snapshot.delta.vacuum(
                    dry_run=False,
                    full=False,
                    commit_properties=commit_properties({}),
                    post_commithook_properties=NO_HOOKS,
                )
