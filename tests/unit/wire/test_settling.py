"""Who asks about a topic that was just made is patient."""

import itertools

import pytest
from confluent_kafka import KafkaError, KafkaException

from bridge.wire import kafka
from bridge.wire.errors import BrokerUnreachableError


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second whenever it is looked at."""
    seconds = itertools.count()
    monkeypatch.setattr(kafka.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(kafka.time, "sleep", lambda _: None)


def asked(codes):
    """Fails with each code in turn, then answers; counts how often it was asked."""
    count = itertools.count(1)
    left = iter(codes)

    def ask():
        asked.times = next(count)
        code = next(left, None)
        if code is not None:
            raise KafkaException(KafkaError(code))
        return "settled"

    return ask


@pytest.mark.parametrize(
    ("code", "times"),
    [
        (KafkaError.NOT_LEADER_FOR_PARTITION, 30),
        (KafkaError.LEADER_NOT_AVAILABLE, 30),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, 10),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, 0),
    ],
)
def test_a_known_topic_is_waited_for_thrice_as_long(clock, code, times):
    if times:
        assert kafka._settled(asked([code] * times), "here", 10.0) == "settled"
    with pytest.raises(BrokerUnreachableError, match="here"):
        kafka._settled(asked([code] * (times + 1)), "here", 10.0)
    assert asked.times == times + 1
