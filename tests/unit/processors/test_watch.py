"""Who was cut off is told from who stood still, and a stop reaches a loop that begins late."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from bridge.wire.errors import BrokerUnreachableError, FencedError, GapError
from bridge.wire.kafka import SESSION_TIMEOUT_MS
from processors.explained import explained
from processors.service import Processor
from processors.watch import Watch
from tests.parts.waiting import wait_until

SESSION_S = SESSION_TIMEOUT_MS / 1000


def application(silent_s: float) -> Any:
    asked: list[str] = []
    stop = lambda: asked.append("stop")  # noqa: E731
    return SimpleNamespace(pulse=SimpleNamespace(silent_s=silent_s), stop=stop, asked=asked)


# An answer that came just before the silence is seen up to two seconds later.
@pytest.mark.parametrize(
    ("silent_s", "cut_off"), [(SESSION_S, True), (SESSION_S - 2, True), (SESSION_S - 3, False)]
)
def test_silence_of_a_sessions_length_means_cut_off(silent_s: float, cut_off: bool) -> None:
    watched = application(silent_s)
    with Watch(watched, threading.Event()) as watch:
        wait_until(lambda: watch._silent_s == silent_s, timeout_s=5, what="a look at the pulse")
    assert watch.cut_off is cut_off


def test_a_process_that_stood_still_does_not_know_who_took_over() -> None:
    watch = Watch(application(SESSION_S), threading.Event())
    watch._silent_s, watch._late_s = SESSION_S * 2, SESSION_S
    assert not watch.cut_off


def test_a_stop_is_said_until_the_loop_is_over() -> None:
    stop, watched = threading.Event(), application(0.0)
    with Watch(watched, stop):
        stop.set()
        wait_until(lambda: len(watched.asked) > 1, timeout_s=5, what="it to be asked again")


def lives(
    monkeypatch: pytest.MonkeyPatch, *ends: Exception | None, cut_off: bool, stopped: bool = False
) -> list[object]:
    """Run a processor whose attempts end like this; the attempts that were made."""
    processor = Processor.__new__(Processor)
    processor._cut_off, processor._application = cut_off, None
    processor._progress = SimpleNamespace(enter=lambda *_: None)  # type: ignore[assignment]
    made: list[object] = []

    def attempt(_stop: object) -> None:
        end = ends[len(made)]
        made.append(end)
        if end is not None:
            raise end

    monkeypatch.setattr("processors.service._AGAIN_FIRST_S", 0.0)
    monkeypatch.setattr(processor, "_run_once", attempt)
    stop = threading.Event()
    if stopped:
        stop.set()
    processor.run(stop)
    return made


def test_who_was_cut_off_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = (FencedError("gone"), BrokerUnreachableError("not yet"), None)
    assert len(lives(monkeypatch, *ends, cut_off=True)) == 3


@pytest.mark.parametrize(
    ("error", "cut_off"), [(FencedError("another"), False), (GapError("a GAP"), True)]
)
def test_others_end_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, error: Exception, cut_off: bool
) -> None:
    with pytest.raises(type(error)):
        lives(monkeypatch, error, None, cut_off=cut_off)


def test_partitions_that_come_while_it_closes_are_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(BrokerUnreachableError) as caught, explained("here", "no remedy"):
        raise KafkaException(KafkaError(KafkaError._DESTROY))
    with pytest.raises(BrokerUnreachableError):
        lives(monkeypatch, caught.value, None, cut_off=False)
    assert lives(monkeypatch, caught.value, cut_off=False, stopped=True) == [caught.value]
