"""`tailrace backfill`: the acceptance is there before the request, where the stages look for it."""

from __future__ import annotations

import orjson
import pytest
from confluent_kafka import Producer

from bridge.connector.checkpoints import Generation
from bridge.control.backfill import run_backfill
from bridge.control.settings import Settings
from bridge.wire.errors import ConfigurationError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.namespace import decode_key, read_namespace
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from tests.parts.brokers import Broker

pytestmark = pytest.mark.integration


def settings(kafka: KafkaConfig) -> Settings:
    return Settings.model_construct(brokers=kafka.brokers, namespace=kafka.namespace)


@pytest.fixture
def kafka(broker: Broker, namespace: str) -> KafkaConfig:
    """A namespace whose rows topic holds five messages in partition 1."""
    config = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)
    names = TopicNames(namespace)
    ensure_topics(
        admin(config),
        [
            TopicSpec(name=names.checkpoints, partitions=2, replication=1, compacted=True),
            TopicSpec(name=names.rows("d"), partitions=2, replication=1),
        ],
    )
    producer = Producer(config.producer())
    arn = "arn:aws:dynamodb:us-west-2:1:table/t/stream/1"
    feed = Generation(
        table="t", epoch=7, arn=arn, segments=2, consistent=False, reason="first", at_s=1
    )
    producer.produce(names.checkpoints, key=feed.key(), value=feed.value(), partition=1)
    for _ in range(5):
        producer.produce(names.rows("d"), b"x", partition=1)
    producer.flush(20)
    return config


def test_a_gap_is_accepted_up_to_the_end_of_now(
    kafka: KafkaConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run_backfill(settings(kafka), "t", ["sink:d"])

    names = TopicNames(kafka.namespace)
    accepted = read_namespace(kafka).accepted
    assert accepted == {("sink:d", names.rows("d")): {0: 0, 1: 5}}
    records = [
        decode_key(message.key() or b"") for message in read_to_end(kafka, names.checkpoints, [0])
    ]
    assert [key[:2] for key in records] == [["accept", "sink:d"], ["request", "t"]]
    assert "a new snapshot of t is requested" in capsys.readouterr().out


def test_a_dry_run_says_the_same_and_writes_nothing(
    kafka: KafkaConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.control.backfill._size", lambda _generation: (1_000, 4_097))
    run_backfill(settings(kafka), "t", ["sink:d"], dry_run=True, wait=True)

    said = capsys.readouterr().out
    assert "sink:d could go on" in said
    assert "would be requested: about 1,000 items, 4,097 bytes, 2 read capacity units" in said
    assert list(read_to_end(kafka, TopicNames(kafka.namespace).checkpoints, [0])) == []


def test_json_is_one_object_that_names_the_request(
    kafka: KafkaConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run_backfill(settings(kafka), "t", [], as_json=True)

    said = orjson.loads(capsys.readouterr().out)
    (message,) = read_to_end(kafka, TopicNames(kafka.namespace).checkpoints, [0])
    assert decode_key(message.key() or b"") == ["request", "t", said["request"]]
    assert (said["requested"], said["complete"], said["epoch_before"]) == (True, False, 7)


def test_a_table_that_nobody_reads_is_told_and_not_asked_for(kafka: KafkaConfig) -> None:
    with pytest.raises(ConfigurationError, match=r"no connector has read a table 'tt'.*mean t"):
        run_backfill(settings(kafka), "tt", [])
    assert list(read_to_end(kafka, TopicNames(kafka.namespace).checkpoints, [0])) == []


def test_nothing_is_written_when_a_name_is_wrong(kafka: KafkaConfig) -> None:
    with pytest.raises(ConfigurationError, match="there is no topic"):
        run_backfill(settings(kafka), "t", ["sink:d", "processor:f"])

    assert list(read_to_end(kafka, TopicNames(kafka.namespace).checkpoints, [0])) == []


def test_a_namespace_without_a_connector_is_one_line(broker: Broker, namespace: str) -> None:
    kafka = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)

    with pytest.raises(ConfigurationError, match="Start the connector once"):
        run_backfill(settings(kafka), "t", [])


def test_a_scan_for_one_transform_names_it(kafka: KafkaConfig) -> None:
    run_backfill(settings(kafka), "t", [], "lines")
    (message,) = read_to_end(kafka, TopicNames(kafka.namespace).checkpoints, [0])
    assert decode_key(message.key() or b"")[:2] == ["request", "t"]
    assert orjson.loads(message.value() or b"{}")["for"] == "lines"


def test_a_scan_for_one_transform_repairs_no_gap(kafka: KafkaConfig) -> None:
    with pytest.raises(ConfigurationError, match="repairs no gap"):
        run_backfill(settings(kafka), "t", ["sink:d"], "lines")
    assert not list(read_to_end(kafka, TopicNames(kafka.namespace).checkpoints, [0]))
