"""`tailrace up FILE…`: all stages of the files on this machine, against real parts, unattended.

One connector and one sink for all files, one processor per transform. A stage that crashes is
started again for as long as it takes; one whose configuration can't work ends the run with its line
and exit code, after the others have finished their work in hand.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.control.folder import held
from bridge.control.plan import Plan, load_plan, split_target
from bridge.control.restarts import EXIT_CONFIGURATION
from bridge.control.show import write_line
from bridge.control.supervisor import StageFailedError, StageSpec, Supervisor
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.settings import Settings

LOG_BYTES_MAX = 32 * 1024 * 1024
_TICK_S = 0.2
_LOGS_EVERY_S = 10.0


def run_up(settings: Settings, targets: Sequence[str], *, folder: Path) -> None:
    """Run until told to stop; then every stage hands over within 25 s, or is killed.

    Raises:
        ConfigurationError: brokers or lake are not set, a file can't be loaded, or another run
            holds the folder; or a stage's configuration can't work.
    """
    from bridge.control.cli import Interrupted

    settings.kafka_config()
    settings.lake_uri()
    with held(folder) as place, contextlib.suppress(Interrupted):
        target = one_target(targets, place / "transforms")
        specs = stage_specs(load_plan(target), target, settings.metrics_port)
        supervisor = Supervisor(specs, place / "logs", _say, failures_max=None)
        try:
            supervisor.start()
            for stage in supervisor.stages:
                _say(f"{stage.spec.name} started, metrics on port {stage.port}, log {stage.log}")
            _look_after(supervisor)
        except StageFailedError as error:
            if error.stage_exit_code != EXIT_CONFIGURATION:
                raise
            raise ConfigurationError(error.what, where=error.where, remedy=error.remedy) from None
        finally:
            supervisor.stop()
    write_line("stopped")


def one_target(targets: Sequence[str], links: Path) -> str:
    """What connector and sink read: the one target, or a folder of links to several files.

    Raises:
        ConfigurationError: one of several is not a whole file.
    """
    if len(targets) == 1:
        return targets[0]
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir(parents=True)
    for number, target in enumerate(targets, 1):
        path, name = split_target(target)
        if name is not None or not path.is_file() or path.suffix != ".py":
            raise ConfigurationError(
                "is not a Python file" if name is None else "names one transform of its file",
                where=target,
                remedy="Of several, name whole files; or one file or folder alone",
            )
        # A number before it: files of one name in two folders are two files.
        (links / f"{number:03}_{path.name}").symlink_to(path.resolve())
    return str(links)


def stage_specs(plan: Plan, target: str, first_port: int) -> list[StageSpec]:
    """The processes: connector, a processor per transform, sink.

    Args:
        plan: of the target.
        target: as connector and sink are given it.
        first_port: of the connector's metrics; the others take the next ones. 0: any free port.
    """
    path, _ = split_target(target)
    named = [("connector", "connector", target)]
    named += [("processor", f"processor-{t.name}", f"{path}:{t.name}") for t in plan.transforms]
    named += [("sink", "sink", target)]
    return [
        StageSpec(
            kind=kind,  # type: ignore[arg-type]
            name=name,
            target=of,
            port=first_port + number if first_port else None,
        )
        for number, (kind, name, of) in enumerate(named)
    ]


def _look_after(supervisor: Supervisor) -> None:
    look_at_s = time.monotonic()
    while True:
        supervisor.tick()
        if time.monotonic() >= look_at_s:
            look_at_s = time.monotonic() + _LOGS_EVERY_S
            for stage in supervisor.stages:
                put_aside(stage.log)
        time.sleep(_TICK_S)


def put_aside(log: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Copy a log that has grown long to `.1` and begin it anew: its writer appends to it."""
    with contextlib.suppress(OSError):  # a full disk ends no stage
        if log.stat().st_size > bytes_max:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            with log.open("r+b") as begun:
                begun.truncate(0)


def _say(text: str) -> None:
    write_line(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}")
