"""From facts to a status: pure, so that every state can be tested without a broker.

A state is what is worst, in the order in which a person would act: lost changes before a process
that is gone, that before one that hangs, that before what somebody did on purpose. Nothing is
called well that was not heard of: the absence of a report is a stopped process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.connector.checkpoints import Gap, Generation
from bridge.connector.gaps import gap_line
from bridge.connector.shards import ShardState, shard_state, shard_views
from bridge.connector.status import RETENTION_HOURS, snapshot_progress
from bridge.connector.view import CheckpointView
from bridge.control.status.facts import Facts, LakeTable, Letters, Route, TopicFacts, Waiting
from bridge.control.status.model import (
    DatasetState,
    Hop,
    Shards,
    Status,
    TableState,
    Verdict,
    Worker,
)
from bridge.wire.generations import named
from bridge.wire.reports import SILENT_S, Heard, Report
from bridge.wire.topics import TopicNames

# More than a few commits behind: it is on its way, and not there.
CATCHING_UP_S = 30.0
# Who died without a word is shown for so long, if others do its work.
_REMEMBERED_S = 600.0


def assess(facts: Facts) -> Status:
    """The status of what the facts speak of."""
    tables = tuple(dict.fromkeys(table for route in facts.routes for table in route.tables))
    return Status(
        namespace=facts.namespace,
        at_s=facts.at_s,
        tables=tuple(_Table(facts, name).state() for name in tables),
        datasets=tuple(_Dataset(facts, route).state() for route in facts.routes),
        workers=tuple(_worker(facts, heard) for heard in _current(facts)),
    )


def letters_command(owner: str) -> str:
    """How to look at somebody's dead letters."""
    return f"tailrace dlq ls {owner}"


class _Workers:
    """The processes of one stage that are there for a name."""

    def __init__(self, facts: Facts, stage: str, name: str) -> None:
        self._now_s = facts.at_s
        self._all = [
            heard
            for heard in facts.reports
            if heard.report.stage == stage
            and (name in heard.report.covers or _thing(heard.report, name) is not None)
        ]
        self.alive = [heard for heard in self._all if _alive(heard, facts.at_s)]
        self.holding = [h.report for h in self.alive if _thing(h.report, name) is not None]
        self._name = name

    @property
    def things(self) -> list[Mapping[str, Any]]:
        """What those who hold it say of it."""
        found = (_thing(report, self._name) for report in self.holding)
        return [thing for thing in found if thing is not None]

    def newest(self) -> Heard | None:
        """The last one that was heard of, alive or not."""
        return max(self._all, key=lambda heard: heard.at_s, default=None)

    def absence(self, stage: str, command: str) -> Verdict | None:
        """Why none is there; None while one is."""
        if self.alive:
            return None
        last = self.newest()
        if last is None:
            return Verdict("stopped", f"no {stage} was heard of within a day", command)
        return Verdict("stopped", _ending(stage, last, self._now_s), command)

    def slow(self) -> str:
        """Why a single commit takes longer than the freshness target; empty where none does."""
        return next((str(thing["slow"]) for thing in self.things if thing.get("slow")), "")

    def problem(self) -> str | None:
        """What those who work on it say is wrong with it."""
        for report in self.holding or [heard.report for heard in self.alive]:
            thing = _thing(report, self._name) or {}
            own = thing.get("stalled") or thing.get("problem")
            if own:
                return str(own)
            if report.problem and not any(
                other.get("stalled") or other.get("problem") for other in report.things
            ):
                return report.problem  # nothing it works on is to blame: the whole process is
        return None


def _ending(stage: str, heard: Heard, now_s: float) -> str:
    report, ago_s = heard.report, now_s - heard.at_s
    where = f"{report.host} pid {report.pid}"
    if report.stopped:
        return f"the {stage} ({where}) stopped {_ago(ago_s)} ago: {report.stopped}"
    if report.stopped is not None:
        return f"the {stage} ({where}) was told to stop {_ago(ago_s)} ago"
    return f"the {stage} ({where}) has not been heard of for {_ago(ago_s)}"


