"""The embedded parts, for real; and what is said where they can't be."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from bridge.control.local import EmbeddedBroker, EmbeddedDynamoDB
from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import TopicSpec, admin, ensure_topics, existing_topics


def topics(broker: EmbeddedBroker) -> dict[str, int]:
    found = existing_topics(admin(KafkaConfig(brokers=broker.bootstrap)))
    return {name: count for name, count in found.items() if not name.startswith("__")}


def test_the_broker_answers_and_remembers_after_an_orderly_end(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    broker.start()
    try:
        ensure_topics(
            admin(KafkaConfig(brokers=broker.bootstrap)), [TopicSpec(name="t", partitions=2)]
        )
    finally:
        broker.stop()

    again = EmbeddedBroker(tmp_path)
    again.start()
    try:
        assert topics(again) == {"t": 2}
        assert not again.forgot
    finally:
        again.stop()


def test_a_killed_broker_starts_empty_and_says_so(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    broker.start()
    assert broker._child is not None
    ensure_topics(admin(KafkaConfig(brokers=broker.bootstrap)), [TopicSpec(name="t", partitions=2)])
    broker._child.kill()
    with pytest.raises(TailraceError, match=r"embedded broker: ended by itself.*TAILRACE_BROKERS"):
        broker.check()

    again = EmbeddedBroker(tmp_path)
    again.start()
    try:
        assert again.forgot
        assert topics(again) == {}
    finally:
        again.stop()


def test_the_dynamodb_answers_without_real_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")
    dynamodb = EmbeddedDynamoDB(tmp_path, "eu-central-1")
    dynamodb.start()
    try:
        assert dynamodb.environment()["AWS_PROFILE"] is None
        assert dynamodb.environment()["AWS_DEFAULT_REGION"] == "eu-central-1"
        dynamodb.check()
    finally:
        dynamodb.stop()


@pytest.mark.parametrize(
    "part",
    [
        EmbeddedBroker,
        lambda folder, port: EmbeddedDynamoDB(folder, "us-west-2", port),
    ],
    ids=["broker", "dynamodb"],
)
def test_a_busy_port_is_named(
    tmp_path: Path, part: Callable[[Path, int], EmbeddedBroker | EmbeddedDynamoDB]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TailraceError, match=f"port {port} is busy"):
            part(tmp_path, port).start()


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    find = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in names else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def test_a_missing_extra_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "noida_db", "moto")

    with pytest.raises(ConfigurationError, match=r"pip install '\.\[local\]'.*TAILRACE_BROKERS"):
        EmbeddedBroker(tmp_path).start()
    with pytest.raises(ConfigurationError, match=r"moto is not installed.*'\.\[local\]'"):
        EmbeddedDynamoDB(tmp_path, "us-west-2").start()


def test_a_platform_without_a_broker_names_the_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "noida_db"
    wheel.mkdir()
    origin = wheel / "__init__.py"
    origin.touch()
    spec = ModuleSpec("noida_db", None, origin=str(origin))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: spec)

    with pytest.raises(ConfigurationError, match=r"platform.*TAILRACE_BROKERS"):
        EmbeddedBroker(tmp_path).start()


def test_a_broken_broker_is_one_line_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "noida_db"
    wheel.mkdir()
    program = wheel / "noida-db"
    program.write_text("#!/bin/sh\necho no such library\nexit 127\n")
    spec = ModuleSpec("noida_db", None, origin=str(wheel / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: spec)

    with pytest.raises(TailraceError, match=r"exit code 127.*no such library.*broker\.log"):
        EmbeddedBroker(tmp_path).start()
