"""Against DynamoDB of AWS itself, by hand: `pytest -m aws`, with your own credentials and region.

It makes one throw-away table, `tailrace-test-…`, billed by request, writes a few hundred small
items, and deletes it, whatever the outcome. Botocore finds credentials, region and endpoint as it
always does; with AWS_ENDPOINT_URL set it runs against that.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.integration.conftest import COPY, COPY_COLUMNS
from tests.parts.brokers import EXPIRY, Broker
from tests.parts.waiting import wait_until
from tests.product.oracle import differences, expected_copies, table_rows
from tests.product.pipeline import Pipeline
from tests.product.workload import ORDERS, Workload, scan

pytestmark = [pytest.mark.aws, pytest.mark.timeout(900)]
EXISTING, LIVE = 60, 200


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """Whoever runs the tests."""
    found = boto3.Session()
    if found.region_name is None:
        pytest.fail("no region: set AWS_REGION, or a profile with one", pytrace=False)
    if found.get_credentials() is None:
        pytest.fail("no credentials: `aws configure`, or AWS_PROFILE", pytrace=False)
    return found


@pytest.fixture
def table(session: boto3.Session) -> Iterator[tuple[Any, str]]:
    """A client, and a table that is gone afterwards."""
    client = session.client("dynamodb")
    name = f"tailrace-test-{uuid.uuid4().hex[:10]}"
    try:
        ORDERS.create(client, name)
        client.get_waiter("table_exists").wait(TableName=name)
        yield client, name
    finally:
        client.get_waiter("table_exists").wait(TableName=name)
        client.delete_table(TableName=name)
        client.get_waiter("table_not_exists").wait(TableName=name)


@pytest.fixture
def pipeline(
    session: boto3.Session, table: tuple[Any, str], broker: Broker, namespace: str, tmp_path: Path
) -> Iterator[Pipeline]:
    """The three stages on this machine, with the lake in a folder."""
    file, lake = tmp_path / "transform.py", str(tmp_path / "lake")
    text = COPY.format(table=table[1], dataset="out", number=0)
    file.write_text(text.replace("us-west-2", session.region_name))
    settings = {
        "TAILRACE_BROKERS": broker.bootstrap,
        "TAILRACE_NAMESPACE": namespace,
        "TAILRACE_LAKE": lake,
        "TAILRACE_STATIC_MEMBERSHIP": str(EXPIRY not in broker.capabilities).lower(),
        "TAILRACE_LOG_FORMAT": "text",
    }
    with Pipeline(tmp_path, file, settings, lake) as made:
        yield made


def test_a_table_of_aws_arrives(table: tuple[Any, str], pipeline: Pipeline) -> None:
    client, name = table
    work = Workload(client, name, ORDERS, keys=80, seed=1)
    work.fill(EXISTING)

    def equal() -> bool:
        rows = table_rows(f"{pipeline.lake}/out", {}, COPY_COLUMNS)
        return not differences(expected_copies(scan(client, name)), rows)

    pipeline.start()
    wait_until(equal, timeout_s=300, what="the snapshot to arrive", interval_s=2)
    work.run(LIVE)
    pipeline.kill("connector")
    pipeline.start("connector")
    work.run(LIVE)
    wait_until(equal, timeout_s=300, what="the changes to arrive", interval_s=2)
    report = pipeline.verify()
    assert report["verified"], report