class _Table:
    def __init__(self, facts: Facts, table: str) -> None:
        self._facts = facts
        self._table = table
        self._names = TopicNames(facts.namespace)
        self._view = facts.checkpoints
        self._workers = _Workers(facts, "connector", table)
        file = next(route.file for route in facts.routes if table in route.tables)
        self._command = f"tailrace run connector {file}"

    def state(self) -> TableState:
        generation = self._view.generations.get(self._table)
        source, hours = self._source(generation)
        topic = self._facts.topics.get(self._names.changes(self._table), TopicFacts(0, 0))
        return TableState(
            table=self._table,
            verdict=self._verdict(generation, source),
            source=source,
            hours_to_trim=hours,
            shards=_shards(self._view, self._table, generation),
            snapshot=self._snapshot(generation),
            epoch=generation.epoch if generation else 0,
            records=topic.records,
            newest_s=topic.newest_s,
            workers=len(self._workers.holding),
            dead_letters=self._facts.letters.get("connector", Letters(0)).open,
        )

    def _source(self, generation: Generation | None) -> tuple[Hop, float | None]:
        """As the connectors say it; since the last word of the last one it can only have grown."""
        lags = [thing["lag_s"] for thing in self._workers.things if thing.get("lag_s") is not None]
        if not lags:
            last = self._workers.newest()
            thing = _thing(last.report, self._table) if last is not None else None
            if last is not None and thing is not None and thing.get("lag_s") is not None:
                lags = [thing["lag_s"] + self._facts.at_s - last.at_s]
        if not lags or (generation is not None and not generation.reads_stream):
            return Hop(), None
        return Hop(max(lags)), RETENTION_HOURS - max(lags) / 3600

    def _snapshot(self, generation: Generation | None) -> float | None:
        if generation is None:
            return None
        epoch = generation.epoch
        segments = self._view.segments[self._table, epoch].values()
        found = snapshot_progress(generation, segments, self._expected(), self._facts.at_s)
        if found is None or self._view.sealed.get(self._table, 0) >= epoch:
            return None
        return found.ratio

    def _expected(self) -> int:
        snapshots = (thing.get("snapshot") or {} for thing in self._workers.things)
        return max((int(s.get("items_expected") or 0) for s in snapshots), default=0)

    def _verdict(self, generation: Generation | None, source: Hop) -> Verdict:
        gaps: list[Gap] = self._view.active_gaps(self._table)
        if gaps:
            more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
            reason = gap_line(gaps[0]).split(" Run: ")[0] + more
            return Verdict("GAP", reason, f"tailrace backfill {self._table}")
        absent = self._workers.absence("connector", self._command)
        if absent is not None:
            return absent
        paused = _paused(self._facts, ("table", self._table))
        if paused is not None:
            return paused
        problem = self._workers.problem()
        if problem is not None:
            return _stalled(problem)
        if generation is None:
            return Verdict("waiting", "the connector has not begun with it")
        ratio = self._snapshot(generation)
        if ratio is not None:
            return Verdict("loading", f"{ratio:.0%} of its items are in Kafka")
        return _moving(source.lag_s)


class _Dataset:
    def __init__(self, facts: Facts, route: Route) -> None:
        self._facts = facts
        self._route = route
        names = TopicNames(facts.namespace)
        self.generation = facts.generations.current(route.dataset)
        instance = named(route.transform, self.generation)
        dataset = named(route.dataset, self.generation)
        read = [*map(names.changes, route.tables)]
        read += [names.contributions(dataset)] if route.keyed else []
        self._rows_topic = names.rows(dataset)
        self._to_rows = [facts.waiting.get((names.group(instance), topic)) for topic in read]
        self._to_table = facts.waiting.get((names.group(f"sink.{dataset}"), self._rows_topic))
        self._processors = _Workers(facts, "processor", route.transform)
        self._sinks = _Workers(facts, "sink", route.dataset)
        self._lake = facts.lake.get(route.dataset)

    def state(self) -> DatasetState:
        route, facts = self._route, self._facts
        rows, table = _hop(self._to_rows, facts.at_s), _hop([self._to_table], facts.at_s)
        lake = self._lake if isinstance(self._lake, LakeTable) else None
        owners = (route.transform, route.dataset)
        return DatasetState(
            dataset=route.dataset,
            transform=route.transform,
            tables=route.tables,
            verdict=self._verdict(rows, table),
            rows=rows,
            table=table,
            lag_s=self._lag_s(rows, table),
            version=lake.version if lake else None,
            committed_s=lake.committed_s if lake else None,
            generation=self.generation,
            building=facts.generations.building(route.dataset),
            processors=len(self._processors.alive),
            sinks=len(self._sinks.holding),
            dead_letters=sum(facts.letters.get(o, Letters(0)).open for o in dict.fromkeys(owners)),
        )

    def _lag_s(self, rows: Hop, table: Hop) -> float | None:
        tables = (_Table(self._facts, name).state().source.lag_s for name in self._route.tables)
        steps = [rows.lag_s, table.lag_s, *tables]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps):
            return None
        return known[0] + known[1] + max(known[2:])

    def _verdict(self, rows: Hop, table: Hop) -> Verdict:
        route = self._route
        for verdict in (
            self._gap(),
            self._processors.absence(
                "processor", f"tailrace run processor {route.file}:{route.transform}"
            ),
            self._sinks.absence("sink", f"tailrace run sink {route.file}"),
            _paused(self._facts, ("transform", route.transform), ("dataset", route.dataset)),
            self._troubled(self._processors),
            self._troubled(self._sinks),
            self._unreadable(),
            None if self._sinks.holding else Verdict("waiting", "no sink works on it yet"),
        ):
            if verdict is not None:
                return verdict
        if self._rows_topic not in self._facts.topics:
            return Verdict("waiting", f"the processor has not made topic {self._rows_topic}")
        if self._lake is None and self._facts.lake_known:
            return Verdict("waiting", "the sink has not made the table")
        if isinstance(self._lake, LakeTable) and self._lake.loading:
            return Verdict("loading", "a snapshot is on its way in; rows may step back")
        lags = [hop.lag_s for hop in (rows, table) if hop.lag_s is not None]
        moving = _moving(max(lags, default=None))
        return Verdict(moving.state, self._sinks.slow())

    def _gap(self) -> Verdict | None:
        route = self._route
        steps = [(waiting, f"processor:{route.transform}") for waiting in self._to_rows]
        for waiting, consumer in [*steps, (self._to_table, f"sink:{route.dataset}")]:
            if waiting is not None and waiting.gap is not None:
                command = f"tailrace backfill {route.tables[0]} --accept-gap {consumer}"
                return Verdict("GAP", waiting.gap, command)
        return None

    def _troubled(self, workers: _Workers) -> Verdict | None:
        problem = workers.problem()
        return None if problem is None else _stalled(problem)

    def _unreadable(self) -> Verdict | None:
        if not isinstance(self._lake, str):
            return None
        return Verdict("stalled", f"the table can't be read: {self._lake}", "tailrace doctor")


