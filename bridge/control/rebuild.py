"""`tailrace rebuild`: announce a new generation of a changed transform.

The command only compares and writes the announcement. A processor that is started with the changed
file then finds that it is the new generation, asks for a scan of its own and fills rows topics of
its own; the sink builds hidden tables from them and lets each table change over in one commit. The
running generation goes on until then.
"""

from __future__ import annotations

import json
from collections.abc import Container
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bridge.control.plan import load_plan
from bridge.control.show import write_line
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import (
    Building,
    Flows,
    TransformRecord,
    datasets_of,
    named,
    read_generations,
    write_transform,
)
from bridge.wire.namespace import read_namespace
from bridge.wire.topics import TopicNames, admin, existing_topics

if TYPE_CHECKING:
    from bridge.control.plan import Plan
    from bridge.control.settings import Settings


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a rebuild comes to: the record to write, None where it is announced already."""

    generation: int
    changes: tuple[str, ...]
    record: TransformRecord | None


def run_rebuild(
    settings: Settings,
    target: str,
    *,
    dry_run: bool,
    abandon: bool,
    as_json: bool,
    wait: bool = False,
) -> None:
    """Announce a new generation of the file's transform, or give up the one that is being built.

    `wait` returns when its tables have changed over.

    Raises:
        ConfigurationError: there is nothing to rebuild, or it can't be; with the way on.
        BrokerUnreachableError: Kafka does not answer.
    """
    from processors.compiled import compile_transform
    from processors.revision import describe

    plan = load_plan(target)
    transform, kafka = plan.only, settings.kafka_config()
    where = f"transform {transform.name}"
    record = read_generations(kafka).transforms.get(transform.name)
    if record is None:
        raise ConfigurationError(
            "it has not run yet, so there is nothing to rebuild",
            where=where,
            remedy=f"Run: tailrace run processor {target}",
        )
    if abandon:
        _abandon(settings, transform.name, record, dry_run=dry_run, as_json=as_json)
        return
    _check_sources(transform, where)
    _check_modes(plan, where)
    flows = describe(compile_transform(transform))
    names = TopicNames(kafka.namespace)
    taken = {topic.removeprefix(names.rows("")) for topic in existing_topics(admin(kafka))}
    found = announce(record, flows, taken, where)
    if found.record is not None and not dry_run:
        write_transform(kafka, transform.name, found.record)
    lines = _lines(transform.name, target, flows, found, dry_run=dry_run)
    figures = {
        "transform": transform.name,
        "generation": found.generation,
        "changes": list(found.changes),
        "datasets": list(datasets_of(flows)),
        "announced": found.record is None or not dry_run,
        "dry_run": dry_run,
    }
    waits = wait and not dry_run
    if not (waits and as_json):
        _say(as_json, lines, figures)
    if waits:
        _await(settings, plan, transform.name, found.generation, as_json=as_json)
        done = f"generation {found.generation} is in its tables"
        _say(as_json, [done], figures | {"complete": True})


def _abandon(
    settings: Settings, transform: str, record: TransformRecord, *, dry_run: bool, as_json: bool
) -> None:
    where = f"transform {transform}"
    number = _abandoned(record, where)
    _check_not_shown(settings, record, number, where)
    if not dry_run:
        write_transform(settings.kafka_config(), transform, replace(record, building=None))
    _say(
        as_json,
        [f"generation {number} of {transform} is given up; its processor ends"],
        {"transform": transform, "abandoned": number, "dry_run": dry_run},
    )


def _await(
    settings: Settings, plan: Plan, transform: str, generation: int, *, as_json: bool
) -> None:
    from bridge.control.bar import Bar
    from bridge.control.checkpointed import Checkpoints
    from bridge.control.scans import Rebuilding, follow_rebuild

    kafka = settings.kafka_config()
    tables = {table for feed in plan.feeds for table in feed.tables}
    building = Rebuilding(
        transform=transform,
        generation=generation,
        tables=tuple(sorted(tables)),
        datasets=tuple(feed.dataset.id for feed in plan.feeds),
    )
    with closing(Checkpoints(kafka)) as checkpoints, Bar(shown=False if as_json else None) as bar:
        follow_rebuild(kafka, checkpoints, building, bar)


def announce(
    record: TransformRecord, now: Flows, taken: Container[str], where: str
) -> Announcement:
    """What is to be written for a transform that is compiled to `now`. Pure.

    Args:
        record: what is known of the transform.
        now: its compiled description.
        taken: datasets, by the names of their generations, that have a rows topic already.
        where: for messages.

    Raises:
        ConfigurationError: nothing changed, too much changed, or another one is under way.
    """
    from processors.revision import differences, unlike

    changes = tuple(differences(record.flows, now)) or tuple(_added(record.flows, now))
    if record.building is not None:
        if record.building.flows == now:
            return Announcement(record.building.generation, changes, None)
        raise ConfigurationError(
            f"generation {record.building.generation}, of another change, is being built",
            where=where,
            remedy="Wait for it, or give it up: tailrace rebuild FILE --abandon",
        )
    if record.flows == now:
        raise ConfigurationError(
            "it is what runs already",
            where=where,
            remedy="Change the file first; tailrace backfill TABLE reads the items again",
        )
    obstacle = unlike(record.flows, now)
    if obstacle is not None:
        raise ConfigurationError(
            obstacle,
            where=where,
            remedy="Give function and datasets new names: new tables are filled beside the old",
        )
    number = max(record.last, record.generation) + 1
    while any(named(dataset, number) in taken for dataset in datasets_of(now)):
        number += 1
    building = Building(number, now)
    return Announcement(number, changes, replace(record, building=building, last=number))


def _added(before: Flows, now: Flows) -> list[str]:
    return [
        f"column {column} of {dataset} is new"
        for dataset, flow in now.items()
        for column in flow["columns"]
        if column not in before[dataset]["columns"]
    ]


def _abandoned(record: TransformRecord, where: str) -> int:
    if record.building is None:
        raise ConfigurationError("nothing is being built", where=where)
    return record.building.generation


def _check_not_shown(settings: Settings, record: TransformRecord, number: int, where: str) -> None:
    """No table may show the generation: there is no way back for it.

    The tables themselves are asked, for the records follow them.
    """
    from bridge.control.lake import Lake

    name = f"{read_namespace(settings.kafka_config()).namespace_id}:generation"
    lake = Lake(settings.lake_uri(), settings.storage_options())
    for dataset in datasets_of(record.flows):
        table = lake.table(dataset)
        if table is not None and (table.transaction_version(name) or 1) >= number:
            raise ConfigurationError(
                f"dataset {dataset} shows generation {number} already",
                where=where,
                remedy="Let it be finished, then rebuild with the file as it was",
            )


def _check_sources(transform: Any, where: str) -> None:
    for entry in transform.inputs.values():
        for source in entry.stream.source.each:
            if source.snapshot != "initial":
                raise ConfigurationError(
                    f"table {source.table_name} has snapshot={source.snapshot!r}: a new "
                    "generation is filled by a scan that changes follow",
                    where=where,
                    remedy="Give function and dataset new names, or set "
                    "TAILRACE_ACCEPT_CHANGE=1 to go on from here",
                )


def _check_modes(plan: Plan, where: str) -> None:
    for feed in plan.feeds:
        if feed.dataset.mode != "current":
            raise ConfigurationError(
                f"dataset {feed.dataset.id} is a {feed.dataset.mode}: a scan tells what items are "
                "now, not what they were, so a new generation would lose the past",
                where=where,
                remedy="Give function and dataset new names, or set "
                "TAILRACE_ACCEPT_CHANGE=1 to go on from here",
            )


def _lines(
    name: str, target: str, flows: Flows, found: Announcement, *, dry_run: bool
) -> list[str]:
    state = (
        "would be" if dry_run and found.record is not None
        else "is" if found.record is not None
        else "was already"
    )  # fmt: skip
    datasets = ", ".join(datasets_of(flows))
    then = (
        f"every item is scanned once for it; {datasets} shows the old rows until all new ones are "
        "in, then changes over in one step, and the old processor ends"
    )
    return [
        f"generation {found.generation} of {name} {state} announced",
        *(f"  {change}" for change in found.changes),
        f"now run: tailrace run processor {target}, beside the processor that runs",
        then,
    ]


def _say(as_json: bool, lines: list[str], figures: dict[str, Any]) -> None:
    if as_json:
        write_line(json.dumps(figures))
        return
    for line in lines:
        write_line(line)
