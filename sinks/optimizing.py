"""Maintenance at a person's word: what would be done and why, and doing it.

Whoever writes the table goes on meanwhile. Each step is a commit onto a fresh snapshot, or none;
the sink takes such commits for what they are. A step that keeps losing against its commits is
refused with the way out, never forced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bridge.wire.errors import TailraceError
from sinks.cluster_by import newer_bytes, note_sorted, order_of, sort_one, sorted_at_ms
from sinks.clustering import Part, parts_of
from sinks.maintenance import (
    clean_log,
    compact,
    deletable_files,
    facts_of,
    vacuum,
    write_checkpoint,
)
from sinks.table import Snapshot, TableError, TableStore
from sinks.upkeep import MEGABYTE, FileFacts, Job, Packing

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One job: whether it is done, and why or why not."""

    job: Job
    pays: bool
    why: str


def planned(snapshot: Snapshot, *, sort: bool) -> list[Step]:
    """What optimizing the table does, in order; changes nothing.

    Args:
        sort: put it in the order of its `cluster_by`, of the key where it has none.

    Raises:
        TableError: the lake does not answer.
    """
    facts = facts_of(snapshot)
    rewrite = _sorting(snapshot, facts) if sort else _compaction(facts)
    gone = deletable_files(snapshot)
    old = f"{gone} files left the table longer ago than readers need them; those still there go"
    return [
        rewrite,
        Step(Job.VACUUM, gone > 0, old if gone else "no file left the table long enough ago"),
        Step(Job.CHECKPOINT, True, "opening the table then reads one file of its log"),
        Step(Job.CLEAN_LOG, True, "commits older than the log's retention go"),
    ]


def carry_out(store: TableStore, step: Step) -> None:
    """Do one step, on a fresh snapshot; again where somebody else's commit came first.

    Raises:
        TailraceError: the table's writer was faster every time, or the lake does not answer.
    """
    if step.job is not Job.CLUSTER:
        _persist(store, step.job, lambda snapshot: _run(step.job, snapshot))
        return
    snapshot = store.open()
    for part in [] if snapshot is None else _unsorted(snapshot):
        _persist(store, step.job, partial(sort_one, predicate=part.predicate, goes_on=lambda: True))
    _persist(store, step.job, lambda latest: note_sorted(latest, time.time()))


def _persist(store: TableStore, job: Job, do: Callable[[Snapshot], object]) -> None:
    last: TableError | None = None
    for _ in range(_ATTEMPTS):
        snapshot = store.open()
        if snapshot is None:
            return
        try:
            do(snapshot)
        except TableError as error:
            last = error
        else:
            return
    raise TailraceError(
        f"{job.value} failed {_ATTEMPTS} times: {last}",
        where=store.uri,
        remedy="If its sink commits all the time: tailrace pause dataset:ID, and resume it after",
    )


def _run(job: Job, snapshot: Snapshot) -> None:
    packing = _packing(facts_of(snapshot))
    jobs: dict[Job, Callable[[], object]] = {
        Job.COMPACT: lambda: compact(snapshot, packing.target) if packing else None,
        Job.VACUUM: lambda: vacuum(snapshot, time.time()),
        Job.CHECKPOINT: lambda: write_checkpoint(snapshot),
        Job.CLEAN_LOG: lambda: clean_log(snapshot),
    }
    jobs[job]()


def _unsorted(snapshot: Snapshot) -> list[Part]:
    at_ms = sorted_at_ms(snapshot)
    parts = parts_of(snapshot)
    return [part for part in parts if newer_bytes(part, at_ms)]


def _packing(facts: FileFacts) -> Packing | None:
    return facts.compaction(fewer_least=1)


def _compaction(facts: FileFacts) -> Step:
    packing = _packing(facts)
    if packing is None:
        return Step(Job.COMPACT, False, "joining files would rewrite more than queries save")
    return Step(
        Job.COMPACT,
        True,
        f"{packing.files} files become {packing.becomes} of up to {packing.target // MEGABYTE} MB: "
        f"a full read opens {packing.fewer} fewer, {size_text(packing.bytes)} are rewritten",
    )


def _sorting(snapshot: Snapshot, facts: FileFacts) -> Step:
    if not facts.files:
        return Step(Job.CLUSTER, False, "there are no rows")
    order = ", ".join(order_of(snapshot))
    parts = _unsorted(snapshot)
    if not parts:
        return Step(Job.CLUSTER, False, f"no file is newer than the last sorting by {order}")
    size = size_text(sum(part.bytes for part in parts))
    where = f" of {len(parts)} partitions" if facts.partitioned else ""
    return Step(
        Job.CLUSTER,
        True,
        f"a lookup by key may open {facts.lookup_files:.1f} of {facts.files} files; {size}{where} "
        f"are rewritten, sorted by {order}",
    )


def size_text(size: int) -> str:
    """Bytes for people."""
    return f"{size / MEGABYTE:.1f} MB"


def lines(facts: FileFacts, steps: list[Step]) -> Iterator[str]:
    """The plan as text."""
    yield (
        f"{facts.files} files, {size_text(facts.bytes)}; {facts.small_files} below 16 MB; "
        f"a lookup by key may open {facts.lookup_files:.1f}"
    )
    for step in steps:
        yield f"{step.job.value:<10}  {'yes' if step.pays else 'no':<3}  {step.why}"
