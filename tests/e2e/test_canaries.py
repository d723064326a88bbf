"""Planted secrets and item contents show nowhere: logs, metrics, status, page, crash output."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from bridge.wire.topics import TopicNames
from tests.integration.conftest import HEAD, product  # noqa: F401 (a fixture)
from tests.parts.ports import free_port
from tests.parts.process import Process
from tests.parts.waiting import wait_until
from tests.product.oracle import read_topic
from tests.product.pipeline import ROOT, STAGES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]

SECRETS = {
    "TAILRACE_KAFKA__SASL_PASSWORD": "canary-sasl-7f3a",
    "TAILRACE_LAKE_OPTIONS__AWS_SECRET_ACCESS_KEY": "canary-lake-91cc",
    "TAILRACE_LAKE_OPTIONS__AWS_SESSION_TOKEN": "${env:CANARY_TOKEN}",
    "CANARY_TOKEN": "canary-token-2b5d",
    "AWS_SECRET_ACCESS_KEY": "canary-aws-44e0",
    "AWS_SESSION_TOKEN": "canary-session-0d1e",
}
ITEM = "canary-item-c0ffee"
# Each way in which an item can fail; the note says which.
TEXT = (
    HEAD
    + """
def refuse(row):
    note = row["note"] or ""
    if note.endswith("raise"):
        raise ValueError(f"no: {{row}}")
    if note.endswith("type"):
        return {{**row, "c": note}}
    if note.endswith("key"):
        row[note]
    return row


@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource(
        table_name="{table}", region="us-west-2")))}},
    output_mapping={{"out": Output(Dataset(id="{dataset}"))}},
)
def leaky(items):
    return items.select("dynamodb.NewImage.c.N", "dynamodb.NewImage.note.S",
        "cast(dynamodb.NewImage.when.S as timestamp) as moment",
        "cast(dynamodb.NewImage.count.S as bigint) as amount").map(refuse, schema={{
            "c": "decimal(38,18)", "note": "string", "moment": "timestamp", "amount": "bigint"}})
"""
)
LETTERS = ("raise", "type", "key", "when", "count", "number")


def bad_items() -> list[dict[str, Any]]:
    """One for each way, each with the canary in key and attributes."""
    items = []
    for way in LETTERS:
        item: dict[str, Any] = {
            "orderId": {"S": f"{ITEM}-{way}"},
            "c": {"N": "1"},
            "note": {"S": f"{ITEM}-{way}"},
        }
        if way in ("when", "count"):
            item[way] = {"S": f"{ITEM}-{way}"}
        if way == "number":
            item["c"] = {"N": "9" * 37}
        items.append(item)
    return items


def fetched(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def leaks(texts: dict[str, str]) -> list[str]:
    """Where a canary is, and which."""
    planted = [*(value for value in SECRETS.values() if value.startswith("canary")), ITEM]
    return [f"{place}: {text}" for place, said in texts.items() for text in planted if text in said]


def test_no_canary_leaves_through_what_people_and_machines_watch(
    product: Any,  # noqa: F811
) -> None:
    made = product(text=TEXT, existing=10, keys=20, settings=SECRETS | {
        "TAILRACE_LOG_LEVEL": "DEBUG", "TAILRACE_DEAD_LETTERS_MAX": str(len(LETTERS) + 1),
    })  # fmt: skip
    pipeline, client = made.pipeline, made.workload.client
    ports = {stage: free_port() for stage in STAGES}
    pipeline.own = {s: {"TAILRACE_METRICS_PORT": str(p)} for s, p in ports.items()}
    pipeline.start()
    # The snapshot is over, so each of them comes once.
    wait_until(
        lambda: len(made.rows(("c",))) == len(made.source()),
        timeout_s=60,
        what=f"the items there were in the table\n{pipeline.logs()}",
        interval_s=0.5,
    )
    for item in bad_items():
        client.put_item(TableName=made.workload.table, Item=item)

    def letters() -> list[dict[str, Any]]:
        done = pipeline.command("dlq", "ls", "--json")
        return json.loads(done.stdout)["letters"] if not done.returncode else []

    wait_until(
        lambda: sum(group["open"] for group in letters()) == len(LETTERS),
        timeout_s=60,
        what=f"every bad item in the dead letters\n{pipeline.logs()}",
        interval_s=1,
    )
    texts = {
        f"{stage}{path}": fetched(port, path)
        for stage, port in ports.items()
        for path in ("/metrics", "/healthz", "/status")
    }
    texts |= {"page": page(pipeline), "reports": reports(made)}
    file = str(pipeline.file)
    for words in (("dlq", "ls"), ("status", file, "--json"), ("status", file),
                  ("offsets", "show", file), ("schema", "log", "out"), ("check", file),
                  ("verify", file, "--timeout", "1")):  # fmt: skip
        done = pipeline.command(*words)
        texts[" ".join(words)] = done.stdout + done.stderr
    # verify names the keys that differ: that is what it is for.
    for verify in [words for words in texts if words.startswith("verify")]:
        texts[verify] = texts[verify].replace(ITEM, "")

    # One more of them, and the flood stops the processor with its cause.
    client.put_item(TableName=made.workload.table, Item=bad_items()[0] | {"c": {"N": "2"}})
    client.put_item(TableName=made.workload.table, Item=bad_items()[0] | {"c": {"N": "3"}})
    assert pipeline.stages["processor"].wait(timeout_s=60) == 1
    assert "could not be processed" in pipeline.stages["processor"].log_tail(3)
    texts["status after"] = pipeline.command("status", file).stdout
    for stage in STAGES:
        texts[f"log of {stage}"] = Path(pipeline.stages[stage].log).read_text()
    assert leaks(texts) == []
    assert "set a change aside" in texts["log of processor"], "the logs were looked at"
    assert ITEM in shown(pipeline, letters()), "dlq show is the one that shows"


def shown(pipeline: Any, groups: list[dict[str, Any]]) -> str:
    return "".join(
        pipeline.command("dlq", "show", group["owner"], group["newest"]).stdout for group in groups
    )


def reports(made: Any) -> str:
    topic = TopicNames(made.kafka.namespace).reports
    return "".join((m.value() or b"").decode() for m in read_topic(made.kafka, topic))


def page(pipeline: Any) -> str:
    """What the page's server gives its browser."""
    port = free_port()
    server = Process(
        "page",
        [sys.executable, "-m", "bridge.control", "ui", str(pipeline.file), "--port", str(port)],
        log=pipeline.folder / "page.log",
        environment=pipeline.environment | {"PYTHONPATH": str(ROOT)},
    )
    server.start()
    try:
        wait_until(lambda: "page at" in server.log_tail(5), timeout_s=60, what="the page")
        wait_until(
            lambda: "ValueError" in fetched(port, "/api/state"),
            timeout_s=60,
            what="the page to know the dead letters",
            interval_s=0.5,
        )
        return fetched(port, "/api/state") + fetched(port, "/") + server.log.read_text()
    finally:
        server.kill()
