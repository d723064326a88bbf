"""`tailrace demo`, as a new user runs it; and that it leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.e2e.running import Tailrace

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

STARTED = "connector, processor and sink started"


def test_the_demo_verifies_every_row(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with Tailrace(tmp_path, "demo", "--seconds", "5", "--json", "--dir", str(run)) as demo:
        code = demo.wait(timeout_s=200)
        lines = demo.output.splitlines()

    assert code == 0, demo.output
    result = json.loads(lines[-1])
    assert result["verified"] is True
    assert result["source_items"] == result["delta_rows"] > 1_900
    assert (result["missing"], result["extra"], result["different"]) == (0, 0, 0)
    assert result["changes"] > 50
    assert result["lake"] == str(run / "lake")
    assert any("SIGKILL for the sink" in line for line in lines)
    assert any("the sink is back" in line for line in lines)
    assert "page at http://127.0.0.1:" in lines[0]
    assert any("processor is redeployed" in line for line in lines)
    assert result["replayed"] >= 3
    assert result["dead_lettered"] == 0
    columns = DeltaTable(run / "lake" / "processed_orders").schema().fields
    assert "coupon_code" in [column.name for column in columns]
    demo.await_nothing_left()
    _try_next(tmp_path, lines, result["source_items"])


def _try_next(tmp_path: Path, lines: list[str], items: int) -> None:
    """What the demo says to try next works."""
    said = next(line for line in lines if " query --lake " in line and "count" in line)
    lake = said.split(" --lake ")[1].split(" ")[0]
    sql = said.split('"')[1]
    folder = tmp_path / "query"
    folder.mkdir()
    with Tailrace(folder, "query", "--lake", lake, "--json", sql) as query:
        assert query.wait(timeout_s=60) == 0, query.output
        rows = [json.loads(line) for line in query.output.splitlines()]
    assert sum(row["orders"] for row in rows) == items


def test_ctrl_c_is_one_line_and_nothing_stays(tmp_path: Path) -> None:
    with Tailrace(tmp_path, "demo", "--no-ui", "--dir", str(tmp_path / "run")) as demo:
        demo.await_output(STARTED, timeout_s=60)
        assert len(demo.descendants()) >= 4

        os.kill(demo.pid, signal.SIGINT)

        assert demo.wait(timeout_s=60) == 1
        assert demo.output.splitlines()[-1] == "tailrace: interrupted"
        assert "Traceback" not in demo.output
        demo.await_nothing_left()


def test_nothing_stays_when_the_demo_itself_is_killed(tmp_path: Path) -> None:
    with Tailrace(tmp_path, "demo", "--no-ui", "--dir", str(tmp_path / "run")) as demo:
        demo.await_output(STARTED, timeout_s=60)
        assert len(demo.descendants()) >= 4

        # Not the whole group, as the test's own clean-up would: only the demo.
        os.kill(demo.pid, signal.SIGKILL)

        assert demo.wait(timeout_s=10) == -signal.SIGKILL
        demo.await_nothing_left()
