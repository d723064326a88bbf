"""The policies: least privilege by stage, of the tables and the lake that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.iam import Place, policies
from bridge.control.plan import load_plan

FILE = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset

@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource({source})))}},
    output_mapping={{"out": Output(Dataset(id="out"))}},
)
def copy(items):
    return items.select("dynamodb.Keys.id.S as id")
"""
ORDERS = 'table_name="orders", region="eu-central-1"'


def of(tmp_path: Path, source: str = ORDERS, lake: str = "s3://b/lake", **more):
    file = tmp_path / "transform.py"
    file.write_text(FILE.format(source=source))
    found = policies(load_plan(str(file)), lake, Place("1"), **({"enable_streams": False} | more))
    return {
        stage: {
            action: statement["Resource"]
            for statement in policy["Statement"]
            for action in statement["Action"]
        }
        for stage, policy in found.items()
    }


def test_the_connector_reads_its_tables_and_their_streams_and_writes_nothing(tmp_path):
    connector = of(tmp_path)["connector"]
    arn = "arn:aws:dynamodb:eu-central-1:1:table/orders"
    assert connector["dynamodb:Scan"] == [arn]
    assert connector["dynamodb:GetRecords"] == [f"{arn}/stream/*"]
    verbs = ("Put", "Update", "Delete", "Create", "BatchWrite")
    assert not [action for action in connector if action.split(":")[1].startswith(verbs)]


def test_turning_streams_on_is_granted_only_where_it_is_asked_for(tmp_path):
    assert "dynamodb:UpdateTable" in of(tmp_path, enable_streams=True)["connector"]


@pytest.mark.parametrize(
    ("snapshot", "without"), [("never", "dynamodb:Scan"), ("only", "dynamodb:GetRecords")]
)
def test_what_a_source_does_not_do_is_not_granted(tmp_path, snapshot, without):
    assert without not in of(tmp_path, f'{ORDERS}, snapshot="{snapshot}"')["connector"]


def test_tags_need_to_look_at_every_table(tmp_path):
    connector = of(tmp_path, 'table_tags={"team": "x"}, region="cn-north-1"')["connector"]
    assert connector["tag:GetResources"] == ["*"]
    assert connector["dynamodb:Scan"] == ["arn:aws-cn:dynamodb:cn-north-1:1:table/*"]


def test_a_processor_needs_no_aws_and_a_sink_its_prefix_alone(tmp_path):
    found = of(tmp_path)
    assert found["processor"] == {}
    assert found["sink"]["s3:PutObject"] == ["arn:aws:s3:::b/lake/*"]
    assert found["sink"]["s3:ListBucket"] == ["arn:aws:s3:::b"]
    assert not [action for action in found["sink"] if action.startswith("dynamodb:")]
    assert "s3:PutObject" not in found["verify"]
    assert of(tmp_path, lake="/tmp/lake")["sink"] == {}
