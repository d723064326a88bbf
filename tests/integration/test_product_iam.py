"""What the stages ask of AWS on the whole way is a subset of what `tailrace iam` grants."""

from __future__ import annotations

import fnmatch
import json

import pytest

from tests.integration.conftest import COPY_COLUMNS
from tests.parts.dynamodb import DynamoDB
from tests.parts.recorder import Call, Recorder
from tests.product.oracle import expected_copies

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.real,
    pytest.mark.timeout(300),
]


def granted(statements: list[dict], call: Call) -> bool:
    action, arn = call
    name = arn.split("dynamodb:r:1:")[-1]
    return any(
        action in statement["Action"]
        and any(
            fnmatch.fnmatch(arn, resource)
            or resource.endswith(f":{name}")
            or _stream(arn, resource)
            for resource in statement["Resource"]
        )
        for statement in statements
    )


def _stream(arn: str, resource: str) -> bool:
    """A stream's ARN within the granted ones; emulators have regions and accounts of their own."""
    tail = arn.rpartition(":table/")[2]
    return "/stream/" in tail and (
        tail.startswith("?") or fnmatch.fnmatch(tail, resource.rpartition(":table/")[2])
    )


def test_every_call_of_the_stages_is_granted(product, dynamodb, s3, namespace, tmp_path):
    with (
        Recorder(dynamodb.endpoint, tmp_path / "tables") as tables,
        Recorder(s3.endpoint, tmp_path / "objects") as objects,
    ):
        source = DynamoDB(tables.endpoint)
        source._credentials = dynamodb._credentials
        lake = s3.uri(namespace)
        made = product(
            existing=30,
            lake=lake,
            lake_options={**s3.storage_options, "AWS_ENDPOINT_URL": objects.endpoint},
            dynamodb=source,
        )
        asked_before = tables.calls  # by the test itself
        tables.forget()
        made.pipeline.start()
        made.await_equal(expected_copies, COPY_COLUMNS)
        made.workload.client = dynamodb.client()  # what the test does goes past the recorder
        made.workload.run(100)
        made.await_equal(expected_copies, COPY_COLUMNS)
        for name in made.pipeline.stages:
            assert made.pipeline.stages[name].stop() == 0
        report = made.pipeline.verify()
        assert report["verified"], report
        said = made.pipeline.command("iam", str(made.pipeline.file))
        assert said.returncode == 0, said.stderr
        statements = [
            statement
            for policy in json.loads(said.stdout).values()
            for statement in policy["Statement"]
        ]
        calls = tables.calls | objects.calls
        actions = {action for action, _ in calls}
        assert {"dynamodb:GetRecords", "dynamodb:Scan", "s3:PutObject", "s3:GetObject"} <= actions
        assert not [call for call in calls if not granted(statements, call)]
        assert not granted(statements, ("dynamodb:PutItem", next(iter(asked_before))[1]))
