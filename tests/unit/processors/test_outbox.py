"""Rows go to the client at once, wait while its buffer is full, and fail if it stays so."""

import contextlib
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from processors.outbox import ClientOutbox


class Client:
    def __init__(self, full):
        self.full, self.sent, self.polled = full, [], []

    def produce(self, topic, value, key, partition, on_delivery, none, now, headers):
        if self.full:
            self.full -= 1
            raise BufferError
        assert (on_delivery, none, now) == (None, None, 0)
        self.sent.append((topic, value, key, partition, headers))

    def poll(self, timeout):
        self.polled.append(timeout)


class Layer:
    def __init__(self, inner):
        self._producer = inner


def outbox_of(client):
    return ClientOutbox(Layer(Layer(client)))


def test_a_message_is_produced_without_a_report_of_its_delivery():
    client = Client(full=0)
    outbox_of(client).produce(topic="t", value=b"v", key=b"k", headers=[("h", b"1")])
    outbox_of(client).produce(topic="t", value=b"v", partition=3)
    assert client.sent == [
        ("t", b"v", b"k", -1, [("h", b"1")]),
        ("t", b"v", None, 3, []),
    ]


def test_a_full_buffer_is_waited_for():
    client = Client(full=2)
    outbox_of(client).produce(topic="t", value=b"v")
    assert len(client.sent) == 1
    assert len(client.polled) == 2


def test_a_buffer_that_stays_full_fails():
    client = Client(full=99)
    with pytest.raises(BufferError):
        outbox_of(client).produce(topic="t", value=b"v")
    assert client.sent == []


def test_the_client_takes_what_it_is_given_by_position():
    told, reported = [], []
    options = {"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 0}
    client = Producer(options)
    outbox = outbox_of(client)
    before_ms = time.time() * 1000 - 1_000
    outbox.produce("t", b"v1", b"k1", [("h", b"1")])
    outbox.produce_reported(
        "t",
        b"v2",
        b"k2",
        3,
        headers=[("g", b"2")],
        on_delivery=lambda error, message: reported.append((error, message)),
    )
    assert client.flush(30) == 0
    ((error, message),) = reported
    assert error is None
    assert (message.key(), message.value(), message.partition()) == (b"k2", b"v2", 3)
    with contextlib.closing(reader_of(client)) as consumer:
        while len(told) < 2:
            told += consumer.consume(2, 30)
    written = {m.value(): (m.key(), m.headers(), m.timestamp()[1] > before_ms) for m in told}
    assert written == {
        b"v1": (b"k1", [("h", b"1")], True),
        b"v2": (b"k2", [("g", b"2")], True),
    }


def reader_of(client):
    brokers = [f"{b.host}:{b.port}" for b in client.list_topics(timeout=10).brokers.values()]
    consumer = Consumer({"bootstrap.servers": ",".join(brokers), "group.id": "g"})
    consumer.assign([TopicPartition("t", partition, 0) for partition in range(4)])
    return consumer
