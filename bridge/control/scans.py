"""A scan that somebody asked for, followed until all its items are in Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bridge.connector.checkpoints import AddressedScan, Generation
from bridge.connector.status import scanned_ratio
from bridge.connector.view import CheckpointView
from bridge.control.bar import Bar
from bridge.control.checkpointed import Checkpoints
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import named, read_generations
from bridge.wire.kafka import KafkaConfig
from bridge.wire.reports import SILENT_S, read_reports

_LOOK_S = 0.5
_NEARLY = 0.99


@dataclass(frozen=True, slots=True)
class Scan:
    """Which one: for all where `transform` is None; `epoch` is the table's when it was asked for.

    `request` is the request's id.
    """

    table: str
    transform: str | None
    request: str
    epoch: int

    def generation(self, view: CheckpointView) -> Generation | None:
        """The feed that answers it, None before there is one."""
        found = view.generations.get(self.table)
        waits = self.request in view.requests[self.table]
        return found if found is not None and found.epoch > self.epoch and not waits else None

    def complete(self, view: CheckpointView) -> int | None:
        """The epoch under which all its items are committed, None while they are not.

        A new generation that scans answers a scan for one transform too.
        """
        generation = self.generation(view)
        if generation is not None:
            whole = not generation.segments or view.sealed.get(self.table, 0) >= generation.epoch
            return generation.epoch if whole else None
        addressed = self._addressed(view)
        return addressed.epoch if addressed is not None and addressed.done else None

    def ratio(self, view: CheckpointView, items_expected: int) -> float:
        """The part of it that is committed, 0 to 1; 1 only when it is complete."""
        generation, addressed = self.generation(view), self._addressed(view)
        if generation is not None:
            if not generation.segments:
                return 0.0
            segments = view.segments[self.table, generation.epoch].values()
            done = scanned_ratio(segments, generation.segments, items_expected)
            return min(done, 1.0 if self.complete(view) else _NEARLY)
        return 0.0 if addressed is None else _of_one(view, addressed, items_expected)

    def _addressed(self, view: CheckpointView) -> AddressedScan | None:
        if self.transform is None:
            return None
        found = view.addressed[self.table].get(self.transform)
        return found if found is not None and found.id == self.request else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilding:
    """A generation of a transform on its way into its tables."""

    transform: str
    generation: int
    tables: tuple[str, ...]
    datasets: tuple[str, ...]

    @property
    def instance(self) -> str:
        """To whom its scan is addressed."""
        return named(self.transform, self.generation)


def follow(
    kafka: KafkaConfig,
    checkpoints: Checkpoints,
    scan: Scan,
    bar: Bar,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait until the scan is complete; its epoch. However long that takes: Ctrl-C takes nothing
    back.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    bar.step(f"scan of {scan.table}", 100)
    while True:
        view = checkpoints.now()
        done = scan.complete(view)
        if done is not None:
            bar.reach(100)
            return done
        items, working = connectors_of(kafka, scan.table)
        waits = "" if working else ": waits for a connector"
        bar.reach(100 * scan.ratio(view, items), f"scan of {scan.table}, percent{waits}")
        sleep(_LOOK_S)


def follow_rebuild(
    kafka: KafkaConfig,
    checkpoints: Checkpoints,
    plan: Rebuilding,
    bar: Bar,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every table has changed over. However long that takes: Ctrl-C takes nothing back.

    Raises:
        ConfigurationError: the generation was given up meanwhile.
        BrokerUnreachableError: Kafka does not answer.
    """
    bar.step(f"scan for {plan.instance}", 100)
    while True:
        generations = read_generations(kafka)
        if all(generations.current(each) >= plan.generation for each in plan.datasets):
            bar.reach(100)
            return
        if not any(generations.building(each) == plan.generation for each in plan.datasets):
            raise ConfigurationError(
                f"generation {plan.generation} is not being built any more",
                where=f"transform {plan.transform}",
                remedy="Somebody gave it up; rebuild again, or leave it at that",
            )
        view, scanned = checkpoints.now(), []
        for table in plan.tables:
            scan = view.addressed[table].get(plan.instance)
            items, _ = connectors_of(kafka, table)
            scanned.append(0.0 if scan is None else _of_one(view, scan, items))
        ratio = sum(scanned) / len(scanned)
        what = "tables draw level" if ratio == 1 else f"scan for {plan.instance}, percent"
        waits = "" if any(scanned) else ": waits for its processor"
        bar.reach(100 * ratio, what + waits)
        sleep(_LOOK_S)


def _of_one(view: CheckpointView, scan: AddressedScan, items_expected: int) -> float:
    if scan.done:
        return 1.0
    key = (scan.table, scan.transform, scan.id, scan.epoch)
    segments = view.addressed_segments[key].values()
    return min(scanned_ratio(segments, scan.segments, items_expected), _NEARLY)


def connectors_of(kafka: KafkaConfig, table: str) -> tuple[int, bool]:
    """How many items AWS told the table's connectors it has, and whether one was heard of lately.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    items, working = 0, False
    for heard in read_reports(kafka):
        report = heard.report
        if report.stage != "connector" or table not in report.covers:
            continue
        working |= report.stopped is None and time.time() - heard.at_s < SILENT_S
        for thing in report.things:
            snapshot = thing.get("snapshot") if thing.get("table") == table else None
            items = max(items, int((snapshot or {}).get("items_expected") or 0))
    return items, working
