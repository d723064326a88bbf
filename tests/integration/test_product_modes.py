"""A history, a log, a table that keeps deleted rows and totals, from DynamoDB to the lake."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.integration.conftest import COPY, COPY_COLUMNS, HEAD
from tests.integration.test_product_up import children_of
from tests.parts.process import Process
from tests.parts.waiting import wait_until
from tests.product.oracle import differences, expected_copies
from tests.product.pipeline import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(420),
]
MODES = {
    "history": 'mode="history", partition_by=["status"]',
    "log": 'mode="log", partition_by=["days(_event_time)"]',
    "soft": 'deletes="soft", partition_by=["bucket(4, _key)"]',
}
TOTALS = """
@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource(
        table_name="{table}", region="us-west-2")))}},
    output_mapping={{"totals": Output(Dataset(id="totals"))}},
)
def totals(items):
    return items.select(
        "dynamodb.NewImage.status.S as status", "dynamodb.NewImage.orderTotal.N as total"
    ).group_by("status").agg(orders="count()", total="sum(total)", most="max(total)")
"""
TRANSFORM = COPY.removeprefix(HEAD)


def text() -> str:
    """A transform for each mode, its dataset called after it."""
    made = [
        TRANSFORM.replace('Dataset(id="{dataset}")', f'Dataset(id="{mode}", {options})').replace(
            "copy_{number}", f"copy_{mode}"
        )
        for mode, options in MODES.items()
    ]
    return HEAD + "".join(made) + TOTALS


def rows(made: Any, mode: str) -> list[dict[str, Any]]:
    uri = f"{made.pipeline.lake}/{mode}"
    return DeltaTable(uri).to_pyarrow_table().to_pylist() if DeltaTable.is_deltatable(uri) else []


def shown(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows that stand for the items there are, by key."""
    live = [r for r in found if r.get("is_current", True) and not r.get("_deleted", False)]
    assert len({row["_key"] for row in live}) == len(live), "a key is doubled"
    return {row["_key"]: {name: row[name] for name in COPY_COLUMNS} for row in live}


def expected_totals(made: Any) -> dict[str, tuple[int, Decimal, Decimal]]:
    """Count, sum and maximum by status."""
    found: dict[str, list[Decimal]] = defaultdict(list)
    for item in made.source().values():
        found[item["status"]["S"]].append(Decimal(item["orderTotal"]["N"]))
    return {status: (len(each), sum(each, Decimal(0)), max(each)) for status, each in found.items()}


def shown_totals(made: Any) -> dict[str, tuple[int, Decimal, Decimal]]:
    found = rows(made, "totals")
    assert len({row["status"] for row in found}) == len(found)
    return {row["status"]: (row["orders"], row["total"], row["most"]) for row in found}


def check_history(found: list[dict[str, Any]]) -> None:
    """Of every item one interval after the other."""
    states = defaultdict(list)
    for row in found:
        assert row["is_current"] == (row["valid_to"] is None)
        states[row["_key"]].append((row["valid_from"], row["valid_to"]))
    for intervals in states.values():
        intervals.sort(key=lambda interval: interval[0])
        for (begin, end), (following, _) in itertools.pairwise(intervals):
            assert end is not None
            assert begin < end <= following


def test_every_mode_follows_the_table(product: Any) -> None:
    check(product, existing=300, keys=400, writes=400)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_every_mode_follows_a_larger_table(product: Any) -> None:
    check(product, existing=5_000, keys=8_000, writes=15_000)


def check(product: Any, *, existing: int, keys: int, writes: int) -> None:
    made = product(existing=existing, keys=keys, text=text())
    work, folder = made.workload, made.pipeline.folder
    run = Process(
        "up",
        [
            sys.executable,
            *("-m", "bridge.control", "up", str(made.pipeline.file)),
            *("--dir", str(folder / "run")),
        ],
        log=folder / "up.log",
        environment=made.pipeline.environment
        | {"PYTHONPATH": str(ROOT), "TAILRACE_STATE_DIR": str(folder / "state")},
    )

    def await_all() -> None:
        expected = expected_copies(made.source())
        for mode in ("history", "soft"):
            wait_until(
                lambda mode=mode: not differences(expected, shown(rows(made, mode))),
                timeout_s=120,
                what=f"{mode} to equal the source",
            )
        totals = expected_totals(made)
        wait_until(
            lambda: shown_totals(made) == totals, timeout_s=120, what="totals to equal the source"
        )
        wait_until(
            lambda: sum(row["_op"] != "read" for row in rows(made, "log")) == work.writes,
            timeout_s=60,
            what="every change to be in the log",
        )

    run.start()
    try:
        await_all()
        work.run(writes)
        await_all()
        (sink,) = [pid for pid, command in children_of(run.pid).items() if "sink" in command]
        os.kill(sink, signal.SIGKILL)
        work.run(writes)
        await_all()
    except AssertionError:
        print(run.log_tail(20), *(p.read_text()[-3000:] for p in (folder / "run/logs").iterdir()))
        raise
    finally:
        run.kill()
    check_history(rows(made, "history"))
    entries = [(row["_key"], row["_version"]) for row in rows(made, "log")]
    assert len(set(entries)) == len(entries)
    gone = {row["_key"] for row in rows(made, "log")} - shown(rows(made, "soft")).keys()
    flagged = {row["_key"] for row in rows(made, "soft") if row["_deleted"]}
    assert gone
    assert flagged == gone
    for name in ("copy_history", "copy_soft", "totals"):
        done = made.pipeline.command("verify", f"{made.pipeline.file}:{name}", "--json")
        report = json.loads(done.stdout.splitlines()[-1])
        assert (done.returncode, report["verified"]) == (0, True), done.stdout + done.stderr
    assert Path(made.pipeline.lake, "history", "status=new").is_dir()
