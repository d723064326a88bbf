"""Pauses: what rests does so across restarts, loses nothing, and the table is right afterwards."""

from __future__ import annotations

import json

import pytest

from bridge.wire.kafka import written_bounds
from bridge.wire.pauses import Paused, PausesFollower, ensure_pauses, read_pauses
from bridge.wire.pauses import write_pause as pause
from bridge.wire.pauses import write_resume as resume
from bridge.wire.topics import TopicNames, admin
from tests.integration.conftest import COPY_COLUMNS
from tests.parts.waiting import wait_until
from tests.product.oracle import expected_copies

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_a_follower_sees_what_rests_from_the_start_and_as_it_changes(kafka):
    ensure_pauses(kafka)
    assert read_pauses(kafka) == {}
    orders = Paused("table", "orders", 7)
    pause(kafka, orders)
    follower = PausesFollower(kafka)
    try:
        assert follower.paused("table", "orders") == orders
        assert follower.paused("dataset", "orders") is None
        pause(kafka, Paused("dataset", "out", 8))
        wait_until(
            lambda: follower.paused("dataset", "out"), timeout_s=20, what="a pause to be seen"
        )
        resume(kafka, "table", "orders")
        wait_until(
            lambda: follower.paused("table", "orders") is None,
            timeout_s=20,
            what="a resume to be seen",
        )
    finally:
        follower.close()
    assert list(read_pauses(kafka)) == [("dataset", "out")]


def written(kafka, topic: str) -> int:
    """Offsets given out in a topic."""
    client = admin(kafka)
    count = len(client.list_topics(timeout=10).topics[topic].partitions)
    return sum(bounds.end for bounds in written_bounds(client, topic, range(count)).values())


@pytest.mark.e2e
@pytest.mark.real
@pytest.mark.parametrize("kind", ["table", "transform", "dataset"])
def test_what_is_paused_holds_its_work_also_after_a_restart_and_then_goes_on(product, kind):
    made = product(existing=30, keys=40)
    made.pipeline.start()
    made.await_equal(expected_copies, COPY_COLUMNS)
    names = TopicNames(made.kafka.namespace)
    name, stage = {
        "table": (made.workload.table, "connector"),
        "transform": ("copy_0", "processor"),
        "dataset": ("out", "sink"),
    }[kind]
    said = made.pipeline.command("pause", f"{kind}:{name}", "--json")
    assert said.returncode == 0, said.stderr
    (paused,) = json.loads(said.stdout)["paused"]
    assert (paused["kind"], paused["name"], paused["already"]) == (kind, name, False)
    assert ("resume_before" in paused) == (kind == "table")

    process = made.pipeline.stages[stage]
    if kind == "table":
        said_so = "hours_to_trim="
        wait_until(lambda: said_so in process.log_tail(), timeout_s=30, what="it to rest")
    else:  # at most what was on its way when the pause came passes
        made.workload.run(1)
        made.pipeline.pause_ms(4_000)
    before = made.rows(COPY_COLUMNS)
    process.kill()
    process.start()
    topics = {
        "table": names.changes(made.workload.table),
        "transform": names.rows("out"),
        "dataset": names.rows("out"),
    }
    at_rest = written(made.kafka, topics[kind])
    made.workload.run(100)
    if kind == "dataset":  # the stages before it go on
        wait_until(
            lambda: written(made.kafka, topics[kind]) >= at_rest + 20,
            timeout_s=60,
            what="rows to come although the dataset rests",
        )
    made.pipeline.pause_ms(6_000)
    assert made.rows(COPY_COLUMNS) == before
    if kind != "dataset":
        assert written(made.kafka, topics[kind]) <= at_rest + 2  # marks of transactions

    dry = made.pipeline.command("resume", name, "--dry-run")
    assert "would go on" in dry.stdout
    assert len(read_pauses(made.kafka)) == 1
    assert made.pipeline.command("resume", name).returncode == 0
    made.await_equal(expected_copies, COPY_COLUMNS)
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report
