"""Every state of a table, a dataset and a process, from facts alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bridge.connector.checkpoints import Gap
from bridge.control.status.assess import assess
from bridge.control.status.facts import Facts, LakeTable, Letters, Waiting
from bridge.wire.generations import Building, Generations, TransformRecord
from bridge.wire.pauses import Paused
from tests.unit.control.status.facts import (
    ARN,
    CHANGES,
    NOW_S,
    ROUTE,
    ROWS,
    checkpoints,
    heard,
    well,
)


def of_table(facts: Facts):
    return assess(facts).tables[0]


def of_dataset(facts: Facts):
    return assess(facts).datasets[0]


def without(stage: str, *others):
    kept = [heard(s) for s in ("connector", "processor", "sink") if s != stage]
    return well(reports=(*kept, *others))


def test_a_pipeline_that_is_well_is_healthy_with_every_figure():
    status = assess(well())
    assert status.healthy and status.state == "running"
    table, dataset = status.tables[0], status.datasets[0]
    assert (table.source.lag_s, table.hours_to_trim) == (0.5, 24 - 0.5 / 3600)
    assert (table.shards.open, table.shards.done, table.workers) == (1, 1, 1)
    assert (dataset.rows.lag_s, dataset.table.lag_s, dataset.lag_s) == (0.0, 0.0, 0.5)
    assert (dataset.version, dataset.committed_s) == (3, NOW_S - 2)
    assert [worker.stage for worker in status.workers] == ["connector", "processor", "sink"]
    assert {worker.verdict.state for worker in status.workers} == {"running"}
    assert json.loads(json.dumps(status.to_json()))["healthy"] is True


def test_nothing_to_look_at_is_not_healthy():
    assert not assess(well(routes=())).healthy


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("processor", "tailrace run processor orders.py:fold"),
        ("sink", "tailrace run sink orders.py"),
    ],
)
@pytest.mark.parametrize(
    ("last", "said"),
    [
        (None, "no {} was heard of within a day"),
        ({"ago_s": 31.0}, "the {} (h pid {n}) has not been heard of for 31 s"),
        ({"stopped": ""}, "the {} (h pid {n}) was told to stop 2 s ago"),
        ({"stopped": "disk full"}, "the {} (h pid {n}) stopped 2 s ago: disk full"),
    ],
)
def test_a_dataset_without_a_process_is_stopped_and_says_why(stage, command, last, said):
    others = () if last is None else (heard(stage, **last),)
    status = assess(without(stage, *others))
    verdict = status.datasets[0].verdict
    assert verdict.state == "stopped" and not status.healthy
    assert verdict.reason == said.format(stage, n=len(stage))
    assert verdict.command == command


def test_a_table_whose_connector_is_gone_loses_time_to_trim_while_it_is_away():
    table = of_table(without("connector", heard("connector", ago_s=7200.0)))
    assert table.verdict.state == "stopped"
    assert table.verdict.command == "tailrace run connector orders.py"
    assert table.source.lag_s == 7200.5
    assert table.hours_to_trim == 24 - 7200.5 / 3600


def test_a_second_process_that_died_is_shown_and_stops_nothing():
    status = assess(well(reports=(*well().reports, heard("sink", ago_s=40.0, pid=99))))
    assert status.healthy
    assert [w.verdict.state for w in status.workers if w.pid == 99] == ["stopped"]


def test_a_process_that_was_replaced_is_not_shown():
    old = heard("sink", ago_s=300.0, pid=99)
    new = heard("sink", started_s=NOW_S - 290)
    status = assess(without("sink", old, new))
    assert [w.pid for w in status.workers if w.stage == "sink"] == [4]


@pytest.mark.parametrize("consumer", ["processor:fold", "sink:out"])
def test_what_was_deleted_before_it_was_read_is_a_gap_with_its_command(consumer):
    waiting = dict(well().waiting)
    key = ("ns.fold", CHANGES) if consumer == "processor:fold" else ("ns.sink.out", ROWS)
    waiting[key] = Waiting(5, NOW_S - 9, gap="GAP: offsets 3 to 9 were deleted")
    verdict = of_dataset(well(waiting=waiting)).verdict
    assert (verdict.state, verdict.reason) == ("GAP", "GAP: offsets 3 to 9 were deleted")
    assert verdict.command == f"tailrace backfill orders --accept-gap {consumer}"


def test_a_gap_of_the_source_is_told_from_checkpoints_alone():
    view = checkpoints()
    gap = Gap(table="orders", arn=ARN, shard="s-2", epoch=7, after="5", cause="trimmed", at_s=9)
    view.apply(gap.key(), gap.value())
    verdict = of_table(well(checkpoints=view, reports=())).verdict
    assert verdict.state == "GAP" and "s-2" in verdict.reason
    assert verdict.command == "tailrace backfill orders"


def test_a_stage_that_says_gap_is_a_gap_not_a_stall():
    problem = "ns.rows.out partition 0: GAP: offsets 0 to 4 were deleted. Run: tailrace backfill x"
    thing = {"dataset": "out", "stalled": problem}
    verdict = of_dataset(without("sink", heard("sink", things=(thing,), problem=problem))).verdict
    assert (verdict.state, verdict.command) == ("GAP", "tailrace backfill x")


@pytest.mark.parametrize("kind", ["transform", "dataset"])
def test_what_a_person_paused_says_how_to_go_on(kind):
    name = "fold" if kind == "transform" else "out"
    pauses = {(kind, name): Paused(kind, name, int(NOW_S) - 60)}
    status = assess(well(pauses=pauses))
    verdict = status.datasets[0].verdict
    assert (verdict.state, verdict.command) == ("paused", f"tailrace resume {kind}:{name}")
    assert "60 s ago" in verdict.reason and not status.healthy


def test_a_paused_table():
    pauses = {("table", "orders"): Paused("table", "orders", int(NOW_S))}
    verdict = of_table(well(pauses=pauses)).verdict
    assert (verdict.state, verdict.command) == ("paused", "tailrace resume table:orders")


@pytest.mark.parametrize("stage", ["connector", "processor", "sink"])
def test_a_process_that_says_it_is_stuck_makes_its_work_stalled(stage):
    status = assess(without(stage, heard(stage, problem="Kafka has not answered for 31 s")))
    stuck = status.tables[0] if stage == "connector" else status.datasets[0]
    assert stuck.verdict.state == "stalled" and not status.healthy
    assert stuck.verdict.reason == "Kafka has not answered for 31 s"
    assert stuck.verdict.command


def test_a_problem_of_another_dataset_is_not_this_ones():
    things = ({"dataset": "out", "stalled": None}, {"dataset": "other", "stalled": "disk full"})
    facts = without("sink", heard("sink", things=things, problem="disk full"))
    assert of_dataset(facts).verdict.state == "running"


def test_a_commit_slower_than_the_target_is_told_and_stays_healthy():
    things = ({"dataset": "out", "stalled": None, "slow": "each rewrites 12 files"},)
    verdict = of_dataset(without("sink", heard("sink", things=things))).verdict
    assert (verdict.state, verdict.reason) == ("running", "each rewrites 12 files")
    assert verdict.healthy


def test_a_dataset_no_sink_works_on_waits():
    facts = without("sink", heard("sink", things=()))
    assert of_dataset(facts).verdict.state == "waiting"


def test_a_lake_that_does_not_answer_is_a_stall():
    verdict = of_dataset(well(lake={"out": "s3 said 503"})).verdict
    assert verdict.state == "stalled" and "s3 said 503" in verdict.reason


def test_loading_shows_the_part_of_the_scan_that_is_committed():
    facts = well(checkpoints=checkpoints(done=False, sealed=False))
    table = of_table(facts)
    assert (table.verdict.state, table.snapshot) == ("loading", 0.5)
    assert of_dataset(well(lake={"out": LakeTable(1, None, True)})).verdict.state == "loading"


def test_who_is_far_behind_is_catching_up_in_seconds_and_records():
    waiting = {
        ("ns.fold", CHANGES): Waiting(40, NOW_S - 10),
        ("ns.sink.out", ROWS): Waiting(7_000, NOW_S - 90),
    }
    dataset = of_dataset(well(waiting=waiting))
    assert dataset.verdict.state == "catching up" and dataset.verdict.healthy
    assert (dataset.rows.records, dataset.table.records) == (40, 7_000)
    assert (dataset.rows.lag_s, dataset.table.lag_s, dataset.lag_s) == (10, 90, 100.5)


def test_before_the_topics_exist_nothing_is_known_and_nothing_is_healthy():
    status = assess(well(topics={}, waiting={}, lake={}, checkpoints=type(checkpoints())()))
    assert [v.state for v in status.verdicts] == ["waiting", "waiting"]
    assert status.datasets[0].lag_s is None and not status.healthy


def test_a_rebuilt_transform_is_looked_at_in_its_generation():
    flows = {"out": {"table": "orders"}}
    record = TransformRecord(flows, 2, Building(3, flows), 3)
    waiting = {
        ("ns.fold.g2", CHANGES): Waiting(0),
        ("ns.sink.out.g2", "ns.rows.out.g2"): Waiting(9, NOW_S - 4),
    }
    topics = {**well().topics, "ns.rows.out.g2": well().topics[ROWS]}
    facts = well(generations=Generations({"fold": record}), waiting=waiting, topics=topics)
    dataset = of_dataset(facts)
    assert (dataset.generation, dataset.building, dataset.table.lag_s) == (2, 3, 4.0)


def test_dead_letters_of_transform_and_dataset_are_counted_together():
    facts = well(letters={"fold": Letters(2), "out": Letters(1), "connector": Letters(5)})
    assert of_dataset(facts).dead_letters == 3
    assert of_table(facts).dead_letters == 5


def test_a_dataset_in_two_steps_waits_for_both_topics():
    route = replace(ROUTE, keyed=True)
    waiting = {**well().waiting, ("ns.fold", "ns._contributions.out"): Waiting(3, NOW_S - 8)}
    dataset = of_dataset(well(routes=(route,), waiting=waiting))
    assert (dataset.rows.records, dataset.rows.lag_s) == (3, 8.0)


def test_who_is_still_starting_is_waited_for() -> None:
    reports = (heard("connector"), heard("processor", problem="starting"), heard("sink"))
    (dataset,) = assess(well(reports=reports)).datasets
    assert dataset.verdict.state == "waiting"
