"""A test the chosen parts can't serve is left out and listed; on Kafka none is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest
from tests.parts import brokers

ROOT = Path(__file__).parents[3]


def collect(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "tests/integration", "--collect-only", "-q"]
    return subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


def marked(*needs: str) -> Any:
    marks = [SimpleNamespace(args=needs)] if needs else []
    return SimpleNamespace(nodeid="test_x", iter_markers=lambda name: marks)


def test_a_run_lists_what_its_parts_leave_out() -> None:
    listed = collect("--broker", "embedded", "--dynamodb", "local").stdout
    selected, left_out = listed.split("left out: broker embedded or DynamoDB local cannot do it")
    test = "test_broker_contract.py::test_acknowledged_data_survives_sigkill"
    assert test not in selected
    assert f"needs durable:\n  tests/integration/{test}" in left_out
    tagged = "tests/integration/test_product_tagged.py::test_tables_join_by_their_tags"
    assert tagged not in selected
    assert f"needs tags:\n  {tagged}" in left_out
    assert "deselected" in left_out


def test_nothing_is_left_out_on_kafka() -> None:
    run = collect("--broker", "kafka", "-m", "integration")
    assert run.returncode == 0, run.stdout
    assert "test_broker_contract.py::test_acknowledged_data_survives_sigkill" in run.stdout
    assert "left out" not in run.stdout


def test_value_that_is_no_part_and_no_address_is_refused() -> None:
    run = collect("--broker", "rabbit")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--broker rabbit: neither one of embedded, kafka nor an address" in run.stderr


def test_unknown_need_is_an_error() -> None:
    with pytest.raises(pytest.UsageError, match="no such capability"):
        conftest._needs(marked("durability"))


def test_foreign_broker_is_never_asked_to_restart() -> None:
    missing = conftest._needs(marked("durable", "restart")) - brokers.capabilities("host:9092")
    assert missing == {"restart"}


@pytest.mark.parametrize(("worker", "processes"), [(None, 3), ("gw0", None)])
def test_only_the_run_itself_starts_processes_its_processes_start_none(
    monkeypatch: pytest.MonkeyPatch, worker: str | None, processes: int | None
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    if worker is not None:
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    option = SimpleNamespace(markexpr=conftest._DEFAULT_LANE, numprocesses=None, dist="no")
    source = pytest.Config.ArgsSource.TESTPATHS
    conftest.pytest_cmdline_main(SimpleNamespace(option=option, args_source=source))
    assert option.numprocesses == processes
