"""`verify` on real parts: a sample, both sides of a difference, a killed run gone on with."""

from __future__ import annotations

import json
import sqlite3
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.integration.conftest import COPY_COLUMNS
from tests.parts.process import Process
from tests.parts.waiting import wait_until
from tests.product.oracle import expected_copies
from tests.product.pipeline import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(240),
]
LARGE = 300_000  # bytes: a page of a scan holds three


def verified(made: Any, *options: str) -> tuple[int, dict[str, Any]]:
    done = made.pipeline.command("verify", str(made.pipeline.file), "--json", *options)
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_sample_and_both_sides(product: Any) -> None:
    made = product(existing=60, keys=80)
    made.pipeline.start()
    made.await_equal(expected_copies, COPY_COLUMNS)
    code, found = verified(made, "--sample", "10")
    assert (code, found["verified"], found["source_items"]) == (0, True, 10)
    (dataset,) = found["datasets"]
    assert dataset["sample"] == 10

    for stage in ("connector", "processor", "sink"):
        assert made.pipeline.stages[stage].stop() == 0
    DeltaTable(made.uri).update(new_values={"status": "WRONG"})
    code, found = verified(made, "--sample", "10", "--timeout", "0", "--values")
    assert (code, found["different"] >= 10) == (1, True)
    assert 'table "WRONG"' in found["datasets"][0]["examples"][0]


def test_a_killed_run_is_gone_on_with(product: Any) -> None:
    made = product()
    client, table = made.workload.client, made.workload.table
    for number in range(12):
        item = {
            "orderId": {"S": f"large-{number}"},
            "c": {"N": str(number)},
            "note": {"S": "x" * LARGE},
        }
        client.put_item(TableName=table, Item=item)
    made.pipeline.start()
    made.await_equal(expected_of_large, ("c", "note"))
    state = made.pipeline.folder / "state-of-verify"
    made.pipeline.environment["TAILRACE_STATE_DIR"] = str(state)
    slow = Process(
        "verify",
        [
            *(sys.executable, "-m", "bridge.control", "verify", str(made.pipeline.file)),
            *("--resume", "--rcu", "1"),
        ],
        log=made.pipeline.folder / "verify.log",
        environment=made.pipeline.environment | {"PYTHONPATH": str(ROOT)},
    )
    slow.start()
    wait_until(lambda: place(state), timeout_s=60, what="the first page to be kept")
    slow.kill()
    before = place(state)
    assert before is not None
    assert 0 < before["items"] < 12
    code, found = verified(made, "--resume")
    assert (code, found["verified"], found["source_items"]) == (0, True, 12)
    assert not list((state / "verify").iterdir())


def expected_of_large(items: Any) -> Any:
    return {
        key: {"c": Decimal(item["c"]["N"]), "note": item["note"]["S"]}
        for key, item in items.items()
    }


def place(state: Path) -> dict[str, Any] | None:
    """How far a run is that keeps its progress."""
    for file in (state / "verify").glob("*.db"):
        try:
            with sqlite3.connect(file) as database:
                found = database.execute("select place from mark").fetchone()
        except sqlite3.Error:
            return None  # it is being made
        return json.loads(found[0]) if found else None
    return None
