"""What `_checkpoints` may forget, so that it does not grow for ever. Pure.

A shard is forgotten from the root of its lineage on, in two steps by two writers. The leader
deletes its listing, when its end was committed long ago, AWS does not know it any more, nothing
known comes before it, and each of its children has been begun and has a listing of its own. Only
then its bucket's owner deletes the position. So at every moment a shard that is still listed, by
the leader or by its parent's end, has a position, and a position without a listing is done with.
Whoever takes a bucket over has read all that was committed, in all partitions, after the fencing,
so it has seen whatever these deletions followed from.

Streams that a newer one has replaced, and scans of older epochs, go as a whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

from bridge.connector.addressed import outdated_segments
from bridge.connector.checkpoints import Bump, Gap, Generation, Shard
from bridge.connector.view import CheckpointView
from bridge.wire.namespace import encode_key

# Twice what DynamoDB keeps of a stream: clocks may differ, listings may lag.
KEEP_S = 48 * 3600.0
_AT_ONCE = 500


class Owns(Protocol):
    """Which records lie in a bucket's own partition."""

    @property
    def bucket(self) -> int:
        """The bucket's number."""

    def shard(self, arn: str, shard: str) -> bool:
        """Whether the bucket reads this shard."""

    def segment(self, index: int) -> bool:
        """Whether the bucket scans this segment."""


def aged_shards(
    view: CheckpointView, generation: Generation, now_s: float, keep_s: float = KEEP_S
) -> frozenset[str]:
    """Shards of the stream that can be forgotten as soon as AWS does not know them any more."""
    shards, positions = view.shards[generation.arn], view.positions[generation.arn]
    old = [n for n, p in positions.items() if p.ended and now_s - p.at_s >= keep_s and n in shards]
    if not old:
        return frozenset()
    children = _children(shards)
    halting = {gap.shard for gap in view.active_gaps(generation.table)}

    def begun(child: Shard) -> bool:
        position = positions.get(child.shard)
        return position is not None and (position.ended or position.sequence is not None)

    return frozenset(
        name
        for name in old
        if shards[name].parent not in shards
        and shards[name].parent not in positions
        and name not in halting
        and children[name]
        and all(map(begun, children[name]))
    )


def _children(shards: Mapping[str, Shard]) -> defaultdict[str, list[Shard]]:
    children: defaultdict[str, list[Shard]] = defaultdict(list)
    for shard in shards.values():
        if shard.parent is not None:
            children[shard.parent].append(shard)
    return children


def forget_listings(
    view: CheckpointView,
    generation: Generation,
    gone: frozenset[tuple[str, str]],
    now_s: float,
    keep_s: float = KEEP_S,
) -> tuple[list[Shard], list[bytes]]:
    """The leader's part: listings to write first, and keys of partition 0 to delete.

    A child that only its parent's end has told of gets a listing; the parent goes the next time.
    `gone` are `(arn, shard)` that AWS was asked about and does not know.
    """
    arn, listed = generation.arn, view.listed[generation.arn]
    written: list[Shard] = []
    keys: list[bytes] = []
    aged = aged_shards(view, generation, now_s, keep_s)
    children = _children(view.shards[arn]) if aged else {}
    for name in sorted(aged):
        if (arn, name) not in gone:
            continue
        unlisted = [child for child in children[name] if child.shard not in listed]
        written += unlisted
        if not unlisted:
            keys += [_shard_key(arn, name), _gap_key(generation.table, arn, name)]
    if now_s - generation.at_s >= keep_s:
        for old in _replaced(view, generation):
            keys += [_shard_key(old, name) for name in view.listed[old]]
            keys += [gap.key() for gap in view.gaps[generation.table].values() if gap.arn == old]
    return written, keys[:_AT_ONCE]


def forget_progress(
    view: CheckpointView,
    generation: Generation,
    owns: Owns,
    now_s: float,
    keep_s: float = KEEP_S,
) -> list[bytes]:
    """A bucket owner's part: keys of the bucket's own partition to delete."""
    arn, table = generation.arn, generation.table
    shards = view.shards[arn]
    keys: list[bytes] = []
    for name, position in view.positions[arn].items():
        unlisted = name not in shards and position.ended and now_s - position.at_s >= keep_s
        if unlisted and owns.shard(arn, name):
            keys += [position.key(), _gap_key(table, arn, name)]
    keys += [s.key() for s in outdated_segments(view, generation) if owns.segment(s.index)]
    for (of_table, epoch), segments in view.segments.items():
        if of_table == table and epoch < generation.epoch:
            keys += [s.key() for s in segments.values() if owns.segment(s.index)]
    if now_s - generation.at_s >= keep_s:
        for old in _replaced(view, generation):
            for name, position in view.positions[old].items():
                if owns.shard(old, name):
                    keys += [position.key(), _gap_key(table, old, name)]
            if owns.bucket in view.bumps[old]:
                keys.append(Bump(arn=old, bucket=owns.bucket, epoch=0).key())
    return keys[:_AT_ONCE]


def _replaced(view: CheckpointView, generation: Generation) -> list[str]:
    """Streams of the same table that are not read any more."""
    known = {*view.listed, *view.positions, *view.bumps} - {generation.arn}
    return sorted(arn for arn in known if table_of_arn(arn) == generation.table)


def table_of_arn(arn: str) -> str:
    """The table's name in a table's or stream's ARN, "" where there is none."""
    return arn.partition("table/")[2].partition("/")[0]


def _shard_key(arn: str, shard: str) -> bytes:
    return encode_key(Shard.KIND, arn, shard)


def _gap_key(table: str, arn: str, shard: str) -> bytes:
    return encode_key(Gap.KIND, table, arn, shard)
