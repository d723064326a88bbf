"""Looking again and again: what hangs is given company, and a late answer is taken once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.control.ui import sampling
from bridge.control.ui.board import Board
from bridge.control.ui.sampling import Sampler
from bridge.wire.kafka import KafkaConfig
from tests.parts.waiting import wait_until
from tests.unit.control.status.facts import NOW_S, well


class Source:
    """What collects: the first one hangs until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.opened = 0
        self.left = 0
        self.most = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self, _settings: Any, _targets: Any) -> Iterator[Any]:
        with self._lock:
            self.opened += 1
            self.most = max(self.most, self.opened - self.left)
            first = self.opened == 1

        def collect() -> Any:
            if first:
                self.let_go.wait(20)
            return well(at_s=NOW_S - 100 if first else NOW_S)

        yield SimpleNamespace(collect=collect)
        with self._lock:
            self.left += 1


def test_a_look_that_hangs_is_given_company(monkeypatch: pytest.MonkeyPatch) -> None:
    source, board = Source(), Board("the parts to start")
    monkeypatch.setattr("bridge.control.status.command.collector", source)
    for name, value in (("_HANGS_S", 0.3), ("_AGAIN_S", 0.005), ("LOOK_S", 0.01)):
        monkeypatch.setattr(sampling, name, value)
    settings: Any = SimpleNamespace(kafka_config=lambda: KafkaConfig(brokers="b:1"), lake=None)
    sampler = Sampler(board, settings, ["orders.py"])
    sampler.start()
    try:
        wait_until(lambda: board.datasets() == ["out"], timeout_s=10, what="the second look")
        source.let_go.set()
        wait_until(
            lambda: source.opened - source.left <= 1, timeout_s=10, what="the first to leave"
        )
        state = board.state(None, 0)
    finally:
        sampler.close()

    assert state["status"]["at_s"] == NOW_S  # not what the first one saw, which is older
    assert source.most <= sampling._LOOKERS
