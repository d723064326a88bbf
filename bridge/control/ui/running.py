"""What a command that runs the pipeline itself tells the page: its phases, events and stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bridge.control.restarts import exit_text

if TYPE_CHECKING:
    from bridge.control.screen import Event, Screen
    from bridge.control.supervisor import Stage, Supervisor

_EVENTS = 40


class RunTeller:
    """Puts it together at each request.

    Args:
        screen: what the terminal shows; the changes of items on it are left out.
        events: the newest events of the run.
    """

    def __init__(
        self, screen: Callable[[], Screen], events: Callable[[int], tuple[Event, ...]]
    ) -> None:
        self._screen = screen
        self._events = events
        self.supervisor: Supervisor | None = None
        self.verdict: str | None = None
        self.clean = True
        self.ended = False

    def __call__(self) -> Mapping[str, Any]:
        """The run at this moment."""
        screen = self._screen()
        return {
            "title": screen.title,
            "elapsed_s": round(screen.elapsed_s, 1),
            "steps": [{"title": step.title, "state": step.state} for step in screen.steps],
            "events": [
                {"at_s": round(event.at_s, 1), "text": event.text, "tone": event.tone}
                for event in self._events(_EVENTS)
            ],
            "stages": [_stage(s) for s in self.supervisor.stages] if self.supervisor else [],
            "verdict": self.verdict,
            "clean": self.clean,
            "ended": self.ended,
        }


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.spec.name,
        "kind": stage.spec.kind,
        "state": stage.state,
        "pid": stage.pid,
        "restarts": stage.restarts,
        "trouble": _trouble(stage),
    }


def _trouble(stage: Stage) -> str:
    if stage.state != "down" or stage.child is None or stage.child.exit_code is None:
        return ""
    return f"it ended with {exit_text(stage.child.exit_code)} and is started again"
