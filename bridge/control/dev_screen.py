"""What `dev` shows: the stages of a user's file. Never their items."""

from __future__ import annotations

from collections.abc import Callable

from bridge.control.pipeline import Reading, Watch
from bridge.control.plan import Plan
from bridge.control.screen import Box, Journal, Screen
from bridge.control.show import Clock
from bridge.control.view import SHOWN_CHANGES

HINT = "Ctrl-C stops everything"


class DevScreen:
    """Collects what is shown.

    Args:
        plan: names on the stations.
        clock: seconds into the run.
        lake: where the tables are.
    """

    def __init__(self, plan: Plan, clock: Clock, lake: str) -> None:
        self._plan = plan
        self._clock = clock
        self._lake = lake
        self.journal = Journal()
        self.watch: Watch | None = None
        self.hint = ""
        self.page_url: Callable[[], str | None] = lambda: None

    def screen(self) -> Screen:
        """The screen of this moment."""
        tables = ", ".join(source.table_name for source in self._plan.sources)
        datasets = ", ".join(feed.dataset.id for feed in self._plan.feeds)
        transforms = ", ".join(f"@{transform.name}" for transform in self._plan.transforms)
        readings = {
            kind: self.watch.reading(kind) if self.watch is not None else Reading(kind)
            for kind in ("connector", "processor", "sink")
        }
        return Screen(
            title=f"dev: {self._plan.path}",
            elapsed_s=self._clock(),
            steps=(),
            boxes=(
                stage_box("connector", f"table {tables}", "changes", readings["connector"]),
                stage_box("processor", transforms, "rows", readings["processor"]),
                stage_box("sink", f"Delta {datasets}", "rows", readings["sink"]),
            ),
            changes=(),
            events=self.journal.last(SHOWN_CHANGES),
            hint=" · ".join(
                text for text in (self.page_url(), self.hint, f"lake {self._lake}", HINT) if text
            ),
        )


def stage_box(title: str, subtitle: str, unit: str, reading: Reading) -> Box:
    """A stage as a station: its problem, or else what it has to say."""
    notes = []
    if reading.version is not None:
        notes.append(f"version {reading.version}")
    if reading.loading:
        notes.append("snapshot loading")
    if reading.dead_letters:
        notes.append(f"{reading.dead_letters:,} dead letters")
    return Box(
        title=title,
        subtitle=subtitle,
        light=reading.light,
        count=reading.count,
        unit=unit,
        rate=reading.rate,
        history=reading.history,
        lag_s=reading.lag_s,
        note=reading.problem or ", ".join(notes),
    )
