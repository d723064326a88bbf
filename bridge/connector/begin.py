"""From an action of the plan to the work or the reader that carries it out, once for each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.connector.backlog import Backlog
from bridge.connector.backoff import Backoff, PollPace
from bridge.connector.capacity import ReadBudget
from bridge.connector.checkpoints import AddressedScan, Bump
from bridge.connector.plan import Action, BumpEpoch, PlaceShard, ReadShard, ScanSegment
from bridge.connector.reader import ShardReader
from bridge.connector.segment import SegmentReader
from bridge.connector.work import EpochMark, ShardPage


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How readers behave; `budgets` are the tables whose scans have one, by name."""

    pace: PollPace
    backoff: Backoff
    budgets: Mapping[str, ReadBudget] = field(default_factory=dict)


Begun = EpochMark | ShardPage | ShardReader | SegmentReader


def begin(
    action: Action, table: str, backlog: Backlog, habits: Habits, now_s: float
) -> Begun | None:
    """What the bucket has to do for this action; None if it was begun before."""
    match action:
        case BumpEpoch(bucket, arn, epoch):
            bump = Bump(arn=arn, bucket=bucket, epoch=epoch)
            return EpochMark(bump) if backlog.claim(bump.key()) else None
        case PlaceShard(_, known):
            shard, position = known.shard, known.position
            since = str(position.epoch) if position is not None else ""
            if not backlog.begin("place", shard.arn, shard.shard, since):
                return None
            return ShardPage(table=table, arn=shard.arn, shard=shard.shard)
        case ReadShard():
            return _begin_reading(action, table, backlog, habits, now_s)
        case ScanSegment():
            return _begin_scanning(action, backlog, habits)


def _begin_reading(
    action: ReadShard, table: str, backlog: Backlog, habits: Habits, now_s: float
) -> ShardReader | None:
    shard, gap = action.known.shard, action.known.gap
    # One reader for the bucket's life, and one more for each gap that was repaired.
    since = str(gap.epoch) if gap is not None else ""
    if not backlog.begin("read", shard.arn, shard.shard, since):
        return None
    return ShardReader(
        table,
        shard,
        action.known.position,
        restart=action.restart,
        pace=habits.pace,
        backoff=habits.backoff,
        now_s=now_s,
    )


def _begin_scanning(action: ScanSegment, backlog: Backlog, habits: Habits) -> SegmentReader | None:
    generation, segment = action.generation, action.segment
    name = ["scan", generation.table, str(generation.epoch), str(segment.index)]
    if isinstance(generation, AddressedScan):
        name += [generation.transform, generation.id]
    if not backlog.begin(*name):
        return None
    budget = habits.budgets.get(generation.table)
    return SegmentReader(generation, segment, budget=budget, backoff=habits.backoff)
