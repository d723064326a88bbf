"""A hundred small tables on one connector and one sink, unattended on one machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from tests.integration.conftest import COPY_COLUMNS, HEAD
from tests.parts.process import Process
from tests.parts.waiting import wait_until
from tests.product.oracle import differences, expected_copies, table_rows
from tests.product.pipeline import ROOT
from tests.product.workload import ORDERS, Workload, scan

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(900),
]
TABLES = 100
PER_TRANSFORM = 25
ITEMS = 8
WRITES = 20

# One transform of many tables, each with a dataset of its own.
GROUP = """
@transform(
    input_mapping={{{inputs}}},
    output_mapping={{{outputs}}},
)
def group_{number}({arguments}):
    return {{{results}}}
"""
SELECT = """.select("eventID", "eventName", "dynamodb.NewImage.c.N",
    "dynamodb.NewImage.customerEmail.S as email", "dynamodb.NewImage.orderTotal.N as total",
    "dynamodb.NewImage.status.S as status", "dynamodb.NewImage.note.S")"""


def transforms(prefix: str) -> str:
    """A file with as many transforms as it takes."""
    text = HEAD
    for first in range(0, TABLES, PER_TRANSFORM):
        numbers = range(first, first + PER_TRANSFORM)
        text += GROUP.format(
            number=first // PER_TRANSFORM,
            arguments=", ".join(f"t{n}" for n in numbers),
            inputs=", ".join(
                f'"t{n}": Input(Stream(source=DynamoDBSource('
                f'table_name="{prefix}-{n}", region="us-west-2")))'
                for n in numbers
            ),
            outputs=", ".join(f'"d{n}": Output(Dataset(id="d{n}"))' for n in numbers),
            results=", ".join(f'"d{n}": t{n}{SELECT}' for n in numbers),
        )
    return text


def unequal(made: Any, works: Sequence[Workload], numbers: Iterable[int]) -> list[int]:
    """Those tables whose dataset is not the source's, each looked at anew."""
    found = []
    for number in numbers:
        rows = table_rows(f"{made.pipeline.lake}/d{number}", {}, COPY_COLUMNS)
        items = scan(made.workload.client, works[number].table)
        if differences(expected_copies(items), rows):
            found.append(number)
    return found


def test_a_hundred_tables_on_one_connector_and_one_sink(product: Any, capsys: Any) -> None:
    made = product()
    client, folder, prefix = made.workload.client, made.pipeline.folder, made.workload.table
    works = []
    for number in range(TABLES):
        ORDERS.create(client, f"{prefix}-{number}")
        work = Workload(client, f"{prefix}-{number}", ORDERS, keys=12, seed=number)
        work.fill(ITEMS)
        works.append(work)
    made.pipeline.file.write_text(transforms(prefix))
    run = Process(
        "up",
        [
            *(sys.executable, "-m", "bridge.control", "up", str(made.pipeline.file)),
            *("--dir", str(folder / "run")),
        ],
        log=folder / "up.log",
        environment=made.pipeline.environment
        | {
            "PYTHONPATH": str(ROOT),
            "TAILRACE_STATE_DIR": str(folder / "state"),
            "TAILRACE_PARTITIONS": "1",
            "TAILRACE_FRESHNESS_S": "5",
        },
    )

    def await_all() -> None:
        left = list(range(TABLES))

        def equal() -> bool:
            # To look at all of them takes the processor time they need to get there.
            left[:] = unequal(made, works, left) or unequal(made, works, range(TABLES))
            return not left

        wait_until(
            equal,
            timeout_s=300,
            what="a hundred tables to equal their sources",
            interval_s=2,
        )

    run.start()
    try:
        await_all()
        for work in works:
            work.run(WRITES)
        await_all()
        assert run.alive
        logs = {file.stem: file.read_text() for file in (folder / "run" / "logs").iterdir()}
        assert len(logs) == 2 + TABLES // PER_TRANSFORM, logs.keys()  # one connector, one sink
        assert "is started again" not in run.log.read_text()
    except AssertionError:
        print(run.log_tail(20), "unequal:", unequal(made, works, range(TABLES)))
        print(*(file.read_text()[-2000:] for file in (folder / "run" / "logs").iterdir()))
        raise
    finally:
        run.kill()
