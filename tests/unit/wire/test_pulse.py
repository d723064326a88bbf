"""Silence is told from quiet by the answers that librdkafka counts."""

from __future__ import annotations

import json

from bridge.wire.pulse import SILENT_S, Pulse


def statistics(*answers: int) -> str:
    return json.dumps({"brokers": {f"b{i}": {"rx": count} for i, count in enumerate(answers)}})


def test_a_client_whose_answers_stop_is_in_trouble_until_the_next_one() -> None:
    now = [100.0]
    pulse = Pulse(lambda: now[0])
    pulse.observe(statistics(3, 4))
    now[0] += SILENT_S - 1
    assert pulse.problem is None
    pulse.observe(statistics(3, 4))  # statistics alone are no answer
    now[0] += 1
    assert pulse.problem == f"Kafka has not answered for {SILENT_S:.0f} s"
    pulse.observe(statistics(3, 5))
    assert pulse.problem is None


def test_a_client_that_was_made_anew_counts_from_nothing() -> None:
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    pulse.observe(statistics(50))
    now[0] += SILENT_S
    pulse.observe(statistics(1))
    assert pulse.problem is None


def test_a_client_that_knows_no_broker_is_heard_of_by_nobody() -> None:
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    now[0] += SILENT_S
    pulse.observe("{}")
    assert pulse.problem is not None
