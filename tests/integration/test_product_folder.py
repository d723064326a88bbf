"""A folder of transforms: one that comes along is taken in by the connector and sink that run."""

from __future__ import annotations

import pytest

from tests.integration.conftest import COPY, COPY_COLUMNS
from tests.parts.waiting import wait_until
from tests.product.oracle import differences, expected_copies, table_rows
from tests.product.workload import ORDERS, Workload, scan

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_transform_of_another_table_is_added_and_no_process_is_started_again(product):
    made = product(existing=20, keys=20)
    pipeline, first = made.pipeline, made.workload
    folder = pipeline.folder / "transforms"
    folder.mkdir()
    pipeline.file = pipeline.file.rename(folder / "first.py")
    pipeline.start("processor")
    pipeline.file = folder
    pipeline.start("connector", "sink")
    made.await_equal(expected_copies, COPY_COLUMNS)
    before = {name: stage.pid for name, stage in pipeline.stages.items()}

    second = Workload(first.client, f"{first.table}-too", ORDERS, keys=20, seed=2)
    ORDERS.create(second.client, second.table)
    second.fill(20)
    pipeline.file = folder / "second.py"
    pipeline.file.write_text(COPY.format(table=second.table, dataset="second", number=1))
    pipeline.start("processor:1")

    def followed() -> bool:
        rows = table_rows(f"{pipeline.lake}/second", made.storage_options, COPY_COLUMNS)
        return not differences(expected_copies(scan(second.client, second.table)), rows)

    wait_until(followed, timeout_s=90, what="the second table")
    # Nor does one that can't be loaded disturb those that are there.
    (folder / "third.py").write_text("from processors import nothing_of_this_name")
    for name in ("connector", "sink"):
        log = pipeline.stages[name].log_tail
        wait_until(lambda log=log: "third.py" in log(200), timeout_s=60, what=f"{name} to say so")
    for workload in (first, second):
        workload.run(40)
    made.await_equal(expected_copies, COPY_COLUMNS)
    wait_until(followed, timeout_s=90, what="the second table")
    assert {name: pipeline.stages[name].pid for name in before} == before
    assert "begins again" in pipeline.stages["connector"].log_tail(200)
