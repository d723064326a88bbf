"""The newest changes of a topic, looked at beside the stages."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer

from bridge.control.newest import newest_changes
from bridge.control.preview import run_preview
from bridge.control.settings import Settings
from bridge.wire.envelope import CONTROL_KEY, Sealed
from bridge.wire.errors import ConfigurationError
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from processors.testing import Changes
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration]

FILE = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset

@transform(
    input_mapping={"orders": Input(Stream(source=DynamoDBSource(table_name="orders")))},
    output_mapping={"out": Output(Dataset(id="out"))},
)
def ids(orders):
    return orders.select("dynamodb.NewImage.orderId.S as id")
"""


@pytest.fixture
def filled(kafka):
    """Six changes and a seal in two partitions."""
    topic = TopicNames(kafka.namespace).changes("orders")
    ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=2)])
    producer, changes = Producer(kafka.producer()), Changes(["orderId"])
    for number in range(6):
        sent = changes.insert({"orderId": f"o-{number}"})
        producer.produce(topic, sent.value, key=sent.key, partition=number % 2)
        # One after the other, so that append times tell their order.
        assert producer.flush(20) == 0
        at = wait_for_next_millisecond()
        assert at
    sealed = Sealed("orders", 1, 0, 2)
    producer.produce(topic, sealed.encode(), key=CONTROL_KEY, headers=Sealed.headers(), partition=0)
    assert producer.flush(20) == 0
    return kafka


def wait_for_next_millisecond():
    import time

    begun = int(time.time() * 1000)
    return wait_until(
        lambda: int(time.time() * 1000) > begun + 1, timeout_s=5, what="the clock", interval_s=0.001
    )


def test_the_newest_changes_of_all_partitions_oldest_first(filled):
    found = [message.key() for _, message in newest_changes(filled, ["orders"], 3)]
    assert found == [b'{"orderId":{"S":"o-%d"}}' % number for number in (3, 4, 5)]
    assert len(list(newest_changes(filled, ["orders"], 100))) == 6


def test_a_preview_of_the_topic_shows_rows_and_moves_nobody(filled, tmp_path, capsys):
    file = tmp_path / "ids.py"
    file.write_text(FILE)
    settings = Settings(brokers=filled.brokers, namespace=filled.namespace)
    for _ in range(2):
        run_preview(settings, str(file), events=None, last=2, key=(), as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["rows"][0]["id"] for line in lines] == ["o-4", "o-5"] * 2
    assert lines[0]["event"]["dynamodb"]["Keys"] == {"orderId": {"S": "o-4"}}


def test_a_table_without_a_topic_is_named(kafka):
    with pytest.raises(ConfigurationError, match="there is no topic"):
        list(newest_changes(kafka, ["absent"], 3))
