"""The running pipeline as numbers: what each stage says of itself, put together for people.

Stages are asked over their `/metrics` and `/healthz`; a stage that was killed goes on counting
where it left off when it comes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bridge.control.meter import Meter
from bridge.control.scrape import Counted, Scrape, health, scrape
from bridge.control.supervisor import Kind, Stage, Supervisor

Light = Literal["off", "starting", "running", "troubled", "down"]
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """One stage, or several of one kind, at one moment.

    `count` is what it has passed on, `rate` that per second, `lag_s` how far it is behind,
    `problem` what its health says.
    """

    kind: Kind
    light: Light = "off"
    count: int = 0
    rate: float = 0.0
    history: tuple[float, ...] = ()
    lag_s: float | None = None
    problem: str | None = None
    restarts: int = 0
    version: int | None = None
    snapshot: int = 0
    dead_letters: int = 0
    loading: bool = False


_COUNTS = {
    "connector": ("tailrace_connector_changes_total", "tailrace_connector_snapshot_items_total"),
    "processor": ("tailrace_processor_rows_total",),
    "sink": ("tailrace_sink_rows_total",),
}
_LAGS = {
    "connector": "tailrace_connector_lag_seconds",
    "processor": "tailrace_processor_lag_seconds",
    "sink": "tailrace_sink_lag_seconds",
}


class StageGauge:
    """Follows one stage over its lives."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._counted: dict[str, Counted] = {}
        self._answered_port: int | None = None
        self.meter = Meter()
        self.reading = Reading(stage.spec.kind)

    def poll(self, now_s: float) -> None:
        """Ask the stage once."""
        stage, port = self._stage, self._stage.port
        found = scrape(port) if port is not None and stage.state == "running" else None
        if found is None:
            self.meter.observe(now_s, self.meter.count)
            self.reading = replace(
                self.reading,
                light=self._light(None, answered=False),
                rate=self.meter.rate,
                history=self.meter.history,
                restarts=stage.restarts,
            )
            return
        self._answered_port = port
        problem = health(port) if port is not None else None
        self.reading = self._read(found, now_s, problem)

    def _read(self, found: Scrape, now_s: float, problem: str | None) -> Reading:
        kind = self._stage.spec.kind
        total = sum(self._total(found, name) for name in _COUNTS[kind])
        self.meter.observe(now_s, total)
        version = found.largest("tailrace_sink_table_version")
        return Reading(
            kind,
            light=self._light(problem, answered=True),
            count=int(total),
            rate=self.meter.rate,
            history=self.meter.history,
            lag_s=found.largest(_LAGS[kind]),
            problem=problem,
            restarts=self._stage.restarts,
            version=self.reading.version if version is None else int(version),
            snapshot=int(self._total(found, "tailrace_connector_snapshot_items_total")),
            dead_letters=int(self._total(found, "tailrace_processor_dead_letters_total")),
            loading=bool(found.largest("tailrace_sink_loading")),
        )

    def _total(self, found: Scrape, name: str) -> float:
        return self._counted.setdefault(name, Counted()).observe(found.total(name))

    def _light(self, problem: str | None, *, answered: bool) -> Light:
        if self._stage.state in ("down", "stopped"):
            return "down" if self._stage.state == "down" else "off"
        if self._stage.state == "waiting":
            return "off"
        if not answered and self._answered_port != self._stage.port:
            return "starting"
        return "troubled" if problem or not answered else "running"


class Watch:
    """Polls every stage in the background.

    Args:
        supervisor: whose stages.
        clock: seconds, monotonic.
    """

    def __init__(self, supervisor: Supervisor, clock: Callable[[], float] = time.monotonic) -> None:
        self._gauges = [StageGauge(stage) for stage in supervisor.stages]
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin polling."""
        self._thread.start()

    def close(self) -> None:
        """End polling."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def reading(self, kind: Kind) -> Reading:
        """All stages of a kind as one."""
        return combine(kind, [g.reading for g in self._gauges if g.reading.kind == kind])

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            for gauge in self._gauges:
                gauge.poll(self._clock())


_WORST: tuple[Light, ...] = ("down", "troubled", "starting", "running", "off")


def combine(kind: Kind, readings: Sequence[Reading]) -> Reading:
    """Several stages of one kind as one: counts add up, the worst light and lag show."""
    if not readings:
        return Reading(kind)
    lags = [r.lag_s for r in readings if r.lag_s is not None]
    versions = [r.version for r in readings if r.version is not None]
    histories = [r.history for r in readings if r.history]
    return Reading(
        kind,
        light=min((r.light for r in readings), key=_WORST.index),
        count=sum(r.count for r in readings),
        rate=sum(r.rate for r in readings),
        history=tuple(map(sum, zip(*histories, strict=True))) if histories else (),
        lag_s=max(lags, default=None),
        problem=next((r.problem for r in readings if r.problem), None),
        restarts=sum(r.restarts for r in readings),
        version=max(versions, default=None),
        snapshot=sum(r.snapshot for r in readings),
        dead_letters=sum(r.dead_letters for r in readings),
        loading=any(r.loading for r in readings),
    )
