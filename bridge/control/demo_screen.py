"""What the demo shows: its phases, its four stations, and its verdict in a few lines."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.control.dev_screen import stage_box
from bridge.control.meter import Meter
from bridge.control.pipeline import Reading, Watch
from bridge.control.plan import Plan
from bridge.control.screen import Box, Journal, Screen, Step
from bridge.control.show import Clock
from bridge.control.view import SHOWN_CHANGES

if TYPE_CHECKING:
    from bridge.control.verdict import Verdict
    from bridge.control.workload import Writer


class Phase(enum.IntEnum):
    """The phases, in order."""

    PARTS = 0
    EXISTING = 1
    STARTING = 2
    LIVE = 3
    REPLAYING = 4
    DRAINING = 5
    VERIFYING = 6
    DONE = 7


_TITLES = {
    Phase.PARTS: "parts",
    Phase.EXISTING: "existing items",
    Phase.STARTING: "stages",
    Phase.LIVE: "live changes",
    Phase.REPLAYING: "replay",
    Phase.DRAINING: "drain",
    Phase.VERIFYING: "verify",
}


class DemoScreen:
    """Collects what is shown.

    Args:
        plan: names on the stations.
        clock: seconds into the run.
        live_s: length of the live phase.
    """

    def __init__(self, plan: Plan, clock: Clock, live_s: float) -> None:
        (self._feed,) = plan.feeds
        self._path = plan.path
        self._clock = clock
        self._live_s = live_s
        self._existing = 0
        self._written = Meter()
        self._back_announced = False
        self.phase = Phase.PARTS
        self.journal = Journal()
        self.watch: Watch | None = None
        self.writer: Writer | None = None
        self.live_since_s: float | None = None
        self.killed_at_s: float | None = None
        self._hint = "everything runs on this machine: no account, no Docker, no key"
        self.page_url: Callable[[], str | None] = lambda: None

    def add_existing(self, count: int) -> None:
        """So many existing items were put."""
        self._existing += count

    def verdict(self, verdict: Verdict) -> None:
        """Show the outcome in the last frame."""
        self._hint = verdict.line()

    def news(self) -> list[str]:
        """What is worth telling and was not told yet: the sink coming back."""
        if self.killed_at_s is None or self._back_announced or self.watch is None:
            return []
        sink = self.watch.reading("sink")
        if sink.restarts == 0 or sink.light != "running":
            return []
        self._back_announced = True
        gone_s = self._clock() - self.killed_at_s
        return [f"the sink is back after {gone_s:.1f} s and goes on where its table stands"]

    def screen(self) -> Screen:
        """The screen of this moment."""
        return Screen(
            title="demo: DynamoDB → Kafka → transform → Delta Lake",
            elapsed_s=self._clock(),
            steps=tuple(
                Step(
                    title,
                    "done" if phase < self.phase else "now" if phase == self.phase else "next",
                )
                for phase, title in _TITLES.items()
            ),
            boxes=self._boxes(),
            changes=self.writer.shown[-SHOWN_CHANGES:] if self.writer is not None else (),
            events=self.journal.last(SHOWN_CHANGES),
            progress=self._progress(),
            hint=self._hints(),
        )

    def _hints(self) -> str:
        url = self.page_url() if self.phase != Phase.DONE else None
        return f"watch it at {url} · {self._hint}" if url else self._hint

    def _progress(self) -> float:
        if self.phase != Phase.LIVE or self.live_since_s is None:
            return self.phase / Phase.DONE
        share = min(1.0, (self._clock() - self.live_since_s) / self._live_s)
        return (Phase.LIVE + share) / Phase.DONE

    def _boxes(self) -> tuple[Box, ...]:
        readings = {
            kind: self.watch.reading(kind) if self.watch is not None else Reading(kind)
            for kind in ("connector", "processor", "sink")
        }
        return (
            self._table_box(),
            stage_box("connector", "Streams to Kafka", "changes", readings["connector"]),
            stage_box("processor", f"@{self._feed.flow.transform}", "rows", readings["processor"]),
            stage_box("sink", f"Delta {self._feed.dataset.id}", "rows", readings["sink"]),
        )

    def _table_box(self) -> Box:
        changes = self.writer.changes if self.writer is not None else 0
        self._written.observe(self._clock(), self._existing + changes)
        return Box(
            title="DynamoDB",
            subtitle=f"table {self._feed.source.table_name}",
            light="off" if self.phase == Phase.PARTS else "running",
            count=self._existing + changes,
            unit="writes",
            rate=self._written.rate,
            history=self._written.history,
            note=f"{self._existing:,} before, {changes:,} live",
        )

    def summary(self, verdict: Verdict, lake: str, command: str) -> list[str]:
        """The result in lines, and three commands that work."""
        dataset = self._feed.dataset.id
        lines = ["", verdict.line()]
        lines += [f"  {line}" for line in verdict.details()]
        lines += ["", f"The table lies at {lake}/{dataset}. Try next:"]
        # Printed for a person, not run.
        by_status = f"select status, count(*) as orders from {dataset} group by status"  # noqa: S608
        coupons = f"select coupon_code, count(*) from {dataset} group by coupon_code limit 9"  # noqa: S608
        return [
            *lines,
            f'  {command} query --lake {lake} "{by_status}"',
            f'  {command} query --lake {lake} "{coupons}"',
            f"  {command} dev {self._path} --local-dynamodb",
        ]