def _stalled(problem: str) -> Verdict:
    """A process's own words; they name the command where there is one."""
    reason, _, command = problem.partition(" Run: ")
    if problem.startswith("GAP") or ": GAP" in problem:
        return Verdict("GAP", reason, command)
    if problem.startswith(("waiting", "starting")) or ": waiting" in problem:
        return Verdict("waiting", problem)
    return Verdict("stalled", reason, command or "tailrace doctor")


def _moving(lag_s: float | None) -> Verdict:
    if lag_s is not None and lag_s > CATCHING_UP_S:
        return Verdict("catching up")
    return Verdict("running")


def _paused(facts: Facts, *names: tuple[str, str]) -> Verdict | None:
    for pause in facts.pauses.values():
        if (pause.kind, pause.name) in names:
            reason = f"{pause.kind} {pause.name} was paused {_ago(facts.at_s - pause.at_s)} ago"
            return Verdict("paused", reason, f"tailrace resume {pause.kind}:{pause.name}")
    return None


def _hop(waiting: Sequence[Waiting | None], now_s: float) -> Hop:
    known = [each for each in waiting if each is not None]
    if len(known) < len(waiting):
        return Hop()
    oldest = min((each.oldest_s for each in known if each.oldest_s is not None), default=None)
    lag_s = 0.0 if oldest is None else max(0.0, now_s - oldest)
    return Hop(lag_s, sum(each.records for each in known))


def _shards(view: CheckpointView, table: str, generation: Generation | None) -> Shards:
    if generation is None:
        return Shards()
    states = [
        shard_state(view, known, generation.epoch)
        for known in shard_views(view, table, generation.arn)
    ]
    opened, done = states.count(ShardState.READ), states.count(ShardState.ENDED)
    return Shards(opened, len(states) - opened - done, done)


def _thing(report: Report, name: str) -> Mapping[str, Any] | None:
    """What a process says of a table or dataset; of a transform it is the process itself."""
    for thing in report.things:
        if name in (thing.get("table"), thing.get("dataset"), thing.get("transform")):
            return thing
    return None


def _alive(heard: Heard, now_s: float) -> bool:
    return heard.report.stopped is None and now_s - heard.at_s <= SILENT_S


def _current(facts: Facts) -> Iterable[Heard]:
    """Processes worth a line: those alive, and those that ended and were not replaced."""
    alive = [heard for heard in facts.reports if _alive(heard, facts.at_s)]
    for heard in sorted(facts.reports, key=lambda h: (h.report.stage, h.report.name, -h.at_s)):
        same = [h for h in alive if _role(h) == _role(heard)]
        replaced = any(h.report.started_s >= heard.at_s - SILENT_S for h in same)
        forgotten = bool(same) and facts.at_s - heard.at_s > _REMEMBERED_S
        if _alive(heard, facts.at_s) or not (replaced or forgotten or _repeated(facts, heard)):
            yield heard


def _repeated(facts: Facts, heard: Heard) -> bool:
    """Whether another process of its role ended later: the last one tells the story."""
    ended = [h for h in facts.reports if not _alive(h, facts.at_s)]
    return any(h.at_s > heard.at_s for h in ended if _role(h) == _role(heard))


def _role(heard: Heard) -> tuple[str, str]:
    return heard.report.stage, heard.report.name


def _worker(facts: Facts, heard: Heard) -> Worker:
    report, heard_s = heard.report, max(0.0, facts.at_s - heard.at_s)
    if not _alive(heard, facts.at_s):
        verdict = Verdict("stopped", _ending(report.stage, heard, facts.at_s))
    elif report.problem:
        verdict = _stalled(report.problem)
    else:
        verdict = Verdict("running")
    works_on = [thing.get("table") or thing.get("dataset") for thing in report.things]
    return Worker(
        stage=report.stage,
        name=report.name,
        host=report.host,
        pid=report.pid,
        verdict=verdict,
        heard_s=heard_s,
        started_s=report.started_s,
        works_on=tuple(str(name) for name in works_on if name) or report.covers,
        metrics=report.metrics,
    )


def _ago(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
