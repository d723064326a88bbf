"""What the owner of a bucket does next for a table, from what is committed. Pure.

Every worker runs this over the same view; each acts only for the buckets it owns. Actions are safe
to repeat: the caller leaves out what it has under way already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bridge.connector.addressed import open_segments, running_scans
from bridge.connector.backlog import Backlog
from bridge.connector.checkpoints import AnyScan, AnySegment, Generation, Segment
from bridge.connector.generation import readable, scan_open
from bridge.connector.shards import ShardState, ShardView, shard_state, shard_views
from bridge.connector.view import CheckpointView
from bridge.wire.leases import bucket_of


@dataclass(frozen=True, slots=True)
class BumpEpoch:
    """Commit that the bucket's changes of this stream carry the epoch from now on."""

    bucket: int
    arn: str
    epoch: int


@dataclass(frozen=True, slots=True)
class PlaceShard:
    """Commit that the shard is read from its trim horizon."""

    bucket: int
    known: ShardView


@dataclass(frozen=True, slots=True)
class ReadShard:
    """Read the shard on from its position; `restart` begins it anew after a gap."""

    bucket: int
    known: ShardView
    restart: bool


@dataclass(frozen=True, slots=True)
class ScanSegment:
    """Read the segment on from where it is."""

    bucket: int
    generation: AnyScan
    segment: AnySegment


Action = BumpEpoch | PlaceShard | ReadShard | ScanSegment


def shard_bucket(buckets: int, arn: str, shard: str) -> int:
    """The bucket that reads a shard: by its own id, so that a split spreads."""
    return bucket_of(buckets, arn, shard)


def segment_bucket(buckets: int, index: int) -> int:
    """The bucket that scans a segment: dealt out in turn, so that they spread evenly."""
    return index % buckets


@dataclass(frozen=True, slots=True)
class BucketShare:
    """What of a namespace of so many buckets belongs to one of them; see `pruning.Owns`."""

    bucket: int
    buckets: int

    def shard(self, arn: str, shard: str) -> bool:
        """Whether the bucket reads this shard."""
        return shard_bucket(self.buckets, arn, shard) == self.bucket

    def segment(self, index: int) -> bool:
        """Whether the bucket scans this segment."""
        return segment_bucket(self.buckets, index) == self.bucket


def halted(view: CheckpointView, table: str) -> bool:
    """Whether the table stands still because of a gap."""
    return bool(view.active_gaps(table))


def usable(view: CheckpointView, table: str, owned: Mapping[int, Backlog]) -> frozenset[int]:
    """The buckets that are still ours as far as their bumps tell.

    A committed bump that the bucket did not write itself was written by its next owner: this worker
    was fenced and will learn so when it commits. Until then it begins nothing there.
    """
    generation = view.generations.get(table)
    if generation is None:
        return frozenset(owned)
    arn = generation.arn
    return frozenset(
        bucket
        for bucket, backlog in owned.items()
        if backlog.composer.epochs.get(arn, 0) >= view.bump(arn, bucket)
    )


def plan_table(
    view: CheckpointView, table: str, owned: frozenset[int], buckets: int
) -> Iterator[Action]:
    """Everything to be under way now for one table in the owned buckets."""
    generation = view.generations.get(table)
    if generation is None:
        return
    arn, epoch = generation.arn, generation.epoch
    bumped = frozenset(bucket for bucket in owned if view.bump(arn, bucket) >= epoch)
    for bucket in sorted(owned - bumped):
        yield BumpEpoch(bucket, arn, epoch)
    if halted(view, table):
        return
    for known in shard_views(view, table, arn):
        bucket = shard_bucket(buckets, arn, known.shard.shard)
        if bucket in bumped:
            yield from _plan_shard(view, known, bucket)
    if scan_open(view, generation, buckets):
        yield from _plan_scan(view, generation, bumped, buckets)
    if readable(view, generation, buckets):
        yield from _plan_addressed(view, generation, bumped, buckets)


def _plan_shard(view: CheckpointView, known: ShardView, bucket: int) -> Iterator[Action]:
    bump = view.bump(known.shard.arn, bucket)
    match shard_state(view, known, bump):
        case ShardState.PLACE:
            yield PlaceShard(bucket, known)
        case ShardState.READ:
            yield ReadShard(bucket, known, restart=False)
        case ShardState.RESTART:
            yield ReadShard(bucket, known, restart=True)
        case ShardState.WAIT_PARENT | ShardState.WAIT_EPOCH:
            if known.position is not None and known.position.epoch < bump:
                yield PlaceShard(bucket, known)  # the scan of this epoch covers it from here on
        case _:
            pass


def _plan_scan(
    view: CheckpointView, generation: Generation, owned: frozenset[int], buckets: int
) -> Iterator[Action]:
    progress = view.segments[generation.table, generation.epoch]
    for index in range(generation.segments):
        bucket = segment_bucket(buckets, index)
        segment = progress.get(index) or Segment(
            table=generation.table, epoch=generation.epoch, index=index
        )
        if bucket in owned and not segment.done:
            yield ScanSegment(bucket, generation, segment)


def _plan_addressed(
    view: CheckpointView, generation: Generation, owned: frozenset[int], buckets: int
) -> Iterator[Action]:
    for scan in running_scans(view, generation):
        for segment in open_segments(view, scan):
            bucket = segment_bucket(buckets, segment.index)
            if bucket in owned:
                yield ScanSegment(bucket, scan, segment)
