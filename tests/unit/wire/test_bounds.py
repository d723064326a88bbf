"""Bounds of a log whose leader is not settled yet: asked again, but not for ever."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ClusterMetadata, PartitionMetadata, TopicMetadata

from bridge.wire import kafka
from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.kafka import KafkaConfig, LogBounds, log_bounds, written_bounds


class Admin:
    """Answers each request about offsets with the next of `answers`, the last one for ever.

    `leaders` are those of the topic's partitions, asked for before.
    """

    def __init__(
        self, *answers: int | KafkaException, leaders: tuple[int, ...] | KafkaException = (1,)
    ) -> None:
        self._answers = list(answers)
        self._leaders = leaders
        self.asked = self.listed = 0

    def list_topics(self, topic: str, *, timeout: float) -> ClusterMetadata:
        assert timeout > 0
        self.listed += 1
        found, cluster = TopicMetadata(), ClusterMetadata()
        cluster.topics = {topic: found}
        if isinstance(self._leaders, KafkaException):
            found.error = self._leaders.args[0]
            return cluster
        for number, leader in enumerate(self._leaders):
            found.partitions[number] = partition = PartitionMetadata()
            partition.leader = leader
        return cluster

    def list_offsets(self, places: dict[TopicPartition, Any], **_: Any) -> dict[Any, Future[Any]]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        future: Future[Any] = Future()
        if isinstance(answer, KafkaException):
            future.set_exception(answer)
        else:
            future.set_result(TopicPartition("t", 0, answer))
        return dict.fromkeys(places, future)


def failing(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


def test_broker_that_is_not_the_leader_yet_is_asked_again() -> None:
    unsettled = failing(KafkaError.NOT_LEADER_FOR_PARTITION)
    client = Admin(unsettled, 3, unsettled, 9)
    assert written_bounds(client, "t", [0]) == {0: LogBounds(3, 9)}


def test_topic_that_stays_absent_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "SETTLE_TIMEOUT_S", 0.15)
    client = Admin(failing(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(BrokerUnreachableError, match="t: "):
        written_bounds(client, "t", [0])
    assert client.asked > 1


def test_other_failures_are_told_at_once() -> None:
    client = Admin(failing(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(BrokerUnreachableError):
        written_bounds(client, "t", [0])
    assert client.asked == 1


@pytest.mark.parametrize("leaders", [(-1,), (), failing(KafkaError.UNKNOWN_TOPIC_OR_PART)], ids=str)
def test_no_leader_is_asked_for_offsets_before_all_are_known(
    monkeypatch: pytest.MonkeyPatch, leaders: tuple[int, ...] | KafkaException
) -> None:
    monkeypatch.setattr(kafka, "SETTLE_TIMEOUT_S", 0.15)
    client = Admin(3, leaders=leaders)
    with pytest.raises(BrokerUnreachableError, match="t: "):
        written_bounds(client, "t", [0])
    assert client.asked == 0
    assert client.listed > 1


def test_asking_makes_no_topic() -> None:
    assert KafkaConfig(brokers="b:9092").admin()["allow.auto.create.topics"] is False


class Watermarks:
    """A consumer that answers each question about a log's bounds with the next of `answers`."""

    def __init__(self, *answers: tuple[int, int] | KafkaException | None) -> None:
        self._answers = list(answers)

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int] | None:
        answer = self._answers.pop(0)
        if isinstance(answer, KafkaException):
            raise answer
        return answer


def test_consumer_asks_again_while_a_new_topic_has_no_leader() -> None:
    consumer = Watermarks(
        failing(KafkaError.NOT_LEADER_FOR_PARTITION),
        failing(KafkaError.UNKNOWN_TOPIC_OR_PART),
        failing(KafkaError.FENCED_LEADER_EPOCH),
        failing(KafkaError._NOENT),
        (3, 9),
    )
    assert log_bounds(consumer, "t", 0) == LogBounds(3, 9)


def test_consumer_does_not_ask_again_for_ever() -> None:
    unsettled = failing(KafkaError.LEADER_NOT_AVAILABLE)
    with pytest.raises(BrokerUnreachableError, match="t partition 4"):
        log_bounds(Watermarks(*[unsettled] * 100), "t", 4, timeout_s=0.15)


@pytest.mark.parametrize("answer", [None, failing(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
def test_consumer_tells_other_failures_at_once(answer: KafkaException | None) -> None:
    with pytest.raises(BrokerUnreachableError, match="t partition 0"):
        log_bounds(Watermarks(answer), "t", 0)
