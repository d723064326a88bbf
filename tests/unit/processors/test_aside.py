"""A flood of dead letters stops the processor with its cause; a few among many never do."""

import pytest

from bridge.wire.errors import TailraceError
from processors.aside import Aside
from processors.pipeline import Incoming
from processors.testing import Changes, Sent, TransformDriver
from tests.unit.processors.build import declare

MOST = 10


class Outbox:
    def __init__(self):
        self.letters = 0

    def produce(self, topic, value=None, key=None, headers=None):
        assert topic == "dlq"
        self.letters += 1


def feed(most, outcomes):
    """Read one message per outcome, False for a bad one; how many letters there were."""
    aside, outbox = Aside("mine", "dlq", most), Outbox()
    for offset, good in enumerate(outcomes):
        aside.read += 1
        if not good:
            message = Incoming("changes", 3, offset, b"k", b"v")
            aside.put(message, ValueError("the cause"), outbox)
    return outbox.letters


def test_one_more_than_allowed_stops_and_says_what_to_do():
    with pytest.raises(TailraceError) as stopped:
        feed(MOST, [True] * 5 + [False] * (MOST + 1))
    assert "11 of the last 16 changes" in stopped.value.what
    assert "changes partition 3 offset 5: ValueError: raised at" in stopped.value.what
    assert "the cause" not in str(stopped.value), "it may quote an item"
    assert "TAILRACE_DEAD_LETTERS_MAX" in stopped.value.remedy
    assert "dlq" in stopped.value.remedy


def test_as_many_as_allowed_do_not():
    assert feed(MOST, [False] * MOST) == MOST


def test_half_of_all_for_ever_does_not():
    assert feed(MOST, [False, True] * 500) == 500


def test_two_thirds_do_as_soon_as_there_are_enough():
    with pytest.raises(TailraceError, match="11 of the last 16"):
        feed(MOST, [False, False, True] * 500)


def test_only_the_last_ones_count():
    outcomes = ([False] * MOST + [True] * 2 * MOST) * 5
    assert feed(MOST, outcomes) == 5 * MOST


def test_none_is_too_many_where_that_is_wanted():
    assert feed(0, [False] * 5_000) == 5_000


def test_the_default_stops_a_transform_that_fits_nothing():
    transform = declare(lambda s: s.select("dynamodb.NewImage.id.S"), name="wrong")
    changes = Changes(key=["id"])
    with TransformDriver(transform) as driver:
        driver.send(changes.insert({"id": "1"}))
        driver.commit()
        with pytest.raises(TailraceError, match="1,001 of the last 1,002"):
            driver.send(*[Sent(b"k", b"junk")] * 2_000)
        assert driver.committed() == 1
