"""Rows go to the client at once, wait while its buffer is full, and fail if it stays so."""

import pytest

from processors.outbox import ClientOutbox


class Client:
    def __init__(self, full):
        self.full, self.sent, self.polled = full, [], []

    def produce(self, topic, value, key, partition, _on_delivery, **kwargs):
        if self.full:
            self.full -= 1
            raise BufferError
        self.sent.append((topic, value, key, partition, kwargs))

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
        ("t", b"v", b"k", -1, {"headers": [("h", b"1")]}),
        ("t", b"v", None, 3, {"headers": []}),
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
