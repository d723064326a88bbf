"""Runs the stages as separate processes, through the same entry points that containers use.

A stage that crashes is started again with backoff; one whose configuration can't work, or that
keeps failing, stops the whole run with its own last line. Nothing runs in a thread: the owner calls
`tick` a few times a second, from the thread the children are tethered to.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bridge.control import settings
from bridge.control.ports import free_port
from bridge.control.process import Child, stop_all
from bridge.control.restarts import FAILURES_MAX, Again, GiveUp, Record, after_end, exit_text
from bridge.wire.errors import TailraceError

logger = logging.getLogger(__name__)

Kind = Literal["connector", "processor", "sink"]
State = Literal["waiting", "running", "down", "stopped"]
STOP_TIMEOUT_S = 25.0
_LINE_CHARS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One process: its kind, its name among the stages, its transform file and settings.

    `port` is of its metrics; None takes a free one at every start.
    """

    kind: Kind
    name: str
    target: str
    settings: Mapping[str, object] = field(default_factory=dict)
    command: Sequence[str] = ()
    port: int | None = None

    def command_line(self) -> list[str]:
        """What is started; `command` replaces the entry point in tests."""
        entry = self.command or (sys.executable, "-m", "bridge.control")
        return [*entry, "run", self.kind, self.target]


class Stage:
    """A stage under supervision."""

    def __init__(
        self, spec: StageSpec, folder: Path, failures_max: int | None = FAILURES_MAX
    ) -> None:
        self.spec = spec
        self._failures_max = failures_max
        self.log = folder / f"{spec.name}.log"
        self.port: int | None = None
        self.restarts = 0
        self.state: State = "waiting"
        self.redeploying = False
        self._child: Child | None = None
        self._record = Record()
        self._started_at_s = 0.0
        self._due_at_s = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child is not None and self.state == "running" else None

    @property
    def child(self) -> Child | None:
        """The process of now, or the last one."""
        return self._child

    def start(self, now_s: float) -> None:
        """Start the process, on a new metrics port unless it has one of its own."""
        own = self.spec.port is not None
        self.port = free_port() if self.spec.port is None else self.spec.port
        host = {} if own else {"metrics_host": "127.0.0.1"}
        changed = {**self.spec.settings, "metrics_port": self.port, **host}
        self._child = Child(
            self.spec.name,
            self.spec.command_line(),
            log=self.log,
            environment=settings.environment(changed),
        )
        self.state = "running"
        self._started_at_s = now_s

    def redeploy(self, spec: StageSpec) -> None:
        """Let it finish its work in hand; then `tick` starts it again as `spec` has it."""
        self.spec = spec
        self.redeploying = True
        if self._child is not None:
            self._child.terminate()

    def tick(self, now_s: float, report: Callable[[str], None]) -> None:
        """Notice its end, start it again when due.

        Raises:
            TailraceError: it should not be started again.
        """
        if self.state == "down" and now_s >= self._due_at_s:
            self.start(now_s)
            self.restarts += 1
            report(f"{self.spec.name} is started again")
        if self.state != "running" or self._child is None:
            return
        code = self._child.exit_code
        if code is not None:
            self._ended(code, now_s, report)

    def _ended(self, code: int, now_s: float, report: Callable[[str], None]) -> None:
        if self.redeploying:
            self.redeploying = False
            self.start(now_s)
            report(f"{self.spec.name} is redeployed")
            return
        self.state = "down"
        last = self._child.last_line() if self._child is not None else ""
        ran_s = now_s - self._started_at_s
        match after_end(self._record, code, ran_s, self._failures_max):
            case Again(record, delay_s):
                self._record = record
                self._due_at_s = now_s + delay_s
                cause = f": {last[:_LINE_CHARS_MAX]}" if last and code > 0 else ""
                report(f"{self.spec.name} ended with {exit_text(code)}{cause}")
            case GiveUp(reason):
                self.state = "stopped"
                raise StageFailedError(self.spec.name, reason, last, self.log, code)


class StageFailedError(TailraceError):
    """A stage can't run; its own last line says why."""

    def __init__(self, stage: str, reason: str, last: str, log: Path, code: int) -> None:
        said = last.removeprefix("tailrace: ")[:_LINE_CHARS_MAX] or exit_text(code)
        super().__init__(f"{reason}: {said}", where=stage, remedy=f"Its log is {log}")
        self.stage_exit_code = code


class Supervisor:
    """All stages of a run.

    Args:
        specs: what to run.
        folder: where the logs go.
        report: told about every start and end, one line each.
        clock: seconds, monotonic.
        failures_max: so many failures of a stage in a row end the run; None: none do.
    """

    def __init__(
        self,
        specs: Sequence[StageSpec],
        folder: Path,
        report: Callable[[str], None] = lambda _line: None,
        clock: Callable[[], float] = time.monotonic,
        failures_max: int | None = FAILURES_MAX,
    ) -> None:
        self.stages = [Stage(spec, folder, failures_max) for spec in specs]
        self._report = report
        self._clock = clock

    def start(self) -> None:
        """Start all stages."""
        for stage in self.stages:
            stage.start(self._clock())

    def tick(self) -> None:
        """Look after every stage; call it a few times a second.

        Raises:
            StageFailedError: one should not be started again.
        """
        now_s = self._clock()
        for stage in self.stages:
            stage.tick(now_s, self._report)

    def of_kind(self, kind: Kind) -> list[Stage]:
        """The stages of one kind."""
        return [stage for stage in self.stages if stage.spec.kind == kind]

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Every stage finishes its work in hand; who does not within `timeout_s` is killed."""
        children = [stage.child for stage in self.stages if stage.child is not None]
        for stage in self.stages:
            stage.state = "stopped"
        stop_all(children, timeout_s)
