"""When a generation begins, on what, and what it scans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.connector.checkpoints import Gap, Generation, Request, SealedMark, Segment, Shard
from bridge.connector.generation import (
    REPAIR_INTERVAL_S,
    YOUNG_STREAM_S,
    Decision,
    Survey,
    TablePolicy,
    decide,
)
from bridge.connector.view import CheckpointView
from tests.unit.connector.test_shards import (
    ARN,
    GENERATION,
    TABLE,
    gap,
    position,
    shard,
    view_of,
)

NOW_S = 1_763_907_404.0
NEXT = ARN + "-later"
POLICY = TablePolicy(table=TABLE)
SURVEY = Survey(arn=ARN, age_s=YOUNG_STREAM_S + 1, listings={ARN: (shard("s"),)}, segments=2)
RENEWED = replace(
    SURVEY,
    arn=NEXT,
    following=(NEXT,),
    listings={ARN: (shard("s"),), NEXT: (Shard(arn=NEXT, shard="n", parent=None),)},
)


def begun(decision: Decision) -> Generation | None:
    return next((record for record in decision.keep if isinstance(record, Generation)), None)


def decided(
    view: CheckpointView, survey: Survey = SURVEY, policy: TablePolicy = POLICY
) -> Decision:
    return decide(view, policy, survey, NOW_S)


def test_a_first_start_takes_all_listed_shards_and_scans() -> None:
    decision = decided(CheckpointView())
    generation = begun(decision)
    assert generation is not None
    assert (generation.epoch, generation.segments) == (int(NOW_S), 2)
    assert not generation.consistent
    assert decision.keep[-1] is generation, "who sees it must have seen its shards"
    assert all(record.first for record in decision.keep if isinstance(record, Shard))


@pytest.mark.parametrize("age_s", [None, 0.0, YOUNG_STREAM_S - 1])
def test_a_young_stream_is_scanned_consistently(age_s: float | None) -> None:
    generation = begun(decided(CheckpointView(), replace(SURVEY, age_s=age_s)))
    assert generation is not None
    assert generation.consistent


def test_nothing_begins_without_a_stream_or_a_whole_listing() -> None:
    assert decided(CheckpointView(), replace(SURVEY, arn=None)).empty
    assert decided(CheckpointView(), replace(SURVEY, listings={})).empty


def test_without_a_snapshot_nothing_is_scanned_and_that_is_said_once() -> None:
    never = replace(POLICY, snapshot="never")
    generation = begun(decided(CheckpointView(), policy=never))
    assert generation is not None
    assert generation.segments == 0
    view = view_of(generation, shard("s", first=True))
    mark = decided(view, policy=never).seal
    assert mark == SealedMark(table=TABLE, epoch=generation.epoch, scanned=False)
    view.apply(mark.key(), mark.value())
    assert decided(view, policy=never).empty


def test_a_stream_that_is_only_passed_through_is_neither_scanned_nor_sealed() -> None:
    between = replace(GENERATION, segments=0, reason="new stream")
    assert decided(view_of(between, shard("s"))).empty


def test_the_items_alone_are_scanned_on_the_tables_own_arn() -> None:
    only = replace(POLICY, snapshot="only")
    table_arn = ARN.split("/stream/")[0]
    survey = Survey(arn=table_arn, age_s=None, listings={table_arn: ()}, segments=2)
    generation = begun(decided(CheckpointView(), survey, only))
    assert generation is not None
    assert (generation.arn, generation.segments) == (table_arn, 2)
    assert generation.consistent, "nothing that follows would mend what a stale page left out"
    assert not generation.reads_stream
    view = view_of(generation)
    assert decided(view, survey, only).empty, "it scans once"
    for index in range(2):
        done = Segment(table=TABLE, epoch=generation.epoch, index=index, done=True)
        view.apply(done.key(), done.value())
    assert decided(view, survey, only).seal == SealedMark(table=TABLE, epoch=generation.epoch)
    request = Request(table=TABLE, id="r", at_s=0)
    view.apply(request.key(), request.value())
    again = begun(decided(view, survey, only))
    assert again is not None
    assert again.epoch > generation.epoch
    assert again.segments == 2


@pytest.mark.parametrize(("snapshot", "segments"), [("initial", 2), ("never", 0)])
def test_a_stream_that_is_wanted_after_all_begins_anew(snapshot: str, segments: int) -> None:
    scanned = replace(GENERATION, arn=ARN.split("/stream/")[0])
    policy = TablePolicy(table=TABLE, snapshot=snapshot)  # type: ignore[arg-type]
    generation = begun(decided(view_of(scanned), SURVEY, policy))
    assert generation is not None
    assert (generation.arn, generation.segments) == (ARN, segments)
    assert generation.epoch > scanned.epoch


def test_a_request_begins_a_scan_and_is_answered_by_it() -> None:
    request = Request(table=TABLE, id="r", at_s=0)
    decision = decided(view_of(GENERATION, shard("s"), request))
    generation = begun(decision)
    assert generation is not None
    assert generation.epoch > GENERATION.epoch
    assert generation.consistent
    assert decision.forget == (request.key(),)


def test_a_request_does_not_jump_over_a_stream_that_is_not_read_to_its_end() -> None:
    view = view_of(GENERATION, shard("s"), position("s"), Request(table=TABLE, id="r", at_s=0))
    generation = begun(decided(view, RENEWED))
    assert generation is not None
    assert generation.arn == ARN


def test_a_new_stream_begins_when_the_old_one_was_read_to_its_end() -> None:
    reading = view_of(GENERATION, shard("s"), position("s"))
    assert begun(decided(reading, RENEWED)) is None
    ended = view_of(GENERATION, shard("s"), position("s", ended=True))
    generation = begun(decided(ended, RENEWED))
    assert generation is not None
    assert (generation.arn, generation.segments) == (NEXT, 2)
    assert generation.consistent


def test_a_stream_between_two_is_read_without_a_scan() -> None:
    between = ARN + "-between"
    survey = replace(
        RENEWED,
        following=(between, NEXT),
        listings={ARN: (shard("s"),), between: (), NEXT: ()},
    )
    generation = begun(decided(view_of(GENERATION, position("s", ended=True)), survey))
    assert generation is not None
    assert (generation.arn, generation.segments) == (between, 0)


def test_without_a_snapshot_a_new_stream_is_a_gap() -> None:
    view = view_of(GENERATION, shard("s"), position("s", ended=True))
    decision = decided(view, RENEWED, replace(POLICY, snapshot="never"))
    assert begun(decision) is None
    (found,) = decision.keep
    assert isinstance(found, Gap)
    assert found.epoch == GENERATION.epoch


def test_a_gap_waits_for_a_request_unless_the_source_repairs_it() -> None:
    view = view_of(GENERATION, shard("s"), position("s"), gap("s"))
    assert decided(view).empty
    repairing = replace(POLICY, resnapshot_on_gap=True)
    generation = begun(decided(view, policy=repairing))
    assert generation is not None
    assert generation.reason == "gap"
    again = replace(generation, at_s=int(NOW_S - REPAIR_INTERVAL_S / 2))
    view = view_of(again, shard("s"), gap("s", again.epoch))
    assert decided(view, policy=repairing).empty, "repairs must not follow one another at once"


def test_shards_that_appear_later_are_noted_as_such() -> None:
    view = view_of(GENERATION, shard("s", first=True))
    survey = replace(SURVEY, listings={ARN: (shard("s"), shard("c", "s"))})
    assert decided(view, survey).keep == (shard("c", "s"),)


def test_a_parent_that_nobody_ever_listed_and_aws_forgot_is_a_gap() -> None:
    view = view_of(GENERATION, shard("s", first=True), shard("c", "lost"))
    survey = replace(SURVEY, listings={ARN: (shard("s"),)})
    assert decided(view, survey).empty
    (found,) = decided(view, replace(survey, gone=frozenset({(ARN, "lost")}))).keep
    assert isinstance(found, Gap)
    assert found.shard == "c"


def test_an_epoch_rises_even_when_clocks_do_not() -> None:
    ahead = replace(GENERATION, epoch=int(NOW_S) + 50)
    generation = begun(decided(view_of(ahead, Request(table=TABLE, id="r", at_s=0))))
    assert generation is not None
    assert generation.epoch == ahead.epoch + 1
