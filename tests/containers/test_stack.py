"""The running example in containers: started, grown, redeployed, cut off, killed, and verified."""

from __future__ import annotations

import shutil

import pytest

from tests.containers.engine import inspect
from tests.containers.images import ROOT
from tests.containers.stack import STAGES, Stack
from tests.parts.process import PartFailedError
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]


def verified(stack: Stack, *datasets: str) -> None:
    report = stack.verify()
    assert report["verified"], report
    rows = {each["dataset"]: each["delta_rows"] for each in report["datasets"]}
    assert all(rows[dataset] > 0 for dataset in datasets), report


def test_the_example_runs_confined_and_is_watched(stack):
    verified(stack, "processed_orders")
    for service in STAGES:
        container = inspect(stack.container(service))
        assert container["HostConfig"]["ReadonlyRootfs"] is True
        assert container["Config"]["User"] == "10001:10001"
    wait_until(
        lambda: scraped(stack) >= {("connector", "1"), ("processor", "1"), ("sink", "1")},
        timeout_s=60,
        what="Prometheus to scrape every stage",
        interval_s=0.5,
    )


def scraped(stack: Stack) -> set[tuple[str, str]]:
    answer = stack.get("PROMETHEUS", "/api/v1/query?query=up")
    return {(one["metric"]["job"], one["value"][1]) for one in answer["data"]["result"]}


def test_a_second_transform_is_added_and_redeployed_and_nothing_else_is_touched(stack):
    before = stack.runs()
    shutil.copy(ROOT / "processors" / "examples" / "status_totals.py", stack.folder / "transforms")
    deploy = ("up", "-d", "--no-deps", "status-totals")
    stack.compose(*deploy, second=True)
    stack.await_healthy("status-totals")
    # The sink begins again within its container: the table tells when it has.
    wait_until(lambda: has(stack, "status_totals"), timeout_s=120, what="it", interval_s=1)
    verified(stack, "processed_orders", "status_totals")
    first = stack.container("status-totals")

    file = stack.folder / "compose.status-totals.yaml"
    file.write_text(
        file.read_text().replace(
            "TAILRACE_BROKERS: broker:9092",
            "TAILRACE_BROKERS: broker:9092\n      TAILRACE_LOG_LEVEL: DEBUG",
        )
    )
    stack.compose(*deploy, second=True)
    stack.await_healthy("status-totals")
    assert stack.container("status-totals") != first, "a new container, its state is the old one's"
    verified(stack, "processed_orders", "status_totals")
    assert stack.runs() == before


def has(stack: Stack, dataset: str) -> bool:
    try:
        stack.command("query", f"select count(*) from {dataset}")
    except PartFailedError:
        return False
    return True


def test_cut_off_and_killed_containers_go_on_and_the_table_is_right(stack):
    for service in STAGES:
        way_back = stack.cut(service)
        stack.await_writes()
        stack.connect(service, **way_back)
        stack.kill(service)
    stack.kill("broker")
    stack.await_healthy(*STAGES)
    verified(stack, "processed_orders")


def test_a_stopped_stage_ends_by_itself_within_its_grace(stack):
    stack.compose("stop", *STAGES)
    assert {name: stack.state(name)["ExitCode"] for name in STAGES} == dict.fromkeys(STAGES, 0)
    stack.compose("start", *STAGES)
    stack.await_healthy(*STAGES)
    verified(stack, "processed_orders")
