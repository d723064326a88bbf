"""What is wrong with the configuration is told at the start, in one line, before Kafka is asked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bridge import DynamoDBSource
from bridge.connector.service import Connector, ConnectorConfig
from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.kafka import KafkaConfig
from tests.parts.ports import free_port


@pytest.fixture(autouse=True)
def bare_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS setting of the machine reaches the test."""
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AK")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")


def run(region: str | None = "us-west-2") -> None:
    source = DynamoDBSource(table_name="orders", region=region)
    kafka = KafkaConfig(brokers="127.0.0.1:1")
    Connector(ConnectorConfig(kafka=kafka, sources=(source,))).run(threading.Event())


def test_no_credentials() -> None:
    with pytest.raises(ConfigurationError, match=r"no AWS credentials.*AWS_PROFILE"):
        run()


@pytest.mark.usefixtures("keys")
def test_no_region() -> None:
    with pytest.raises(ConfigurationError, match=r"no AWS region.*AWS_REGION"):
        run(region=None)


def test_an_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match="nobody"):
        run()


@pytest.mark.usefixtures("keys")
def test_an_endpoint_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(TailraceError, match=endpoint) as caught:
        run()
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("names", [[], ["orders", "orders"]])
def test_no_table_or_one_twice(names: list[str]) -> None:
    sources = tuple(DynamoDBSource(table_name=name) for name in names)
    with pytest.raises(ConfigurationError):
        Connector(ConnectorConfig(kafka=KafkaConfig(brokers="127.0.0.1:1"), sources=sources))


def test_before_it_runs_it_is_starting() -> None:
    source = DynamoDBSource(table_name="orders")
    kafka = KafkaConfig(brokers="127.0.0.1:1")
    connector = Connector(ConnectorConfig(kafka=kafka, sources=(source,)))
    assert connector.health() == "starting"
