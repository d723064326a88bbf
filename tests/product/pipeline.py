"""The three stages as separate processes, through the same entry point that containers run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.parts.process import Process

ROOT = Path(__file__).parents[2]
# What Kafka's clients say, over and over, while a broker is away.
_NOISE = ("kind=FAIL", "FAIL [", "brokers are down", "Connection refused")
STAGES = ("connector", "processor", "sink")


@dataclass
class Pipeline:
    """One transform file and what its stages need to know.

    Args:
        folder: logs, state and, by default, the lake.
        file: the transform file.
        environment: where Kafka, DynamoDB and the object store are.
        lake: base URI of the tables.
        own: further settings of one kind of stage.
    """

    folder: Path
    file: Path
    environment: dict[str, str]
    lake: str
    stages: dict[str, Process] = field(default_factory=dict)
    own: dict[str, dict[str, str]] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start stages, `connector`, `processor`, `sink` or `sink:2` for a second replica."""
        for name in names or STAGES:
            stage = self.stages.get(name) or self._stage(name)
            self.stages[name] = stage
            stage.start()

    def _stage(self, name: str, settings: Mapping[str, str] | None = None) -> Process:
        kind, _, replica = name.partition(":")
        own = {
            "TAILRACE_REPLICA": replica or "0",
            "TAILRACE_STATE_DIR": str(self.folder / f"state-{name}"),
            "PYTHONPATH": str(ROOT),
            **self.own.get(kind, {}),
            **(settings or {}),
        }
        command = [sys.executable, "-m", "bridge.control", "run", kind, str(self.file)]
        return Process(
            name,
            command,
            log=self.folder / f"{name.replace(':', '-')}.log",
            environment=self.environment | own,
        )

    def arm(self, name: str, failpoint: str) -> None:
        """The next start of this stage kills itself at the failpoint."""
        self.stages[name] = self._stage(name, {"TAILRACE_FAIL": failpoint})

    def disarm(self, name: str) -> None:
        """The next start of this stage is an ordinary one again."""
        self.stages[name] = self._stage(name)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.stages[name].kill()

    def restart_dead(self) -> None:
        """Start every stage that ended, as a supervisor would."""
        for stage in self.stages.values():
            if not stage.alive:
                stage.start()

    def pause_ms(self, duration_ms: int) -> None:
        """Let the stages work: random time before a random kill, never a synchronisation."""
        time.sleep(duration_ms / 1000)

    @property
    def state_folder(self) -> Path:
        """The processor's state directory."""
        return self.folder / "state-processor"

    def command(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `tailrace ARGUMENTS` as a person would."""
        return subprocess.run(
            [sys.executable, "-m", "bridge.control", *arguments],
            env=_merged(self.environment | {"PYTHONPATH": str(ROOT)}),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def verify(self) -> dict[str, Any]:
        """`tailrace verify FILE --json`: its report, with the exit code as `exit`."""
        result = self.command("verify", str(self.file), "--json")
        assert result.stdout.strip(), result.stderr + self.logs()
        report: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return report | {"exit": result.returncode}

    def logs(self) -> str:
        """The end of every stage's log, for a failing assertion; lost connections left out."""
        return "\n".join(
            f"--- {name} (exit code {stage.exit_code})\n{_without_noise(stage.log_tail(2000))}"
            for name, stage in self.stages.items()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for stage in self.stages.values():
            stage.kill()
        if error is not None:
            print(self.logs())


def _without_noise(log: str) -> str:
    lines = [line[:600] for line in log.splitlines() if not any(n in line for n in _NOISE)]
    return "\n".join(lines[-40:])


def _merged(environment: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **environment}
