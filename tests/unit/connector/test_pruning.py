"""What `_checkpoints` forgets, and what it must not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from bridge.connector.checkpoints import Bump, Position, Record, Segment, Shard
from bridge.connector.plan import BucketShare, shard_bucket
from bridge.connector.pruning import (
    KEEP_S,
    aged_shards,
    forget_listings,
    forget_progress,
    table_of_arn,
)
from bridge.connector.view import CheckpointView
from tests.unit.connector.test_shards import (
    ARN,
    BUCKETS,
    GENERATION,
    TABLE,
    gap,
    position,
    shard,
    view_of,
)

LATER = KEEP_S + 1
OLD = ARN.replace("2026", "2025")
GONE = frozenset({(ARN, "p")})
FAMILY = (GENERATION, shard("p"), shard("c", "p"), position("p", ended=True))


def aged(*more: Record, now_s: float = LATER) -> frozenset[str]:
    return aged_shards(view_of(*FAMILY, *more), GENERATION, now_s)


def shares() -> list[BucketShare]:
    return [BucketShare(bucket, BUCKETS) for bucket in range(BUCKETS)]


def progress(view: CheckpointView, now_s: float = LATER) -> list[bytes]:
    found = (forget_progress(view, GENERATION, share, now_s) for share in shares())
    return [key for keys in found for key in keys]


def test_a_shard_goes_when_its_child_goes_on_without_it() -> None:
    assert aged(position("c")) == {"p"}
    assert aged(position("c", sequence=None, ended=True)) == {"p"}


def test_a_shard_stays_for_a_child_that_was_not_begun() -> None:
    assert not aged()
    assert not aged(position("c", sequence=None)), "it would wait for its parent's end again"
    assert not aged(position("c"), shard("d", "p")), "the other half of a split"


def test_a_shard_without_a_known_continuation_stays() -> None:
    view = view_of(GENERATION, shard("p"), position("p", ended=True))
    assert not aged_shards(view, GENERATION, LATER)


def test_a_lineage_is_forgotten_from_its_root_on() -> None:
    family = (shard("d", "c"), position("c", ended=True), position("d"))
    assert aged(*family) == {"p"}
    without = view_of(*FAMILY, *family)
    without.apply(shard("p").key(), None)
    assert not aged_shards(without, GENERATION, LATER), "its parent's end still tells of it"
    without.apply(position("p").key(), None)
    assert aged_shards(without, GENERATION, LATER) == {"c"}


def test_what_ended_lately_and_what_runs_stays() -> None:
    assert not aged(position("c"), now_s=KEEP_S - 1)
    view = view_of(GENERATION, shard("p"), shard("c", "p"), position("p"), position("c"))
    assert not aged_shards(view, GENERATION, LATER)


def test_a_listing_goes_only_when_aws_was_asked() -> None:
    view = view_of(*FAMILY, position("c"))
    assert forget_listings(view, GENERATION, frozenset(), LATER) == ([], [])
    written, keys = forget_listings(view, GENERATION, GONE, LATER)
    assert written == []
    assert keys == [shard("p").key(), gap("p").key()]


def test_a_child_only_its_parents_end_told_of_is_listed_first() -> None:
    ended = position("p", ended=True, children=(("c", "1"),))
    view = view_of(GENERATION, shard("p"), ended, position("c"))
    (child,), keys = forget_listings(view, GENERATION, GONE, LATER)
    assert (child, keys) == (shard("c", "p"), [])
    view.apply(child.key(), child.value())
    assert shard("p").key() in forget_listings(view, GENERATION, GONE, LATER)[1]


def test_a_position_goes_after_its_listing_from_its_own_partition() -> None:
    view = view_of(*FAMILY, position("c"))
    assert progress(view) == [], "it is listed"
    view.apply(shard("p").key(), None)
    assert progress(view, KEEP_S - 1) == []
    owner = shard_bucket(BUCKETS, ARN, "p")
    for share in shares():
        keys = forget_progress(view, GENERATION, share, LATER)
        assert (position("p").key() in keys) == (share.bucket == owner)
    assert position("c").key() not in progress(view)


def test_a_shard_under_a_gap_in_force_stays() -> None:
    assert not aged(position("c"), gap("p"))


def test_scans_of_older_epochs_go_and_the_current_one_stays() -> None:
    old = [Segment(table=TABLE, epoch=6, index=index, done=True) for index in range(3)]
    current = Segment(table=TABLE, epoch=7, index=0, done=True)
    other = Segment(table="others", epoch=1, index=0, done=True)
    keys = progress(view_of(GENERATION, *old, current, other), now_s=0)
    assert sorted(keys) == sorted(segment.key() for segment in old)


def test_a_replaced_stream_goes_as_a_whole_and_the_current_one_stays() -> None:
    old = (
        Shard(arn=OLD, shard="o", parent=None),
        Position(arn=OLD, shard="o", epoch=6),
        Bump(arn=OLD, bucket=1, epoch=6),
        replace(gap("o", epoch=6), arn=OLD),
    )
    elsewhere = Shard(arn=ARN.replace("orders", "orders2"), shard="x", parent=None)
    current = (shard("s", first=True), position("s"), Bump(arn=ARN, bucket=1, epoch=7))
    view = view_of(GENERATION, *old, elsewhere, *current)
    assert forget_listings(view, GENERATION, frozenset(), 1.0) == ([], [])
    assert progress(view, now_s=1.0) == []
    _, listings = forget_listings(view, GENERATION, frozenset(), LATER)
    assert listings == [old[0].key(), old[3].key()]
    assert set(progress(view)) == {old[1].key(), old[2].key(), old[3].key()}


@pytest.mark.parametrize("order", list(itertools.permutations(range(5))))
def test_the_view_follows_from_what_is_kept_in_whatever_order_partitions_are_read(
    order: tuple[int, ...],
) -> None:
    ended = position("p", ended=True, children=(("c", "1"),))
    partitions = [
        [(shard("p"), True), (shard("p"), False)],
        [(ended, True), (ended, False)],
        [(position("c"), True), (position("c"), False)],
        [(shard("c", "p"), True), (shard("c", "p"), False)],
        [(shard("d", "c"), True)],
    ]
    view = CheckpointView()
    for number in order:
        for record, kept in partitions[number]:
            view.apply(record.key(), record.value() if kept else None)
    assert set(view.shards[ARN]) == {"d"}
    assert not view.positions[ARN]


def test_a_listing_that_goes_leaves_what_the_parents_end_tells() -> None:
    ended = position("p", ended=True, children=(("c", "1"),))
    view = view_of(shard("c", "p"), ended)
    view.apply(shard("c", "p").key(), None)
    assert view.shards[ARN]["c"] == shard("c", "p")


def test_the_table_of_an_arn() -> None:
    assert table_of_arn(ARN) == "orders"
    assert table_of_arn("arn:aws:dynamodb:us-west-2:1:table/orders") == "orders"
    assert table_of_arn("nothing") == ""
