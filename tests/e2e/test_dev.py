"""`tailrace dev` for a user's own file: two tables with difficult keys, verified as they move.

No binary keys here: the embedded DynamoDB encodes them twice in the Keys of its stream records.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import Tailrace
from tests.parts.aws import client, credentials
from tests.parts.waiting import wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

FILE = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset

readings = Input(Stream(source=DynamoDBSource(table_name="readings", region="us-west-2")))
counters = Input(Stream(source=DynamoDBSource(table_name="counters", region="us-west-2")))


@transform(input_mapping={"stream": readings}, output_mapping={"out": Output(Dataset(id="clean"))})
def clean_readings(stream):
    # The projection drops both key attributes.
    return stream.select("dynamodb.NewImage.value.N as value", "dynamodb.NewImage.note.S as note")


@transform(
    input_mapping={"stream": counters},
    output_mapping={"out": Output(Dataset(id="my-Counters"))},
)
def keep_counters(stream):
    return stream.select("eventName", "dynamodb.Keys.id.N as id", "dynamodb.NewImage.n.N as n")
"""


def make_tables(dynamodb: Any) -> None:
    """Number hash and range keys with many items under one hash; and fractions as keys."""
    dynamodb.create_table(
        TableName="readings",
        KeySchema=[
            {"AttributeName": "sensor", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "sensor", "AttributeType": "N"},
            {"AttributeName": "at", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.create_table(
        TableName="counters",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )


def write(dynamodb: Any, round_: int) -> None:
    """Puts, updates and removes on both tables."""
    for n in range(40):
        key = {"sensor": {"N": str(n % 2)}, "at": {"N": f"{n}.5"}}
        if (n + round_) % 5 == 0:
            dynamodb.delete_item(TableName="readings", Key=key)
        else:
            item = {**key, "value": {"N": f"{n}.{round_}"}, "note": {"S": f"round {round_}"}}
            dynamodb.put_item(TableName="readings", Item=item)
        counter = {"id": {"N": f"{n - 20}.25"}}
        if (n + round_) % 7 == 0:
            dynamodb.delete_item(TableName="counters", Key=counter)
        else:
            dynamodb.put_item(TableName="counters", Item={**counter, "n": {"N": str(round_)}})


def ask(folder: Path, *arguments: str, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command to its end; exit code and last line."""
    folder.mkdir(exist_ok=True)
    (folder / "output.txt").unlink(missing_ok=True)
    with Tailrace(folder, *arguments, environment=environment) as command:
        code = command.wait(timeout_s=120)
        return code, (command.output.splitlines() or [""])[-1]


def test_dev_keeps_two_tables_right(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    run = tmp_path / "run"
    with Tailrace(tmp_path, "dev", str(file), "--local-dynamodb", "--dir", str(run)) as dev:
        dev.await_output("waiting for table", timeout_s=60)
        endpoint = found(r"embedded DynamoDB at (\S+)", dev.output)
        environment = {
            **credentials(),
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
            "TAILRACE_BROKERS": found(r"embedded broker at (\S+)", dev.output),
            "TAILRACE_LAKE": str(run / "lake"),
        }
        dynamodb = client("dynamodb", endpoint, credentials())
        make_tables(dynamodb)
        write(dynamodb, 0)
        dev.await_output("started; logs in", timeout_s=60)
        for round_ in range(1, 4):
            write(dynamodb, round_)

        code, line = ask(
            tmp_path / "verify", "verify", str(file), "--json", environment=environment
        )
        verdict = json.loads(line)
        assert (code, verdict["verified"]) == (0, True), line
        assert verdict["source_items"] == verdict["delta_rows"] > 50
        assert verdict["in_flight"] == 0
        assert len(verdict["datasets"]) == 2
        _differences_are_found(tmp_path, str(file), environment)
        _its_page_knows(found(r"page at (\S+)", dev.output))

        os.kill(dev.pid, signal.SIGTERM)
        assert dev.wait(timeout_s=60) == 0
        assert dev.output.splitlines()[-1] == "stopped"
        dev.await_nothing_left()


def _differences_are_found(tmp_path: Path, file: str, environment: dict[str, str]) -> None:
    """A table that really lacks rows is not called verified: the lake is looked for elsewhere."""
    elsewhere = environment | {"TAILRACE_LAKE": str(tmp_path / "nowhere")}
    code, line = ask(tmp_path / "wrong", "verify", file, "--json", environment=elsewhere)
    verdict = json.loads(line)
    assert (code, verdict["verified"]) == (1, False), line
    assert verdict["missing"] == verdict["expected_rows"] > 50


def _its_page_knows(url: str) -> None:
    """What the page is drawn from: both datasets run, with their commits and columns."""

    def state() -> dict[str, Any]:
        with urllib.request.urlopen(f"{url}api/state?dataset=my-Counters", timeout=10) as answer:
            body: dict[str, Any] = json.load(answer)
        return body

    def whole() -> bool:
        body = state()
        selected = body["selected"] or {}
        return bool(selected.get("commits") and selected.get("schema")) and not body["alarms"]

    wait_until(whole, timeout_s=60, what=f"a page that knows all: {state()}", interval_s=0.5)
    body = state()
    assert [d["verdict"]["state"] for d in body["status"]["datasets"]] == ["running"] * 2
    assert {stage["kind"] for stage in body["run"]["stages"]} == {"connector", "processor", "sink"}
    assert sum(commit["inserted"] for commit in body["selected"]["commits"]) >= 30
    assert any("n" in entry["added"] for entry in body["selected"]["schema"])


def test_dev_says_what_is_wrong_before_it_starts_anything(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE.replace("NewImage.value.N", "NewImage.value.Q"))
    with Tailrace(tmp_path, "dev", str(file), "--local-dynamodb") as dev:
        assert dev.wait(timeout_s=60) == 2
        (line,) = dev.output.splitlines()
    assert "NewImage.value.Q" in line


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]
