"""What is put on the board: flows, alarms, the last hour, and the details of a dataset."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from bridge.control.status.assess import assess
from bridge.control.status.facts import Letters, TopicFacts, Waiting
from bridge.control.ui.alarms import alarms, starting, while_starting, without_replaced
from bridge.control.ui.details import column_entries
from bridge.control.ui.flows import Flows
from bridge.control.ui.probing import Probes, address_of
from bridge.control.ui.series import SIZE, Point, Series
from sinks.commits import Commit
from tests.unit.control.status.facts import CHANGES, NOW_S, ROWS, heard, well


def moved(seconds: int) -> Any:
    """The pipeline so many seconds later: 10 changes a second come, the sink stands still."""
    return well(
        at_s=NOW_S + seconds,
        topics={
            CHANGES: TopicFacts(4, 0, NOW_S, end=900 + 10 * seconds),
            ROWS: TopicFacts(4, 0, None, end=800 + 5 * seconds),
        },
        waiting={
            ("ns.fold", CHANGES): Waiting(2 * seconds, NOW_S),
            ("ns.sink.out", ROWS): Waiting(5 * seconds, NOW_S),
        },
    )


def test_flows_are_what_topics_gained_and_readers_passed() -> None:
    flows = Flows()
    for second in range(0, 20, 2):
        flow = flows.observe(moved(second))["out"]

    assert flow.tables == {"orders": 10.0}
    assert flow.changes == 10.0
    assert flow.reads == {"orders": 8.0}
    assert flow.rows == 5.0
    assert flow.merged == 0.0


def test_a_flow_nobody_knows_of_is_none() -> None:
    flow = Flows().observe(well(topics={}, waiting={}))["out"]
    assert (flow.changes, flow.rows, flow.merged) == (None, None, None)


def test_a_pipeline_that_is_well_has_no_alarm() -> None:
    assert alarms(assess(well())) == []


def test_who_died_without_a_word_is_an_alarm_with_the_command_once() -> None:
    facts = well(reports=(heard("connector"), heard("processor"), heard("sink", ago_s=40)))
    found = alarms(assess(facts))

    assert next((a.level, a.what, a.state) for a in found) == ("bad", "dataset out", "stopped")
    assert found[0].command == "tailrace run sink orders.py"
    assert len({(a.state, a.reason) for a in found}) == len(found)


def test_who_was_reached_and_refuses_now_is_an_alarm_at_once() -> None:
    facts = well(reports=(heard("connector"), heard("processor"), heard("sink", metrics="h:9100")))
    status = assess(facts)

    assert alarms(status, {}) == []
    (alarm,) = alarms(status, {"h:9100": 3.2})
    assert (alarm.level, alarm.state, alarm.reason) == (
        "bad",
        "no answer",
        "h:9100 refuses for 3 s",
    )


def test_a_missing_report_is_an_alarm_before_it_is_a_stop() -> None:
    facts = well(reports=(heard("connector"), heard("processor", ago_s=14), heard("sink")))
    (alarm,) = alarms(assess(facts))
    assert (alarm.level, alarm.state) == ("warn", "quiet")


def test_dead_letters_are_an_alarm_with_the_command() -> None:
    (alarm,) = alarms(assess(well(letters={"fold": Letters(3)})))
    assert (alarm.level, alarm.command) == ("warn", "tailrace dlq ls fold")


def test_processes_of_our_own_that_start_are_not_stopped() -> None:
    status = assess(well(reports=(heard("connector"),)))
    stages = [{"name": "sink", "pid": 77, "trouble": ""}, {"name": "x", "pid": None, "trouble": ""}]

    assert starting(status, stages) == ["sink"]
    assert {a.state for a in alarms(while_starting(status, ["sink"]), {}, stages)} == {"waiting"}


def test_a_process_that_one_of_our_own_replaced_is_not_missed() -> None:
    facts = well(reports=(heard("connector"), heard("processor"), heard("sink", metrics="h:9100")))
    status = assess(facts)
    again = {"name": "sink", "kind": "sink", "pid": 77, "trouble": ""}

    kept = without_replaced(status, [again], "h")
    assert {worker.stage for worker in kept.workers} == {"connector", "processor"}
    assert without_replaced(status, [{**again, "pid": None}], "h") == status
    assert without_replaced(status, [again], "elsewhere") == status


def test_a_process_of_our_own_that_ended_is_the_worst_alarm() -> None:
    stage = {"name": "sink", "pid": None, "trouble": "it ended with SIGKILL"}
    (alarm,) = alarms(assess(well()), {}, [stage])
    assert (alarm.level, alarm.what, alarm.reason) == ("bad", "sink", "it ended with SIGKILL")


def test_who_never_answered_does_not_refuse() -> None:
    up, clock = {"a:1": True, "b:1": False}, itertools.count()
    probes = Probes(lambda address: up[address], lambda: float(next(clock)))

    assert probes.probe(up) == {}
    up["a:1"] = False
    assert probes.probe(up) == {"a:1": 0.0}
    assert probes.probe(up) == {"a:1": 1.0}
    up["a:1"] = True
    assert probes.probe(up) == {}


def test_an_address_that_is_another_machines_own_is_not_asked() -> None:
    (worker,) = [w for w in assess(well()).workers if w.stage == "sink"]

    def at(metrics: str | None) -> str | None:
        return address_of(replace(worker, metrics=metrics), here="me")

    assert at(None) is None
    assert at("127.0.0.1:9100") is None
    assert at("localhost:9100") is None
    assert at("0.0.0.0:9100") == "h:9100"
    assert at("10.0.0.7:9100") == "10.0.0.7:9100"
    assert address_of(replace(worker, metrics="127.0.0.1:1"), here="h") == "127.0.0.1:1"


def test_a_series_keeps_an_hour_and_gives_what_is_newer() -> None:
    series = Series()
    for at in range(2 * SIZE):
        series.add(Point(float(at), changes=1.0, lag=None if at % 2 else 0.5))

    assert SIZE <= len(series.since(-1)["at"]) <= 1.25 * SIZE + 1
    newest = series.since(2 * SIZE - 3)
    assert newest["at"] == [2 * SIZE - 2, 2 * SIZE - 1]
    assert (newest["changes"], newest["lag"]) == ([1.0, 1.0], [0.5, None])
    assert newest["rows"] == [None, None]


def commit(version: int, columns: dict[str, str] | None = None) -> Commit:
    return Commit(version=version, at_s=NOW_S + version, operation="WRITE", columns=columns)


def test_columns_are_told_when_they_came_and_only_then() -> None:
    first, more = {"a": "string"}, {"a": "string", "b": "long"}
    entries = column_entries([commit(0, first), commit(1), commit(2, first), commit(3, more)])

    assert [(e["name"], e["added"]) for e in entries] == [
        ("version 0", first),
        ("version 3", {"b": "long"}),
    ]


def test_of_a_log_whose_beginning_is_gone_the_first_columns_are_no_news() -> None:
    assert column_entries([commit(40, {"a": "string"})]) == []
