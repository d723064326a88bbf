"""What is wrong, worst first, and what to do about it: from a status and what was seen beside it.

Pure. A process that reports nothing any more is taken for stopped after a while; who could be asked
directly before and refuses now shows at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from bridge.control.ui.probing import address_of

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
    refusing: Mapping[str, float] = {},
    stages: Iterable[Mapping[str, Any]] = (),
) -> list[Alarm]:
    """Everything that is wrong.

    Args:
        status: of the pipeline.
        refusing: by `host:port` of a process that answered before: for how many seconds it has not.
        stages: `name` and `trouble` of processes of our own; those without trouble are passed over.
    """
    found = [
        Alarm("bad", stage["name"], "down", stage["trouble"])
        for stage in stages
        if stage["trouble"]
    ]
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


def starting(status: Status, stages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Processes of our own that run and have not reported yet."""
    heard = {worker.pid for worker in status.workers}
    return [each["name"] for each in stages if each["pid"] is not None and each["pid"] not in heard]


def without_replaced(status: Status, stages: Iterable[Mapping[str, Any]], here: str) -> Status:
    """The status without processes of this machine that one of our own runs in place of."""
    alive = [each for each in stages if each["pid"] is not None]
    kinds, pids = {each["kind"] for each in alive}, {each["pid"] for each in alive}
    kept = (w for w in status.workers if w.host != here or w.stage not in kinds or w.pid in pids)
    return replace(status, workers=tuple(kept))


def while_starting(status: Status, names: Sequence[str]) -> Status:
    """The status of a pipeline whose processes are on their way: stopped is not what it is."""
    from bridge.control.status.model import Verdict

    waits = Verdict("waiting", f"starting: {', '.join(names)}")

    def seen(verdict: Verdict) -> Verdict:
        return waits if verdict.state == "stopped" else verdict

    return replace(
        status,
        tables=tuple(replace(t, verdict=seen(t.verdict)) for t in status.tables),
        datasets=tuple(replace(d, verdict=seen(d.verdict)) for d in status.datasets),
    )


def _worker(worker: Worker, refusing: Mapping[str, float]) -> Alarm | None:
    name = f"{worker.stage} {worker.name} ({worker.host} pid {worker.pid})"
    if not worker.verdict.healthy:
        state = worker.verdict.state
        level: Level = "bad" if state in _BAD else "warn"
        return Alarm(level, name, state, worker.verdict.reason, worker.verdict.command)
    gone_s = refusing.get(address_of(worker) or "")
    if gone_s is not None:
        return Alarm("bad", name, "no answer", f"{worker.metrics} refuses for {gone_s:.0f} s")
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
