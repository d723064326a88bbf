"""When maintenance pays: pure decisions on what a query of the table reads.

A query that opens a file pays for it as if it read OPEN_BYTES more. Compaction pays where what
READS queries save by it exceeds what it rewrites; it first joins small files to medium ones and
only many of those to large ones, so that a row is rewritten twice, not with every small batch.
Partitions never share a file, so each is counted by itself.

Sorting by key pays where merges rewrite many files for few ranges of keys. That is judged by
hindsight: had the table been sorted before the last merges, what would they have rewritten?
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from sinks.properties import CHECKPOINT_INTERVAL

MEGABYTE = 1024 * 1024
OPEN_BYTES = 4 * MEGABYTE
READS = 32
SMALL_FILE_BYTES = 16 * MEGABYTE
MEDIUM_TARGET, LARGE_TARGET = 32 * MEGABYTE, 128 * MEGABYTE
FEWER_FILES_LEAST = 16
# Files are "in ranges" where a key lies in the bounds of at most this part of them.
SORTED_OVERLAP = 0.3
VACUUM_INTERVAL_S = 24 * 3600.0
CLEANUP_INTERVAL_S = 3600.0
RANGE_BYTES = 40 * MEGABYTE
CLUSTER_LEAST, CLUSTER_MOST = 128 * MEGABYTE, 512 * MEGABYTE
PAY_BACK = 2.0


class Job(StrEnum):
    """A piece of maintenance."""

    COMPACT = "compact"
    CLUSTER = "cluster"
    VACUUM = "vacuum"
    CHECKPOINT = "checkpoint"
    CLEAN_LOG = "clean log"


@dataclass(frozen=True, slots=True)
class Packing:
    """What compaction to files of `target` bytes does: so many files become fewer."""

    target: int
    files: int
    becomes: int
    bytes: int

    @property
    def fewer(self) -> int:
        """Files a full read no longer opens."""
        return self.files - self.becomes

    @property
    def gain(self) -> int:
        """Bytes that queries save, less those rewritten."""
        return self.fewer * OPEN_BYTES * READS - self.bytes


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Live files of a table, as a query sees them.

    `sizes` are bytes by partition. `lookup_files` is how many files may hold one key, as
    `files_of_value` tells. `chosen_order`: rows are kept in another order than by key.
    """

    files: int
    bytes: int
    small_files: int
    lookup_files: float
    sizes: tuple[tuple[int, ...], ...]
    partitioned: bool
    chosen_order: bool = False

    @property
    def in_ranges(self) -> bool:
        """Whether files hold ranges of keys, which compaction to large files would mix up."""
        return in_ranges(self.files, self.lookup_files)

    def packing(self, target: int) -> Packing:
        """What compaction to `target` does."""
        files = becomes = size = 0
        for sizes in self.sizes:
            part = [each for each in sizes if each < target]
            bins = -(-sum(part) // target)
            if len(part) > bins:
                files, becomes, size = files + len(part), becomes + bins, size + sum(part)
        return Packing(target, files, becomes, size)

    def compaction(self, fewer_least: int = FEWER_FILES_LEAST) -> Packing | None:
        """The smallest compaction that pays, if one does."""
        ordered = self.in_ranges or self.chosen_order
        targets = (MEDIUM_TARGET,) if ordered else (MEDIUM_TARGET, LARGE_TARGET)
        least = max(fewer_least, 1)
        found = (self.packing(target) for target in targets)
        return next((each for each in found if each.fewer >= least and each.gain > 0), None)


def file_facts(files: pa.Table, *, chosen_order: bool = False) -> FileFacts:
    """Facts from a table's add actions, flattened."""
    sizes = files["size_bytes"].to_pylist()
    names = [name for name in files.column_names if name.startswith("partition.")]
    parts = list(zip(*(files[name].to_pylist() for name in names), strict=True)) if names else []
    groups: dict[object, list[int]] = defaultdict(list)
    for number, size in enumerate(sizes):
        groups[parts[number] if parts else None].append(size)
    return FileFacts(
        files=len(sizes),
        bytes=sum(sizes),
        small_files=sum(size < SMALL_FILE_BYTES for size in sizes),
        lookup_files=files_of_value(files, "_key"),
        sizes=tuple(tuple(group) for group in groups.values()),
        partitioned=bool(names),
        chosen_order=chosen_order,
    )


def in_ranges(files: int, files_of_one: float) -> bool:
    """Whether so many files hold ranges, where one value may be in `files_of_one` of them."""
    return files > 1 and files_of_one <= max(files * SORTED_OVERLAP, 1.0)


def files_of_value(files: pa.Table, column: str) -> float:
    """How many files may hold one value of a column, by their bounds: the mean over files.

    0 where there are no files, all where bounds are unknown. A file whose values are all NULL has
    none and is left out.
    """
    if not files.num_rows:
        return 0.0
    low, high, nulls = (f"{of}.{column}" for of in ("min", "max", "null_count"))
    if not {low, high} <= set(files.column_names):
        return float(files.num_rows)
    known = files
    if {nulls, "num_records"} <= set(files.column_names):
        all_null = pc.fill_null(pc.equal(files[nulls], files["num_records"]), fill_value=False)
        known = files.filter(pc.invert(all_null))
    lows, highs = known[low].to_pylist(), known[high].to_pylist()
    if None in lows or None in highs:
        return float(files.num_rows)
    if not lows:
        return 1.0
    begun, ended = sorted(lows), sorted(highs)
    # Of a file's keys: the files that begin before its last, less those that end before its first.
    pairs = zip(lows, highs, strict=True)
    found = sum(bisect_right(begun, high) - bisect_left(ended, low) for low, high in pairs)
    return found / len(lows)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One merge: the part of the table's files it rewrote, 0 to 1, and a sample of its keys."""

    part: float
    keys: tuple[str, ...]


def ranges_of(table_bytes: int) -> int:
    """Ranges of keys a table is sorted in, one at a time in memory."""
    return max(table_bytes // RANGE_BYTES, 1)


def may_cluster(facts: FileFacts, rewrites: Sequence[Rewrite]) -> bool:
    """Whether sorting could pay, before anything of the table is read."""
    enough = sum(rewrite.part for rewrite in rewrites) >= _clustering_cost(facts.bytes) * PAY_BACK
    fits = CLUSTER_LEAST <= facts.bytes <= CLUSTER_MOST and not facts.partitioned
    return fits and enough and not (facts.in_ranges and facts.files >= ranges_of(facts.bytes))


def clustering_pays(table_bytes: int, rewrites: Sequence[Rewrite], bounds: Sequence[str]) -> bool:
    """Whether sorting would have saved these merges more than it costs; `bounds` cut the keys.

    Keys all over the table touch every range, however it is sorted: then nothing is saved.
    """
    files = -(-table_bytes // MEDIUM_TARGET) or 1
    ranges = len(bounds) + 1
    saved = 0.0
    for rewrite in rewrites:
        touched = len({bisect_right(bounds, key) * files // ranges for key in rewrite.keys})
        # Neighbouring files overlap a little; what sorting can't save must not call for it again.
        saved += max(rewrite.part - (touched + 1) / files, 0.0)
    return saved >= _clustering_cost(table_bytes) * PAY_BACK


def _clustering_cost(table_bytes: int) -> float:
    """In rewrites of the whole table: one, and a read of its keys for each range, at an eighth."""
    return 1 + ranges_of(table_bytes) / 8


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a decision is made of; times are seconds since the job was last done."""

    version: int
    checkpoint_version: int
    compaction: Packing | None
    clustering: bool
    since_cleanup_s: float
    since_vacuum_s: float


def due_jobs(upkeep: Upkeep) -> tuple[Job, ...]:
    """The jobs that pay now, in the order they are done."""
    jobs = []
    if upkeep.clustering:
        jobs.append(Job.CLUSTER)
    elif upkeep.compaction is not None:
        jobs.append(Job.COMPACT)
    # A checkpoint forgets files that left longer ago than their retention: vacuum comes first.
    if upkeep.since_vacuum_s >= VACUUM_INTERVAL_S:
        jobs.append(Job.VACUUM)
    if upkeep.version - upkeep.checkpoint_version >= CHECKPOINT_INTERVAL:
        jobs.append(Job.CHECKPOINT)
    if upkeep.since_cleanup_s >= CLEANUP_INTERVAL_S:
        jobs.append(Job.CLEAN_LOG)
    return tuple(jobs)


_INTERVAL = re.compile(r"\s*interval\s+(\d+)\s+(hour|day|week)s?\s*", re.IGNORECASE)
_HOURS = {"hour": 1, "day": 24, "week": 168}


def kept_hours(retention: str | None) -> int | None:
    """How long vacuum keeps files that left a table of this `delta.deletedFileRetentionDuration`.

    Two days less: a checkpoint forgets files at the end of their retention, and what it has
    forgotten is never deleted. None, the library's default, for a text that is no such interval.
    """
    found = _INTERVAL.fullmatch(retention or "")
    if found is None:
        return None
    hours = int(found[1]) * _HOURS[found[2].lower()]
    return max(hours - 48, hours // 2)
