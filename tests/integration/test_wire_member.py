"""What a rebalance callback raises, and what the client does on the way."""

from __future__ import annotations

import logging
import time

import pytest
from confluent_kafka import OFFSET_END

from bridge.wire.kafka import KafkaConfig
from bridge.wire.member import MemberConsumer
from bridge.wire.topics import TopicSpec, admin, ensure_topics

pytestmark = [pytest.mark.integration]


class RefusedError(Exception):
    """What a callback raises."""


@pytest.fixture
def make(broker, namespace):
    """Makes members that log while they serve callbacks."""
    kafka = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)
    topic = f"{namespace}.data"
    ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=2)])
    logger = logging.getLogger("tests.member")
    logger.setLevel(logging.DEBUG)
    made = []

    def member(**callbacks):
        settings = kafka.consumer(group=f"{topic}.group", debug="cgrp")
        consumer = MemberConsumer({**settings, "auto.offset.reset": "latest", "logger": logger})
        made.append(consumer)
        consumer.subscribe([topic], **callbacks)
        return consumer

    yield member
    for consumer in made:
        consumer.close()


def turn(consumer, call):
    return consumer.poll(0.2) if call == "poll" else consumer.consume(100, 0.2)


def serve(consumer, call, until, seconds=30.0):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "no rebalance was served"
        turn(consumer, call)


@pytest.mark.parametrize("call", ["poll", "consume"])
def test_what_a_callback_raises_is_raised_whatever_the_client_logs(make, call):
    raised = []

    def assigned(consumer, partitions):
        raised.append(RefusedError(f"{len(partitions)} partitions"))
        raise raised[-1]

    consumer = make(on_assign=assigned)
    with pytest.raises(RefusedError, match="2 partitions") as caught:
        serve(consumer, call, lambda: False)
    assert caught.value is raised[0]
    assert len(raised) == 1


@pytest.mark.parametrize("call", ["poll", "consume"])
def test_what_giving_up_raises_is_raised_too(make, call):
    owned = []

    def revoked(_consumer, partitions):
        raise RefusedError(f"{len(partitions)} given up")

    consumer = make(on_assign=lambda _, partitions: owned.extend(partitions), on_revoke=revoked)
    serve(consumer, call, lambda: owned)
    consumer.unsubscribe()
    with pytest.raises(RefusedError, match="2 given up"):
        serve(consumer, call, lambda: False)


def test_closing_raises_what_no_call_has_raised(make):
    owned = []

    def revoked(_consumer, _partitions):
        raise RefusedError("while closing")

    consumer = make(on_assign=lambda _, partitions: owned.extend(partitions), on_revoke=revoked)
    serve(consumer, "poll", lambda: owned)
    with pytest.raises(RefusedError, match="while closing"):
        consumer.close()


def test_closing_does_not_hide_what_was_raised_before(make):
    served = []

    def assigned(_consumer, _partitions):
        raise RefusedError("the cause")

    def revoked(_consumer, partitions):
        served.append(partitions)
        raise RefusedError("its consequence")

    consumer = make(on_assign=assigned, on_revoke=revoked)
    with pytest.raises(RefusedError, match="the cause"):
        serve(consumer, "poll", lambda: False)
    consumer.close()
    assert served


def test_who_raises_nothing_notices_nothing(make):
    seen = []

    def assigned(consumer, partitions):
        for partition in partitions:
            partition.offset = OFFSET_END
        consumer.assign(partitions)
        seen.append(("assigned", len(partitions)))

    consumer = make(
        on_assign=assigned, on_revoke=lambda _, given: seen.append(("revoked", len(given)))
    )
    serve(consumer, "consume", lambda: seen)
    assert len(consumer.assignment()) == 2
    consumer.close()
    assert seen == [("assigned", 2), ("revoked", 2)]
