"""The shard graph and the plan over committed states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.connector.backlog import Backlog
from bridge.connector.checkpoints import Bump, Gap, Generation, Position, Record, Segment, Shard
from bridge.connector.generation import scan_open, seal_due
from bridge.connector.plan import (
    BumpEpoch,
    PlaceShard,
    ReadShard,
    ScanSegment,
    plan_table,
    segment_bucket,
    shard_bucket,
    usable,
)
from bridge.connector.shards import (
    ShardState,
    childless_ends,
    drained,
    shard_state,
    shard_views,
    unlisted_parents,
)
from bridge.connector.view import CheckpointView
from bridge.connector.work import Composer

ARN = "arn:aws:dynamodb:us-west-2:1:table/orders/stream/2026"
TABLE = "orders"
BUCKETS = 2
GENERATION = Generation(
    table=TABLE, epoch=7, arn=ARN, segments=2, consistent=False, reason="first start", at_s=0
)


def shard(name: str, parent: str | None = None, *, first: bool = False) -> Shard:
    return Shard(arn=ARN, shard=name, parent=parent, start="1", first=first)


def position(name: str, *, epoch: int = 7, ended: bool = False, **more: object) -> Position:
    fields: dict[str, object] = {"sequence": "5", **more}
    return Position(arn=ARN, shard=name, epoch=epoch, ended=ended, **fields)  # type: ignore[arg-type]


def gap(name: str, epoch: int = 7) -> Gap:
    return Gap(table=TABLE, arn=ARN, shard=name, epoch=epoch, after="5", cause="trimmed", at_s=0)


def bumped(epoch: int = 7) -> list[Bump]:
    return [Bump(arn=ARN, bucket=bucket, epoch=epoch) for bucket in range(BUCKETS)]


def view_of(*records: Record) -> CheckpointView:
    view = CheckpointView()
    for record in records:
        view.apply(record.key(), record.value())
    return view


def state_of(view: CheckpointView, name: str, bump: int = 7) -> ShardState:
    (known,) = [k for k in shard_views(view, TABLE, ARN) if k.shard.shard == name]
    return shard_state(view, known, bump)


def test_a_child_waits_until_its_parents_end_is_committed() -> None:
    family = (shard("p"), shard("c", "p"))
    assert state_of(view_of(*family), "c") is ShardState.WAIT_PARENT
    reading = view_of(*family, position("p"))
    assert state_of(reading, "c") is ShardState.WAIT_PARENT
    ended = view_of(*family, position("p", ended=True))
    assert state_of(ended, "c") is ShardState.READ
    assert state_of(ended, "p") is ShardState.ENDED


def test_a_child_waits_until_its_bucket_carries_its_parents_epoch() -> None:
    view = view_of(shard("c", "p"), position("p", epoch=9, ended=True))
    assert state_of(view, "c", bump=8) is ShardState.WAIT_EPOCH
    assert state_of(view, "c", bump=9) is ShardState.READ


def test_a_child_that_was_begun_does_not_wait_again() -> None:
    assert state_of(view_of(shard("c", "p"), position("c")), "c") is ShardState.READ


def test_a_parent_never_listed_counts_as_done_only_when_the_feed_began() -> None:
    assert state_of(view_of(shard("c", "p", first=True)), "c") is ShardState.PLACE
    placed = view_of(shard("c", "p", first=True), position("c", sequence=None))
    assert state_of(placed, "c") is ShardState.READ
    later = view_of(shard("c", "p"))
    assert state_of(later, "c") is ShardState.WAIT_LISTING
    assert unlisted_parents(later, TABLE, ARN) == {"c": "p"}


def test_children_that_came_with_the_end_are_known_at_once() -> None:
    view = view_of(shard("p"), position("p", ended=True, children=(("c", "9"),)))
    assert state_of(view, "c") is ShardState.READ
    assert view.shards[ARN]["c"].start == "9"
    assert childless_ends(view, ARN) == 0
    assert childless_ends(view_of(position("p", ended=True)), ARN) == 1


def test_a_gap_holds_until_a_later_generation_and_then_restarts() -> None:
    view = view_of(GENERATION, shard("s"), position("s"), gap("s"))
    assert view.active_gaps(TABLE) == [gap("s")]
    assert state_of(view, "s", bump=7) is ShardState.GAP
    later = view_of(replace(GENERATION, epoch=8), shard("s"), position("s"), gap("s"))
    assert later.active_gaps(TABLE) == []
    assert state_of(later, "s", bump=7) is ShardState.GAP
    assert state_of(later, "s", bump=8) is ShardState.RESTART
    fresh = position("s", epoch=8, sequence=None)
    again = view_of(replace(GENERATION, epoch=8), shard("s"), gap("s"), fresh)
    assert state_of(again, "s", bump=8) is ShardState.READ


def test_a_stream_is_drained_when_all_that_is_known_of_it_ended() -> None:
    view = view_of(shard("a"), position("a", ended=True), shard("b"), position("b"))
    assert not drained(view, ARN, frozenset("a"))
    view = view_of(shard("a"), position("a", ended=True))
    assert drained(view, ARN, frozenset("a"))
    assert not drained(view, ARN, frozenset("ab"))


def test_bumps_come_first_then_places_then_reading() -> None:
    owned = frozenset(range(BUCKETS))
    records: list[Record] = [shard("s", first=True), GENERATION]
    bucket = shard_bucket(BUCKETS, ARN, "s")
    plan = list(plan_table(view_of(*records), TABLE, owned, BUCKETS))
    assert plan == [BumpEpoch(b, ARN, 7) for b in range(BUCKETS)]
    records += bumped()
    (place,) = plan_table(view_of(*records), TABLE, owned, BUCKETS)
    assert isinstance(place, PlaceShard)
    assert place.bucket == bucket
    records.append(position("s", sequence=None))
    read, *scans = plan_table(view_of(*records), TABLE, owned, BUCKETS)
    assert isinstance(read, ReadShard)
    assert [s.segment.index for s in scans if isinstance(s, ScanSegment)] == [0, 1]
    mine = list(plan_table(view_of(*records), TABLE, frozenset({bucket}), BUCKETS))
    assert {action.bucket for action in mine} == {bucket}


def test_a_scan_waits_for_every_bump_and_every_place() -> None:
    everything: list[Record] = [
        shard("s", first=True),
        GENERATION,
        *bumped(),
        position("s", sequence=None),
    ]
    assert scan_open(view_of(*everything), GENERATION, BUCKETS)
    for left_out in (2, 3, 4):
        rest = [record for n, record in enumerate(everything) if n != left_out]
        assert not scan_open(view_of(*rest), GENERATION, BUCKETS)


def test_a_scan_waits_until_every_shard_was_seen_whole_after_the_bump() -> None:
    later = replace(GENERATION, epoch=8)
    records = [shard("s"), later, *bumped(8)]
    assert not scan_open(view_of(*records, position("s", epoch=7)), later, BUCKETS)
    assert scan_open(view_of(*records, position("s", epoch=8)), later, BUCKETS)
    assert scan_open(view_of(*records, position("s", epoch=7, ended=True)), later, BUCKETS)


def test_a_shard_that_still_waits_is_placed_again_for_a_new_epoch() -> None:
    owned = frozenset(range(BUCKETS))
    later = replace(GENERATION, epoch=8)
    family = [shard("p", first=True), shard("c", "p", first=True), later, *bumped(8)]
    placed = [position("p", epoch=8), position("c", sequence=None)]
    plan = list(plan_table(view_of(*family, *placed), TABLE, owned, BUCKETS))
    assert [a.known.shard.shard for a in plan if isinstance(a, PlaceShard)] == ["c"]
    again = [position("p", epoch=8), position("c", epoch=8, sequence=None)]
    plan = list(plan_table(view_of(*family, *again), TABLE, owned, BUCKETS))
    assert not [a for a in plan if isinstance(a, PlaceShard)]


def test_nothing_is_read_while_a_gap_is_in_force() -> None:
    records = [shard("s"), shard("t"), GENERATION, *bumped(), position("s"), position("t")]
    owned = frozenset(range(BUCKETS))
    assert list(plan_table(view_of(*records), TABLE, owned, BUCKETS))
    assert not list(plan_table(view_of(*records, gap("s")), TABLE, owned, BUCKETS))


@pytest.mark.parametrize("done", [0, 1, 2])
def test_the_seal_is_due_when_every_segment_is_done_and_once_only(done: int) -> None:
    segments = [Segment(table=TABLE, epoch=7, index=index, done=index < done) for index in range(2)]
    view = view_of(GENERATION, *segments)
    seal = seal_due(view, GENERATION)
    assert (seal is not None) == (done == 2)
    if seal is not None:
        view.apply(seal.key(), seal.value())
        assert seal_due(view, GENERATION) is None


def test_a_bump_somebody_else_wrote_tells_a_worker_that_it_was_replaced() -> None:
    composer = Composer(bucket=0, checkpoints="c", changes={}, dead_letters="d")
    view = view_of(GENERATION, *bumped())
    owned = {0: Backlog(composer)}
    assert usable(view, TABLE, owned) == frozenset()
    composer.epochs[ARN] = 7
    assert usable(view, TABLE, owned) == frozenset({0})
    assert usable(view_of(replace(GENERATION, epoch=8), *bumped()), TABLE, owned) == {0}


def test_segments_spread_evenly() -> None:
    assert [segment_bucket(3, index) for index in range(6)] == [0, 1, 2, 0, 1, 2]
