"""Scans for one transform: when they begin, end, are repeated or given up, and what they write."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from bridge.connector.addressed import decide_addressed, outdated_segments
from bridge.connector.checkpoints import (
    AddressedScan,
    AddressedSegment,
    Bump,
    Generation,
    Record,
    Request,
    SealedMark,
    Shard,
)
from bridge.connector.generation import Decision, Survey, TablePolicy, decide
from bridge.connector.keyed import Keyed
from bridge.connector.leader import decision_messages
from bridge.connector.plan import ScanSegment, plan_table
from bridge.connector.view import CheckpointView
from bridge.connector.work import Composer, SegmentPage
from bridge.wire.envelope import Sealed, change_origin

TABLE = "orders"
ARN = "arn:aws:dynamodb:us-west-2:123456789012:table/orders/stream/1"
GENERATION = Generation(
    table=TABLE, epoch=7, arn=ARN, segments=2, consistent=True, reason="requested", at_s=100
)
SEALED = SealedMark(table=TABLE, epoch=7)
REQUEST = Request(table=TABLE, id="r", at_s=200, addressed_to="lines")
SCAN = AddressedScan(table=TABLE, transform="lines", id="r", epoch=7, arn=ARN, segments=2, at_s=201)


def view_of(*records: Record) -> CheckpointView:
    view = CheckpointView()
    for record in records:
        view.apply(record.key(), record.value())
    return view


def segment(index: int, *, done: bool = True, epoch: int = 7) -> AddressedSegment:
    return AddressedSegment(
        table=TABLE, transform="lines", id="r", epoch=epoch, index=index, done=done, start="{}"
    )


def decided(*records: Record, generation: Generation = GENERATION):
    return decide_addressed(view_of(generation, *records), generation, 2, 201.0)


def test_it_begins_when_the_generation_is_sealed_and_not_before() -> None:
    assert decided(REQUEST).keep == ()
    begun = decided(REQUEST, SEALED)
    assert begun.keep == (SCAN,)
    assert begun.forget == (), "the request stays until it is answered"


def test_a_feed_that_scanned_nothing_has_nothing_to_wait_for() -> None:
    unscanned = replace(GENERATION, segments=0)
    assert decided(REQUEST, generation=unscanned).keep == (SCAN,)


def test_it_is_complete_when_every_segment_is() -> None:
    assert not decided(REQUEST, SEALED, SCAN, segment(0)).complete
    assert not decided(REQUEST, SEALED, SCAN, segment(0), segment(1, done=False)).complete
    over = decided(REQUEST, SEALED, SCAN, segment(0), segment(1))
    assert over.complete == (SCAN,)
    assert over.keep == (replace(SCAN, done=True),)
    assert over.forget == (REQUEST.key(),)


def test_asked_again_for_what_was_done_it_is_not_repeated() -> None:
    again = decided(REQUEST, SEALED, replace(SCAN, done=True))
    assert (again.keep, again.forget) == ((), (REQUEST.key(),))


def test_another_request_for_the_transform_waits_and_one_for_another_does_not() -> None:
    second = replace(REQUEST, id="s", at_s=202)
    other = replace(REQUEST, id="t", addressed_to="totals")
    found = decided(REQUEST, second, other, SEALED, SCAN)
    assert [(scan.transform, scan.id) for scan in found.keep] == [("totals", "t")]
    after = decided(second, SEALED, replace(SCAN, done=True))
    assert [(scan.transform, scan.id) for scan in after.keep] == [("lines", "s")]


def test_a_new_generation_without_a_scan_lets_it_begin_anew() -> None:
    newer = replace(GENERATION, epoch=8, segments=0)
    again = decided(REQUEST, SCAN, segment(0), segment(1), generation=newer)
    assert again.keep == (replace(SCAN, epoch=8),)
    assert not again.complete


def test_a_request_for_one_transform_begins_no_generation_but_a_new_one_answers_it() -> None:
    survey = Survey(arn=ARN, age_s=1e6, listings={ARN: ()}, segments=2)
    policy = TablePolicy(table=TABLE)
    alone = decide(view_of(GENERATION, SEALED, REQUEST), policy, survey, 300.0)
    assert not any(isinstance(record, Generation) for record in alone.keep)
    everyone = Request(table=TABLE, id="all", at_s=250)
    both = decide(view_of(GENERATION, SEALED, REQUEST, everyone), policy, survey, 300.0)
    assert any(isinstance(record, Generation) for record in both.keep)
    assert set(both.forget) == {REQUEST.key(), everyone.key()}


def test_its_segments_are_read_by_the_buckets_they_fall_to_once_all_have_bumped() -> None:
    bumps = [Bump(arn=ARN, bucket=bucket, epoch=7) for bucket in range(2)]
    open_scan: list[Record] = [GENERATION, SEALED, SCAN, segment(1, done=False)]
    assert not list(scans(view_of(*open_scan, bumps[0]), frozenset({0})))
    first, second = scans(view_of(*open_scan, *bumps), frozenset({0, 1}))
    assert (first.segment.start, second.segment.start) == (None, "{}")
    unplaced = Shard(arn=ARN, shard="s", parent=None, first=True)
    assert not list(scans(view_of(*open_scan, *bumps, unplaced), frozenset({0, 1})))


def scans(view: CheckpointView, owned: frozenset[int]) -> list[ScanSegment]:
    return [
        action
        for action in plan_table(view, TABLE, owned, 2)
        if isinstance(action, ScanSegment) and isinstance(action.generation, AddressedScan)
    ]


@pytest.mark.parametrize("segment_epoch", [6, 7])
def test_progress_is_forgotten_when_its_scan_is_not_under_way(segment_epoch: int) -> None:
    progress = segment(0, epoch=segment_epoch)
    running = view_of(GENERATION, SCAN, progress)
    assert outdated_segments(running, GENERATION) == ([progress] if segment_epoch == 6 else [])
    done = view_of(GENERATION, replace(SCAN, done=True), progress)
    assert outdated_segments(done, GENERATION) == [progress]


def test_its_items_and_its_seals_name_the_transform() -> None:
    composer = Composer(bucket=0, checkpoints="cp", changes={TABLE: "changes"}, dead_letters="dead")
    page = SegmentPage(arn=ARN, segment=segment(0), records=[Keyed(b"k", b'{"eventName":"READ"}')])
    item, progress = composer.compose([page], 0.0)
    assert change_origin(orjson.loads(item.value or b"")).addressed_to == "lines"
    assert progress.key == segment(0).key()
    decision = Decision(keep=(replace(SCAN, done=True),), complete=(SCAN,))
    _, *seals = decision_messages(decision, "cp", "changes", 2)
    assert [(seal.partition, Sealed.decode(seal.value or b"")) for seal in seals] == [
        (p, Sealed(TABLE, 7, p, 2, addressed_to="lines")) for p in range(2)
    ]
