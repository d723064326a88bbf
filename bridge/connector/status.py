"""What the outside sees of a table's feed: one value, and the gauges that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.connector import metrics
from bridge.connector.checkpoints import AddressedSegment, Gap, Generation, Segment
from bridge.connector.shards import ShardState, shard_state, shard_views
from bridge.connector.tasks import Feed
from bridge.connector.view import CheckpointView

RETENTION_HOURS = 24.0
_SHOWN = {ShardState.READ: "open", ShardState.ENDED: "done"}
_NEARLY = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotProgress:
    """How far a scan is: `items` are committed, of about `items_expected` (AWS's figure, hours old;
    0 where it has none). `ratio` from 0 to 1 is 1 only at the end; `eta_s` at the average pace
    since the scan began, None before there is one."""

    segments: int
    segments_done: int
    items: int
    items_expected: int
    ratio: float
    eta_s: float | None

    @property
    def done(self) -> bool:
        """Whether all segments are committed to their ends."""
        return self.segments_done == self.segments


@dataclass(frozen=True, slots=True, kw_only=True)
class GapStatus:
    """Changes that are lost: of which shard, from after which sequence number (None: none was
    read), to when it was found (seconds since 1970), and why."""

    table: str
    shard: str
    after: str | None
    found_at_s: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatus:
    """A table's feed as this worker sees it.

    `feed` is what is read: `items and changes`, `changes only`, `items only`, or `not begun`.
    `lag_s` and `hours_to_trim` are of the shards this worker reads; None where no stream is read.
    `paused_at_s` is since when a person lets it rest, seconds since 1970. `problem`: AWS does not
    answer this worker, None while it does.
    """

    table: str
    feed: str
    epoch: int = 0
    shards_open: int = 0
    shards_waiting: int = 0
    shards_done: int = 0
    lag_s: float | None = None
    hours_to_trim: float | None = None
    snapshot: SnapshotProgress | None = None
    sealed: bool = False
    paused_at_s: float | None = None
    problem: str | None = None
    gaps: tuple[GapStatus, ...] = ()


def table_status(view: CheckpointView, feed: Feed, now_s: float) -> TableStatus:
    """The table's feed now."""
    name = feed.table
    generation = view.generations.get(name)
    if generation is None:
        return TableStatus(table=name, feed="not begun", paused_at_s=feed.paused_at_s)
    counts = {"open": 0, "waiting": 0, "done": 0}
    for known in shard_views(view, name, generation.arn):
        state = shard_state(view, known, generation.epoch)
        counts[_SHOWN.get(state, "waiting")] += 1
    rested_s = 0.0 if feed.paused_at_s is None else now_s - feed.paused_at_s
    lag_s = max(rested_s, feed.lag_s(now_s), 0.0) if generation.reads_stream else None
    unread_s = max(rested_s, feed.unread_s(now_s), 0.0)
    segments = view.segments[name, generation.epoch].values() if generation.segments else ()
    return TableStatus(
        table=name,
        feed=_kind(generation),
        epoch=generation.epoch,
        shards_open=counts["open"],
        shards_waiting=counts["waiting"],
        shards_done=counts["done"],
        lag_s=lag_s,
        hours_to_trim=None if lag_s is None else max(0.0, RETENTION_HOURS - unread_s / 3600),
        snapshot=snapshot_progress(generation, segments, feed.items_expected, now_s),
        sealed=view.sealed.get(name, 0) >= generation.epoch,
        paused_at_s=feed.paused_at_s,
        problem=feed.stall,
        gaps=tuple(map(_gap_status, view.active_gaps(name))),
    )


def _kind(generation: Generation) -> str:
    if not generation.reads_stream:
        return "items only"
    return "items and changes" if generation.segments else "changes only"


def _gap_status(gap: Gap) -> GapStatus:
    return GapStatus(
        table=gap.table, shard=gap.shard, after=gap.after, found_at_s=gap.at_s, cause=gap.cause
    )


def snapshot_progress(
    generation: Generation, segments: Iterable[Segment], items_expected: int, now_s: float
) -> SnapshotProgress | None:
    """Progress of the generation's scan, None where nothing is scanned."""
    if not generation.segments:
        return None
    found = list(segments)
    ratio = scanned_ratio(found, generation.segments, items_expected)
    elapsed_s = max(0.0, now_s - generation.at_s)
    return SnapshotProgress(
        segments=generation.segments,
        segments_done=sum(segment.done for segment in found),
        items=sum(segment.items for segment in found),
        items_expected=items_expected,
        ratio=ratio,
        eta_s=elapsed_s * (1 - ratio) / ratio if ratio else None,
    )


def scanned_ratio(
    found: Iterable[Segment | AddressedSegment], segments: int, items_expected: int
) -> float:
    """The part of a scan of so many segments (at least one) that is committed, 0 to 1.

    A segment counts by its end, one under way by its items against its part of the expected ones:
    so a figure that is hours old can't make the whole look done, nor stand still.
    """
    each = items_expected / segments
    parts = [1.0 if s.done else min(_NEARLY, s.items / each) if each else 0.0 for s in found]
    return sum(parts) / segments


def show_table(status: TableStatus) -> None:
    """Set the table's gauges."""
    name = status.table
    metrics.GAPS.labels(name).set(len(status.gaps))
    for kind, count in (
        ("open", status.shards_open),
        ("waiting", status.shards_waiting),
        ("done", status.shards_done),
    ):
        metrics.SHARDS.labels(name, kind).set(count)
    if status.lag_s is not None and status.hours_to_trim is not None:
        metrics.LAG_S.labels(name).set(status.lag_s)
        metrics.TRIM_HOURS.labels(name).set(status.hours_to_trim)
    if status.snapshot is not None:
        metrics.SNAPSHOT_RATIO.labels(name).set(status.snapshot.ratio)
        if status.snapshot.eta_s is not None:
            metrics.SNAPSHOT_ETA_S.labels(name).set(status.snapshot.eta_s)
