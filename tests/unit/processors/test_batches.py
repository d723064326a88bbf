"""Batches: bounded by bytes, cut by time, given back where a rebalance ran through them."""

from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaError, TopicPartition

from processors.batches import BYTES_WANTED, MESSAGES_MAX, Batches
from processors.quix import KafkaConsumerException


@dataclass
class Message:
    at: int
    where: tuple[str, int] = ("data", 0)
    size: int = 100
    problem: KafkaError | None = None

    def topic(self):
        return self.where[0]

    def partition(self):
        return self.where[1]

    def offset(self):
        return self.at

    def error(self):
        return self.problem

    def __len__(self):
        return self.size


@dataclass
class Consumer:
    answers: list
    mine: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    sought: list = field(default_factory=list)
    during: object = None

    def consume(self, count, _timeout):
        self.asked.append(count)
        if self.during is not None:
            self.during()
        return self.answers.pop(0)

    def assignment(self):
        return [TopicPartition(*place) for place in self.mine]

    def seek(self, place):
        self.sought.append((place.topic, place.partition, place.offset))


def made(consumer, expected=lambda _topic, _partition: 0):
    return Batches(lambda: consumer, expected, 0.05)


def offsets(messages):
    return [message.at for message in messages]


def test_runs_of_one_partition_keep_their_order():
    other = ("data", 1)
    batches = made(Consumer([[Message(1), Message(7, other), Message(2), Message(8, other)]]))
    batches.collect()
    topic, partition, run = batches.next_run()
    assert (topic, partition, offsets(run)) == ("data", 0, [1, 2])
    batches.done("data", 0, 2)
    assert offsets(batches.next_run()[2]) == [7, 8]
    batches.done("data", 1, 2)
    assert batches.empty


def test_what_a_turn_leaves_waits_for_the_next():
    batches = made(Consumer([[Message(n) for n in range(5)]]))
    batches.collect()
    batches.done("data", 0, 2)
    assert offsets(batches.next_run()[2]) == [2, 3, 4]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [(100, MESSAGES_MAX), (1024 * 1024, BYTES_WANTED // 1024**2), (50_000_000, 1)],
)
def test_the_next_batch_is_as_long_as_its_bytes_allow(size, wanted):
    consumer = Consumer([[Message(0, size=size)], []])
    batches = made(consumer)
    batches.collect()
    batches.done("data", 0, 1)
    batches.collect()
    assert consumer.asked == [MESSAGES_MAX, wanted]


def test_a_batch_that_a_rebalance_ran_through_is_read_again_where_it_is_ours():
    """Some of it may belong to another, or has to wait until state is recovered."""
    consumer = Consumer(
        [[Message(5), Message(6), Message(9, ("data", 1))]], mine=[("data", 0), ("data", 2)]
    )
    batches = made(consumer, lambda _topic, partition: {0: 5}[partition])
    consumer.during = batches.rebalanced
    batches.collect()
    assert batches.empty
    assert consumer.sought == [("data", 0, 5)]


def test_a_rebalance_drops_what_waits():
    batches = made(Consumer([[Message(1)]]))
    batches.collect()
    batches.rebalanced()
    assert batches.empty


def test_what_was_processed_already_is_passed_over():
    batches = made(Consumer([[Message(3), Message(4), Message(5)]]), lambda *_: 5)
    batches.collect()
    assert offsets(batches.next_run()[2]) == [5]


def test_an_error_of_the_client_is_raised():
    problem = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    batches = made(Consumer([[Message(1), Message(2, problem=problem)]]))
    with pytest.raises(KafkaConsumerException):
        batches.collect()
    assert batches.empty
