"""The page over a running pipeline, in a real Chromium: hostile items, a killed sink, no Kafka.

`tailrace ui` runs as a process of its own, as beside stages in containers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import HEAD
from tests.parts.brokers import Broker
from tests.parts.browser import Watched, browser
from tests.parts.ports import free_port
from tests.parts.process import Process
from tests.parts.waiting import wait_until
from tests.product.pipeline import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.needs("restart"),
    pytest.mark.timeout(420),
]

HOSTILE = "<script>window.owned=1</script><img src=x onerror=window.owned=2>"
# A note that asks for it becomes the cause of a dead letter.
TEXT = (
    HEAD
    + """
def refuse(row):
    if (row["note"] or "").startswith("<script>"):
        raise ValueError(f"no: {{row['note']}}")
    return row


@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource(
        table_name="{table}", region="us-west-2")))}},
    output_mapping={{"out": Output(Dataset(id="{dataset}"))}},
)
def watched(items):
    return items.select("dynamodb.NewImage.c.N", "dynamodb.NewImage.note.S").map(
        refuse, schema={{"c": "decimal(38,18)", "note": "string"}})
"""
)


@pytest.fixture
def chrome() -> Iterator[Any]:
    with browser() as found:
        yield found


def test_a_running_pipeline(chrome: Any, product: Any, own_broker: Broker) -> None:
    made = product(text=TEXT, existing=20, keys=30, broker=own_broker)
    pipeline, work = made.pipeline, made.workload
    pipeline.own = {
        kind: {"TAILRACE_METRICS_PORT": str(free_port())}
        for kind in ("connector", "processor", "sink")
    }
    port = free_port()
    server = Process(
        "page",
        [sys.executable, "-m", "bridge.control", "ui", str(pipeline.file), "--port", str(port)],
        log=pipeline.folder / "page.log",
        environment=pipeline.environment | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
    )
    pipeline.start()
    server.start()
    try:
        found = opened(chrome, port, server)
        shows_what_came(found, work)
        hostile_items_are_text(found, work)
        a_killed_sink_shows(found, pipeline)
        a_lost_broker_shows(found, own_broker, pipeline, work)
        assert found.complaints == []
        assert found.page.evaluate("window.owned") is None
    except AssertionError:
        server.abort()
        print(server.log_tail(200))
        raise
    finally:
        server.kill()


def opened(chrome: Any, port: int, server: Process) -> Watched:
    found = Watched(chrome)
    wait_until(lambda: "page at" in server.log_tail(5), timeout_s=60, what="the page")
    found.page.goto(f"http://127.0.0.1:{port}/")
    return found


def await_page(found: Watched, what: str, true: Any, *, timeout_s: float = 90) -> None:
    try:
        wait_until(true, timeout_s=timeout_s, what=what, interval_s=0.2)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{found.text('body')}") from None


def shows_what_came(found: Watched, work: Any) -> None:
    page = found.page
    await_page(found, "running", lambda: page.title() == "✓ running · tailrace")
    work.run(60)
    await_page(found, "commits", lambda: page.locator("#commits .change.plus").count() > 0)
    await_page(found, "updates", lambda: page.locator("#commits .change.tilde").count() > 0)
    assert page.locator("#workers tbody tr").count() == 3
    assert work.table in found.text("#graph")
    await_page(found, "the columns", lambda: "decimal(38,18)" in found.text("#schema"))


def hostile_items_are_text(found: Watched, work: Any) -> None:
    item = {"orderId": {"S": HOSTILE}, "note": {"S": HOSTILE}}
    work.client.put_item(TableName=work.table, Item=item)

    page = found.page
    await_page(found, "a dead letter", lambda: "1 open" in found.text("#letters"))
    assert "ValueError" in found.text("#letters")
    assert "<script>" not in found.text("body"), "what it said may quote an item: it is not shown"
    await_page(found, "the title", lambda: "dead letters" in page.title())  # another look tells it
    assert page.locator("#main img, #main script").count() == 0


def a_killed_sink_shows(found: Watched, pipeline: Any) -> None:
    page = found.page
    pipeline.kill("sink")
    await_page(
        found, "the sink's death", lambda: "refuses" in found.text("#attention"), timeout_s=10
    )
    assert page.title().startswith("✕")
    await_page(
        found,
        "what to do",
        lambda: "tailrace run sink" in found.text("#attention"),
        timeout_s=45,
    )
    pipeline.start("sink")
    await_page(found, "no problem", lambda: page.title() == "! dead letters · tailrace")


def a_lost_broker_shows(found: Watched, broker: Broker, pipeline: Any, work: Any) -> None:
    page = found.page
    broker.stop()
    await_page(
        found,
        "the loss of Kafka",
        lambda: page.title() == "✕ not known · tailrace",
        timeout_s=15,
    )
    assert page.locator(".node").count() == 5  # the last that was known stays
    broker.start()
    work.run(30)

    def back() -> bool:
        pipeline.restart_dead()
        return bool(page.title() == "! dead letters · tailrace")

    await_page(found, "recovery", back, timeout_s=150)
    assert found.text("#banner") == ""
