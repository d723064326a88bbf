"""`tailrace up` over two files: a killed stage comes back, and at SIGTERM all hand over."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import COPY, COPY_COLUMNS
from tests.parts.process import Process
from tests.parts.waiting import wait_until
from tests.product.oracle import differences, expected_copies, table_rows
from tests.product.pipeline import ROOT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(420),
]
HAND_OVER_S = 30.0


def children_of(pid: int) -> dict[int, list[str]]:
    """Its children's command lines."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child): Path(f"/proc/{child}/cmdline").read_text().split("\0") for child in found}


def test_two_files_on_one_machine(product: Any) -> None:
    made = product(existing=40, keys=50)
    work, folder = made.workload, made.pipeline.folder
    other = folder / "other.py"
    other.write_text(COPY.format(table=work.table, dataset="again", number=99))
    files = [str(made.pipeline.file), str(other)]
    run = Process(
        "up",
        [sys.executable, "-m", "bridge.control", "up", *files, "--dir", str(folder / "run")],
        log=folder / "up.log",
        environment=made.pipeline.environment
        | {"PYTHONPATH": str(ROOT), "TAILRACE_STATE_DIR": str(folder / "state")},
    )

    def await_both() -> None:
        expected = expected_copies(made.source())
        for dataset in (made.dataset, "again"):
            uri = f"{made.pipeline.lake}/{dataset}"
            wait_until(
                lambda uri=uri: not differences(expected, table_rows(uri, {}, COPY_COLUMNS)),
                timeout_s=120,
                what=f"{dataset} to equal the source",
            )

    run.start()
    try:
        await_both()
        children = children_of(run.pid)
        assert len(children) == 4  # one connector, two processors, one sink
        sink = next(pid for pid, command in children.items() if "sink" in command)
        os.kill(sink, signal.SIGKILL)
        work.run(60)
        await_both()
        assert "sink ended with SIGKILL" in run.log.read_text()
        assert "sink is started again" in run.log.read_text()

        family = children_of(run.pid)
        began_s = time.monotonic()
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait(timeout_s=HAND_OVER_S) == 0
        assert time.monotonic() - began_s < HAND_OVER_S
        assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
        assert run.log_tail(1).endswith("stopped")
    except AssertionError:
        print(run.log_tail(20), *(p.read_text()[-2000:] for p in (folder / "run/logs").iterdir()))
        raise
    finally:
        run.kill()
