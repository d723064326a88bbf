"""The doctor on real parts: nothing to find on a sound pipeline, and each thing that was broken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bridge.wire.topics import TopicNames, admin
from tests.integration.conftest import COPY_COLUMNS
from tests.parts.object_store import S3
from tests.product.oracle import expected_copies

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(240),
]


def diagnosis(made: Any, *options: str) -> tuple[int, dict[str, str]]:
    """Exit code, and the problems by what was looked at."""
    done = made.pipeline.command("doctor", str(made.pipeline.file), "--json", *options)
    assert done.stdout.strip(), done.stderr
    checks = json.loads(done.stdout.splitlines()[-1])["checks"]
    return done.returncode, {c["check"]: c["said"] for c in checks if c["state"] == "problem"}


def test_a_sound_pipeline_has_no_problem_and_a_broken_one_each_of_its_own(
    product: Any, s3: S3, namespace: str
) -> None:
    made = product(existing=20, lake=s3.uri(namespace), lake_options=s3.storage_options)
    made.pipeline.start()
    made.await_equal(expected_copies, COPY_COLUMNS)
    assert diagnosis(made) == (0, {})
    listed = s3.client().list_objects_v2(Bucket=s3.bucket, Prefix=namespace)["Contents"]
    assert not [each["Key"] for each in listed if "doctor" in each["Key"]], "it is removed"

    rows = TopicNames(made.kafka.namespace).rows(made.dataset)
    small = ConfigEntry("max.message.bytes", "1000000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, rows, incremental_configs=[small])
    client = admin(made.kafka)  # one that goes away never answers
    for answer in client.incremental_alter_configs([resource]).values():
        answer.result(20)
    work = made.workload
    work.client.update_table(TableName=work.table, StreamSpecification={"StreamEnabled": False})
    made.pipeline.environment["TAILRACE_LAKE"] = "s3://nowhere-at-all/lake"
    code, found = diagnosis(made)
    assert code == 1
    assert set(found) == {
        f"topic {rows}", f"{work.table}: stream", "writing, reading, removing"
    }  # fmt: skip
    assert "400 KB" in found[f"topic {rows}"]

    made.pipeline.environment["TAILRACE_BROKERS"] = "127.0.0.1:1"
    code, found = diagnosis(made, "--no-write")
    assert (code, "brokers" in found) == (1, True)
