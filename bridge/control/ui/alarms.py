"""What is wrong, worst first, and what to do about it: from a status and what was seen beside it.

Pure. A process that reports nothing any more is taken for stopped after a while; who could be asked
directly before and refuses now shows at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bridge.control.status.model import Status, Worker

Level = Literal["bad", "warn"]
_BAD = frozenset({"GAP", "stopped", "stalled"})
# Two of its reports are missing.
_QUIET_S = 12.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong: of what, in which state, why, and the next command to type."""

    level: Level
    what: str
    state: str
    reason: str = ""
    command: str = ""


def alarms(
    status: Status,
    refusing: Mapping[str, float] = {},  # noqa: B006 (never changed)
    stages: Iterable[Mapping[str, str]] = (),
) -> list[Alarm]:
    """Everything that is wrong.

    Args:
        status: of the pipeline.
        refusing: by `host:port` of a process that answered before: for how many seconds it has not.
        stages: `name` and `trouble` of processes of our own that are not running.
    """
    found = [Alarm("bad", stage["name"], "down", stage["trouble"]) for stage in stages]
    named = {
        **{f"table {each.table}": each.verdict for each in status.tables},
        **{f"dataset {each.dataset}": each.verdict for each in status.datasets},
    }
    for what, verdict in named.items():
        if not verdict.healthy:
            level: Level = "bad" if verdict.state in _BAD else "warn"
            found.append(Alarm(level, what, verdict.state, verdict.reason, verdict.command))
    told = {(alarm.state, alarm.reason) for alarm in found}
    workers = (_worker(worker, refusing) for worker in status.workers)
    found += [alarm for alarm in workers if alarm and (alarm.state, alarm.reason) not in told]
    found += _letters(status)
    return sorted(found, key=lambda alarm: alarm.level)


def _worker(worker: Worker, refusing: Mapping[str, float]) -> Alarm | None:
    name = f"{worker.stage} {worker.name} ({worker.host} pid {worker.pid})"
    if not worker.verdict.healthy:
        state = worker.verdict.state
        level: Level = "bad" if state in _BAD else "warn"
        return Alarm(level, name, state, worker.verdict.reason, worker.verdict.command)
    gone_s = refusing.get(worker.metrics or "")
    if gone_s is not None:
        return Alarm("bad", name, "no answer", f"{worker.metrics} refused for {gone_s:.0f} s")
    if worker.heard_s > _QUIET_S:
        return Alarm("warn", name, "quiet", f"no report for {worker.heard_s:.0f} s")
    return None


def _letters(status: Status) -> list[Alarm]:
    owners = {each.transform: each.dead_letters for each in status.datasets}
    owners["connector"] = max((each.dead_letters for each in status.tables), default=0)
    return [
        Alarm(
            "warn",
            owner,
            "dead letters",
            f"{count:,} changes are set aside, kept whole",
            f"tailrace dlq ls {owner}",
        )
        for owner, count in owners.items()
        if count
    ]
