"""The page of a command that runs the pipeline itself: from its first second to its last word.

Without the extra `ui`, or where no port can be had, the command goes on without it and says so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.control.logs import Redactor
from bridge.control.restarts import exit_text
from bridge.wire.errors import TailraceError

if TYPE_CHECKING:
    from bridge.control.screen import Journal, Screen
    from bridge.control.settings import Settings
    from bridge.control.supervisor import Stage, Supervisor
    from bridge.control.ui.board import Board
    from bridge.control.ui.sampling import Sampler

_EVENTS = 40
# A page that is open asks every other second.
_OPEN_S = 4.0
_FAREWELL_S = 3.0


class RunPage:
    """For a `with`: serves the page, and ends with it.

    Args:
        settings: whose secrets are kept off the page.
        screen: what the terminal shows; the changes of items on it are left out.
        journal: of the run.
        report: told where the page is.
    """

    def __init__(
        self,
        settings: Settings,
        screen: Callable[[], Screen],
        journal: Journal,
        report: Callable[[str], None],
    ) -> None:
        self._clean = Redactor(settings.secrets).clean
        self._screen = screen
        self._journal = journal
        self._report = report
        self._board: Board | None = None
        self._sampler: Sampler | None = None
        self._open = contextlib.ExitStack()
        self._end: Mapping[str, Any] = {"verdict": None, "clean": True, "ended": False}
        self.supervisor: Supervisor | None = None
        self.url: str | None = None

    def __enter__(self) -> RunPage:
        from bridge.control.ui.board import Board
        from bridge.control.ui.server import PageServer

        board = Board("the parts to start", self._clean)
        board.run = self._run
        try:
            server = self._open.enter_context(PageServer(board, fallback=True))
        except TailraceError as error:
            self._report(f"no page: {error}")
            return self
        self._board, self.url = board, server.url
        self._report(f"page at {server.url}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._sampler is not None:
            self._sampler.close()
        self._open.close()

    def watch(self, settings: Settings, targets: Sequence[str]) -> None:
        """Begin to look at the pipeline, now that there is a broker."""
        if self._board is not None:
            from bridge.control.ui.sampling import Sampler

            self._sampler = Sampler(self._board, settings, targets)
            self._sampler.start()

    def farewell(self, verdict: str, *, clean: bool) -> None:
        """Say the outcome, and let a page that is open hear it; the state stays as it is now."""
        if self._sampler is not None:
            self._sampler.stop()
        self._end = {"verdict": verdict, "clean": clean, "ended": True}
        board = self._board
        if board is None or time.monotonic() - board.asked_at_s > _OPEN_S:
            return
        said_at_s = time.monotonic()
        while board.asked_at_s < said_at_s and time.monotonic() < said_at_s + _FAREWELL_S:
            time.sleep(0.05)
        time.sleep(0.1)  # the answer is on its way

    def _run(self) -> Mapping[str, Any]:
        """The run at this moment."""
        screen = self._screen()
        events = self._journal.last(_EVENTS)
        stages = self.supervisor.stages if self.supervisor is not None else ()
        return {
            "title": screen.title,
            "elapsed_s": round(screen.elapsed_s, 1),
            "steps": [{"title": step.title, "state": step.state} for step in screen.steps],
            "events": [
                {"at_s": round(e.at_s, 1), "text": self._clean(e.text), "tone": e.tone}
                for e in events
            ],
            "stages": [_stage(stage) for stage in stages],
            **self._end,
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
    child = stage.child
    if child is None or child.exit_code is None or stage.state in ("stopped", "waiting"):
        return ""
    return f"it ended with {exit_text(child.exit_code)} and is started again"
