"""The shard graph: which shard may be read now, and why another may not. Pure.

A shard ends when *we* saw its null iterator and committed what came with it; listings are never
believed about that. A child starts only after its parent's end was read as committed, and only when
its own bucket carries at least the epoch of that end, so versions rise along the lineage whoever
reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.connector.checkpoints import Gap, Position, Shard
from bridge.connector.view import CheckpointView


class ShardState(StrEnum):
    """What can be done with a shard now."""

    PLACE = "place"  # its start must be committed before anything is scanned
    READ = "read"
    RESTART = "restart"  # a new generation covers what it lost; begin at the trim horizon
    WAIT_PARENT = "waits for its parent's end"
    WAIT_EPOCH = "waits for its bucket's bump"
    WAIT_LISTING = "waits for a parent that no listing has shown"
    GAP = "gap"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class ShardView:
    """A shard with all that is committed about it."""

    shard: Shard
    position: Position | None
    gap: Gap | None


def shard_views(view: CheckpointView, table: str, arn: str) -> list[ShardView]:
    """Every known shard of a stream."""
    positions, gaps = view.positions[arn], view.gaps[table]
    return [
        ShardView(shard, positions.get(name), gaps.get((arn, name)))
        for name, shard in view.shards[arn].items()
    ]


def shard_state(view: CheckpointView, known: ShardView, bump: int) -> ShardState:
    """What the owner of the shard's bucket, which carries epoch `bump`, may do with it."""
    position, gap = known.position, known.gap
    if gap is not None and (position is None or position.epoch <= gap.epoch):
        return ShardState.RESTART if bump > gap.epoch else ShardState.GAP
    if position is not None and position.ended:
        return ShardState.ENDED
    if position is None and known.shard.first:
        return ShardState.PLACE
    if position is not None and (position.sequence is not None or gap is not None):
        return ShardState.READ  # it was begun before, so its parent had ended
    return _gate(view, known.shard, bump)


def _gate(view: CheckpointView, shard: Shard, bump: int) -> ShardState:
    if shard.parent is None:
        return ShardState.READ
    parent = view.positions[shard.arn].get(shard.parent)
    if parent is not None and parent.ended:
        return ShardState.READ if bump >= parent.epoch else ShardState.WAIT_EPOCH
    if parent is not None or shard.parent in view.shards[shard.arn]:
        return ShardState.WAIT_PARENT
    # Never listed, never read. When the feed began it had been trimmed already; later it can only
    # have lived and died unread, which whoever lists the shards finds out.
    return ShardState.READ if shard.first else ShardState.WAIT_LISTING


def drained(view: CheckpointView, arn: str, listed: frozenset[str]) -> bool:
    """Whether everything of a stream that can still be known was read to its end."""
    positions = view.positions[arn]
    names = set(listed) | set(view.shards[arn])
    return all(name in positions and positions[name].ended for name in names)


def childless_ends(view: CheckpointView, arn: str) -> int:
    """Ended shards whose continuation is not known yet: a reason to list the shards again."""
    return sum(
        position.ended and not view.has_child(arn, name)
        for name, position in view.positions[arn].items()
    )


def unlisted_parents(view: CheckpointView, table: str, arn: str) -> dict[str, str]:
    """Shards that wait for a parent no listing has shown: `{child: parent}`."""
    return {
        known.shard.shard: known.shard.parent
        for known in shard_views(view, table, arn)
        if known.shard.parent is not None
        and known.position is None
        and known.gap is None
        and _gate(view, known.shard, 0) is ShardState.WAIT_LISTING
    }
