"""What the doctor makes of answers, refusals, silence and settings."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from bridge.control.doctor import aws, here, kafka, lake
from bridge.control.doctor.command import run_doctor
from bridge.control.doctor.model import Finding, look, ok
from bridge.control.plan import load_plan
from bridge.control.settings import Settings
from bridge.wire.errors import TailraceError

ORDERS = "processors/examples/orders.py"
VIEW = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


def denied(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)


class Aws:
    """Both services of a region: answers by method, exceptions are raised."""

    def __init__(self, **answers: Any) -> None:
        table = {
            "KeySchema": [{"AttributeName": "orderId", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "orderId", "AttributeType": "S"}],
            "TableStatus": "ACTIVE",
            "LatestStreamArn": "arn",
            "StreamSpecification": VIEW,
        }
        self.called: list[str] = []
        self.meta = SimpleNamespace(endpoint_url="http://localhost:1")
        self.answers = {
            "describe_table": {"Table": table | answers.pop("table", {})},
            "describe_stream": {"StreamDescription": {"Shards": [{"ShardId": "s-1"}]}},
            "get_shard_iterator": {"ShardIterator": "i-1"},
        } | answers

    def __getattr__(self, method: str) -> Any:
        def call(**_: Any) -> Any:
            self.called.append(method)
            answer = self.answers.get(method, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def examined(monkeypatch: pytest.MonkeyPatch, service: Aws, **settings: Any) -> dict[str, Finding]:
    monkeypatch.setattr(aws._Clients, "of", lambda *_: service)
    found = aws.checks(Settings.model_construct(**settings), [load_plan(ORDERS)])
    return {check.what.removeprefix("orders: "): check.finding for check in found}


def test_every_action_of_the_policy_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Aws()
    found = examined(monkeypatch, service)
    assert {finding.state for finding in found.values()} == {"ok"}, found
    actions = {what for what in found if what.startswith("dynamodb:")}
    assert actions == {
        f"dynamodb:{name}"
        for name in (
            "DescribeTable", "Scan", "BatchGetItem", "ListStreams", "DescribeStream",
            "GetShardIterator", "GetRecords",
        )
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "action"),
    [("scan", "Scan"), ("get_records", "GetRecords"), ("describe_stream", "DescribeStream")],
)
def test_a_refused_action_is_named_and_the_others_are_tried(
    monkeypatch: pytest.MonkeyPatch, method: str, action: str
) -> None:
    found = examined(monkeypatch, Aws(**{method: denied(action)}))
    wrong = {what for what, finding in found.items() if finding.state == "problem"}
    assert wrong == {f"dynamodb:{action}"}
    assert found[f"dynamodb:{action}"].remedy == "tailrace iam FILE prints the policy"
    assert found["dynamodb:BatchGetItem"].state == "ok"


def test_of_a_table_that_is_not_there_nothing_else_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeTable")
    service = Aws(describe_table=missing)
    found = examined(monkeypatch, service)
    assert found["dynamodb:DescribeTable"].said == "there is no such table"
    assert found["all other actions"].state == "not tried"
    assert "scan" not in service.called


@pytest.mark.parametrize(
    ("spec", "enable", "state", "said"),
    [
        ({}, False, "problem", "the table has no stream"),
        ({}, True, "ok", "off; the connector turns it on"),
        (VIEW | {"StreamViewType": "KEYS_ONLY"}, False, "problem", "it lacks the new image"),
        (VIEW | {"StreamViewType": "NEW_IMAGE"}, False, "ok", "NEW_IMAGE"),
    ],
)
def test_the_stream_is_one_that_can_replicate(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], enable: bool, state: str, said: str
) -> None:
    service = Aws(table={"StreamSpecification": spec})
    found = examined(monkeypatch, service, enable_streams=enable)
    assert (found["stream"].state, said in found["stream"].said) == (state, True), found["stream"]
    assert ("dynamodb:UpdateTable" in found) is enable
    assert "update_table" not in service.called


def test_an_endpoint_that_does_not_answer_is_one_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(monkeypatch, Aws(list_tables=EndpointConnectionError(endpoint_url="http://x")))
    ((what, finding),) = found.items()
    assert (what, finding.state) == ("identity in us-west-2", "problem")


def test_what_hangs_is_a_problem_and_holds_nobody_up() -> None:
    never = threading.Event()
    check = look("kafka", "x", lambda: ok(str(never.wait())), timeout_s=0.05)
    assert (check.finding.state, check.finding.said) == ("problem", "no answer within 0.05 s")
    never.set()


def test_an_error_of_ours_keeps_its_remedy() -> None:
    def fail() -> Finding:
        raise TailraceError("it is shut", where="door", remedy="Open it")

    assert look("here", "x", fail).finding == Finding("problem", "door: it is shut", "Open it")


@pytest.mark.parametrize(
    ("config", "data", "state", "said"),
    [
        ({"max.message.bytes": "1048588"}, True, "problem", "max.message.bytes is 1048588"),
        ({"max.message.bytes": "4194304", "retention.ms": "3600000"}, True, "problem", "1.0 hours"),
        ({"retention.ms": "-1"}, True, None, ""),
        ({"retention.ms": "3600000"}, False, None, ""),
        ({"cleanup.policy": "compact"}, True, "problem", "deleted before they are read"),
        ({"cleanup.policy": "compact"}, False, None, ""),
        ({"message.timestamp.type": "CreateTime"}, True, "warning", "CreateTime"),
    ],
)
def test_topic_settings(config: dict[str, str], data: bool, state: str | None, said: str) -> None:
    entries = {name: SimpleNamespace(value=value) for name, value in config.items()}
    found = kafka._settings(entries, data=data)
    assert (found.state if found else None) == state
    assert found is None or said in found.said


def test_what_is_not_set_is_said(tmp_path: Path) -> None:
    settings = Settings.model_construct(brokers=None, lake=None, state_dir=tmp_path)
    assert [c.finding.said for c in kafka.checks(settings, [], write=True)] == [
        "TAILRACE_BROKERS is not set"
    ]
    assert [c.finding.said for c in lake.checks(settings, write=True)] == [
        "TAILRACE_LAKE is not set"
    ]


def test_a_folder_as_lake_is_written_read_and_left_as_it_was(tmp_path: Path) -> None:
    settings = Settings.model_construct(lake=str(tmp_path / "lake"), lake_options={})
    (check,) = lake.checks(settings, write=True)
    assert check.finding.state == "ok", check
    assert not list((tmp_path / "lake").rglob("*doctor*"))


def test_a_lake_that_can_not_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    settings = Settings.model_construct(lake=str(tmp_path / "lake"), lake_options={})
    (check,) = lake.checks(settings, write=True)
    assert check.finding.state == "problem"


def test_this_place_is_fit_and_a_state_folder_that_is_none_is_told(tmp_path: Path) -> None:
    fit = Settings.model_construct(state_dir=tmp_path / "state")
    assert {check.finding.state for check in here.checks(fit)} == {"ok"}
    (tmp_path / "file").write_text("")
    unfit = Settings.model_construct(state_dir=tmp_path / "file" / "state")
    wrong = [check.what for check in here.checks(unfit) if check.finding.state == "problem"]
    assert wrong == ["folder for state"]


def test_a_package_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = here.metadata.version
    old = {"deltalake": "1.0.0"}
    monkeypatch.setattr(here.metadata, "version", lambda name: old.get(name) or real(name))
    finding = here._packages("sink")
    assert finding.state == "problem"
    assert "deltalake 1.0.0, which has to be ==1.6.6" in finding.said


def test_the_command_counts_and_prints_one_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(aws._Clients, "of", lambda *_: Aws())
    settings = Settings.model_construct(
        brokers=None, lake=str(tmp_path / "lake"), lake_options={}, state_dir=tmp_path,
        enable_streams=False,
    )  # fmt: skip
    assert not run_doctor(settings, [ORDERS, "nowhere.py"], write=True, as_json=True)
    said = json.loads(capsys.readouterr().out)
    wrong = {one["check"] for one in said["checks"] if one["state"] == "problem"}
    assert (said["problems"], wrong) == (2, {"nowhere.py", "brokers"})
