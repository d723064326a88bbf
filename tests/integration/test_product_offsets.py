"""Positions moved on real parts: the table is right afterwards, and a refusal changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.integration.conftest import COPY_COLUMNS
from tests.parts.waiting import wait_until
from tests.product.oracle import differences, expected_copies

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(240),
]


def told(made: Any, *arguments: str, code: int = 0) -> Any:
    done = made.pipeline.command("offsets", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in arguments and not code else done.stderr


def places(made: Any, kind: str) -> dict[int, tuple[int, int]]:
    """By partition: position and end."""
    body = told(made, "show", str(made.pipeline.file), "--json")
    (found,) = [each for each in body["readers"] if each["kind"] == kind]
    return {p["partition"]: (p["position"], p["end"]) for p in found["partitions"]}


def settled(made: Any) -> None:
    made.await_equal(expected_copies, COPY_COLUMNS)
    for kind in ("transform", "dataset"):
        wait_until(
            lambda kind=kind: all(at == end for at, end in places(made, kind).values()),
            timeout_s=60,
            what=f"the {kind} to stand at the end",
            interval_s=0.5,
        )


def test_a_dataset_reads_again_and_rows_deleted_by_hand_come_back(product: Any) -> None:
    made = product(existing=30, keys=40)
    made.pipeline.start()
    made.workload.run(80)
    settled(made)
    file = str(made.pipeline.file)
    before = places(made, "dataset")
    ahead = next(p for p, (at, _) in before.items() if at)
    said = told(made, "set", file, "dataset:out", f"{ahead}:{before[ahead][0] + 1}", code=2)
    assert "what is skipped would be lost" in said
    assert told(made, "reset", file, "out", "--to", "earliest", "--dry-run", "--json")["moves"]
    assert places(made, "dataset") == before, "neither changed anything"

    table = DeltaTable(made.uri)
    assert table.delete("c is not null")["num_deleted_rows"] > 0
    assert differences(expected_copies(made.source()), made.rows(COPY_COLUMNS))
    moved = told(made, "reset", file, "dataset:out", "--to", "earliest", "--json")
    assert {move["partition"] for move in moved["moves"]} == {
        p for p, (at, _) in before.items() if at
    }
    made.workload.run(40)
    settled(made)  # by the sink that ran all the while
    assert made.pipeline.stages["sink"].alive
    assert made.pipeline.verify()["verified"]


def test_a_transform_reads_again_once_nobody_runs_it(product: Any) -> None:
    made = product(existing=30, keys=40)
    made.pipeline.start()
    made.workload.run(80)
    settled(made)
    file, before = str(made.pipeline.file), places(made, "transform")
    said = told(made, "reset", file, "transform:copy_0", "--to", "earliest", code=2)
    assert "of its processors run" in said
    assert places(made, "transform") == before

    assert made.pipeline.stages["processor"].stop() == 0
    assert "would be lost" in told(
        made, "set", file, "copy_0", *(f"{p}:{end + 5}" for p, (_, end) in before.items()), code=2
    )
    moved = told(made, "reset", file, "copy_0", "--to", "1970-01-02T00:00:00Z", "--json")
    assert {m["partition"]: m["from"] for m in moved["moves"]} == {
        p: at for p, (at, _) in before.items() if at
    }
    rows = sum(end for _, end in places(made, "dataset").values())
    made.workload.run(40)
    made.pipeline.start("processor")
    settled(made)
    assert sum(end for _, end in places(made, "dataset").values()) > rows + 110, "all of it again"
    assert made.pipeline.verify()["verified"]
