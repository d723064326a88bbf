"""Turns of the loop through the application as it is: cut by time, failed half way, rebalanced.

Only the two Kafka clients are not real; the log is read by position, so that what is given back is
read again, and what is not, is not.
"""

import itertools

import pytest
from confluent_kafka import TopicPartition

from bridge.wire.errors import UnknownVersionError
from processors import testing
from processors.quix import Application
from processors.testing import Changes, Sent, TransformDriver
from tests.unit.processors.build import declare

LINES = declare(
    lambda s: s.explode("dynamodb.NewImage.lines.L as line").select(
        "dynamodb.NewImage.orderId.S as order_id", "line.M.no.N as no"
    ),
    name="lines",
    key=["order_id", "no"],
)
TOPIC = "test.changes.orders"


class LogConsumer(testing._Consumer):
    """One partition, read from a position."""

    def __init__(self, log):
        super().__init__()
        self.log = [testing._Message(TOPIC, offset, sent) for offset, sent in enumerate(log)]
        self.position = self.asked = 0
        self.sought = []
        self.during = lambda: None

    def consume(self, num_messages, _timeout):
        self.asked += 1
        found = self.log[self.position : self.position + num_messages]
        self.position += len(found)
        self.during()
        return found

    def seek(self, partition):
        self.sought.append(partition.offset)
        self.position = partition.offset

    def assignment(self):
        return [TopicPartition(TOPIC, 0)]

    def get_watermark_offsets(self, _place, cached):
        return 0, len(self.log)


class Loop:
    """A driver whose application reads a log."""

    def __init__(self, log, folder=None):
        self.driver = TransformDriver(LINES, state_dir=folder)
        self.application = self.driver._application
        self.consumer = LogConsumer(log)
        self.consumer.committed = self.driver._consumer.committed
        self.application._consumer = self.consumer
        self.application._processing_context.consumer = self.consumer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.close()

    def turn(self):
        self.application._process_message(None)

    def offsets(self):
        return self.application._processing_context.checkpoint._tp_offsets

    def finish(self):
        while len(self.consumer.log) > self.application._next_offset(TOPIC, 0):
            self.turn()
        self.driver.commit()
        return self.driver.written


@pytest.fixture(autouse=True)
def no_look_at_idle_partitions(monkeypatch):
    monkeypatch.setattr(testing.ProcessorApplication, "_pass_markers", lambda _: None)


@pytest.fixture
def log():
    changes = Changes(key=["orderId"])
    items = [item(0, 1), item(0, 2), item(2), item(2, 3), item(1, 3)]
    sent = [changes.insert(items[0])]
    sent += [changes.modify(new, old) for old, new in itertools.pairwise(items)]
    return [*sent, changes.remove(items[-1])]


def item(*numbers):
    return {"orderId": "o-1", "lines": [{"no": number} for number in numbers]}


@pytest.fixture
def expected(log):
    with Loop(log) as loop:
        written = loop.finish()
        assert loop.consumer.asked == 1
    assert [row.row["_op"] for row in written].count("delete") == 5
    return written


def test_a_turn_whose_time_is_up_leaves_the_rest_of_its_batch_to_the_next(log, expected):
    with Loop(log) as loop:
        loop.application._turn_s = 0.0
        for done in range(1, len(log) + 1):
            loop.turn()
            assert loop.offsets() == {(TOPIC, 0): done - 1}
            loop.driver.commit()
            assert loop.driver.committed() == done
        assert loop.consumer.asked == 1  # while some wait, nobody comes or goes
        assert loop.finish() == expected


@pytest.mark.parametrize("bad", range(6))
def test_an_error_in_a_batch_leaves_nothing_of_it(log, expected, tmp_path, bad):
    """What was computed before it is computed again by whoever goes on."""
    broken = list(log)
    broken[bad] = Sent(log[bad].key, log[bad].value.replace(b'"v":1', b'"v":99'))
    with Loop(broken, tmp_path) as loop:
        with pytest.raises(UnknownVersionError):
            loop.turn()
        assert loop.offsets() == {}
        assert loop.driver.committed() == 0
        assert loop.application._next_offset(TOPIC, 0) == 0
    with Loop(log, tmp_path) as loop:
        assert loop.finish() == expected


def revoke(application):
    application._on_revoke(None, [TopicPartition(TOPIC, 0)])


def assign(application):
    application._assign_partitions([TopicPartition(TOPIC, 1)])


@pytest.mark.parametrize("event", [revoke, assign])
def test_a_batch_a_rebalance_ran_through_is_given_back_and_read_once(
    log, expected, monkeypatch, event
):
    for method in ("_on_revoke", "_assign_partitions"):
        monkeypatch.setattr(Application, method, lambda *_: None)
    with Loop(log) as loop:
        object.__setattr__(
            loop.application._settings, "place", lambda _topic, mine: dict.fromkeys(mine, 0)
        )
        loop.application._turn_s = 0.0
        loop.turn()
        loop.turn()
        assert loop.application._next_offset(TOPIC, 0) == 2
        event(loop.application)  # between two turns: what waited is dropped
        assert loop.application._batches.empty
        loop.consumer.position = 2  # where the client goes on after an assignment
        loop.consumer.during = lambda: event(loop.application)
        loop.turn()
        assert loop.consumer.sought == [2]
        assert loop.application._next_offset(TOPIC, 0) == 2
        loop.consumer.during = lambda: None
        assert loop.finish() == expected
