"""A changed transform is noticed: rows already written keep the meaning they were written with.

Each transform's compiled description lies in a compacted topic. A start compares: more columns just
continue (older rows hold NULL in them until they change), anything else stops and names the ways
on. A description that `tailrace rebuild` announced runs as a generation of its own.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.generations import (
    Flows,
    GenerationsFollower,
    TransformRecord,
    datasets_of,
    named,
    read_generations,
    write_transform,
)
from bridge.wire.kafka import KafkaConfig
from processors.compiled import CompiledTransform, compile_transform
from processors.transform import Transform

logger = logging.getLogger(__name__)

_LOOK_S = 1.0

Description = Flows
"""By dataset, and by table where several feed it: table, key, steps and columns in their canonical
spelling."""


def describe(compiled: CompiledTransform) -> Description:
    """What is compared between two starts."""
    return {
        # Keys that name their table: there are several, or there may be as more are found.
        f"{flow.dataset.id} from {flow.table}"
        if flow.source_key("") is None
        else flow.dataset.id: flow.description
        for flow in compiled.flows
    }


def differences(before: Description, now: Description) -> list[str]:
    """What changed the meaning of rows already written, a line each; added columns do not."""
    found: list[str] = []
    for dataset, old in before.items():
        new = now.get(dataset)
        if new is None:
            found.append(f"dataset {dataset} is not written any more")
            continue
        found.extend(
            f"{part} of {dataset} was {old[part]}, is {new[part]}"
            for part in ("table", "key", "steps")
            if old[part] != new[part]
        )
        for column, spelled in old["columns"].items():
            is_now = new["columns"].get(column)
            if is_now is None:
                found.append(f"column {column} of {dataset} is gone")
            elif is_now != spelled:
                found.append(f"column {column} of {dataset} was {spelled}, is {is_now}")
    return found


def unlike(before: Description, now: Description) -> str | None:
    """Why `now` is not what a new generation could take over from `before`; None: it could.

    Datasets and the tables they come from stay: what else there is of them hangs on these.
    """
    if set(datasets_of(before)) != set(datasets_of(now)):
        names = ", ".join(sorted(set(datasets_of(before)) ^ set(datasets_of(now))))
        return f"datasets came or went: {names}"
    tables = [sorted((d, f["table"]) for d, f in one.items()) for one in (before, now)]
    if tables[0] != tables[1]:
        return "a dataset comes from other tables than before"
    return None


def generation_of(record: TransformRecord | None, now: Description) -> int | None:
    """Which generation a compiled transform is, None if it is neither. Pure.

    What is the same but for added columns goes on as the current one, unless it is what is built.
    """
    if record is None or now == record.flows:
        return 1 if record is None else record.generation
    if record.building is not None and now == record.building.flows:
        return record.building.generation
    return None if differences(record.flows, now) else record.generation


def check_revision(kafka: KafkaConfig, compiled: CompiledTransform, *, accept_change: bool) -> int:
    """Compare with what ran before, and remember what runs now; the generation it is.

    Raises:
        ConfigurationError: the transform changed, and nobody accepted it.
        BrokerUnreachableError: Kafka does not answer.
    """
    now = describe(compiled)
    record = read_generations(kafka).transforms.get(compiled.name)
    generation = generation_of(record, now)
    if record is None:
        write_transform(kafka, compiled.name, TransformRecord(now))
        return 1
    if generation is None and not accept_change:
        raise _changed(compiled, record, now)
    if generation is None:
        generation = record.generation
    if generation == record.generation and now != record.flows:
        write_transform(kafka, compiled.name, replace(record, flows=now))
    return generation


def _changed(
    compiled: CompiledTransform, record: TransformRecord, now: Description
) -> ConfigurationError:
    changed = differences(record.flows, now)
    more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
    building = record.building
    under_way = (
        f"; generation {building.generation}, which is being built, is another one too"
        if building is not None
        else ""
    )
    return ConfigurationError(
        f"the transform was changed: {changed[0]}{more}{under_way}",
        where=f"transform {compiled.name}",
        remedy=f"Either run tailrace rebuild FILE:{compiled.name}: a new generation is filled "
        "with every item beside this one, and the table changes over in one step; or set "
        "TAILRACE_ACCEPT_CHANGE=1 to go on from here: rows already written "
        "keep their old meaning until their items change, or until "
        f"tailrace backfill {' '.join(compiled.tables())} has read them again",
    )


def at_generation(transform: Transform, generation: int) -> CompiledTransform:
    """The transform compiled as this generation: its datasets have the generation's names.

    Raises:
        ConfigurationError: as `compile_transform`.
    """
    if generation == 1:
        return compile_transform(transform)
    outputs = {}
    for name, output in transform.outputs.items():
        dataset: Any = output.dataset
        renamed = replace(dataset, id=named(dataset.id, generation))
        outputs[name] = replace(output, dataset=renamed)
    return replace(compile_transform(replace(transform, outputs=outputs)), generation=generation)


class Retirement:
    """Notices that a generation is neither current nor being built any more.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """

    def __init__(self, kafka: KafkaConfig, transform: str, generation: int) -> None:
        self._follower = GenerationsFollower(kafka)
        self._follower.look()
        self._transform = transform
        self._generation = generation
        self._look_at = 0.0
        self._over = False

    def reached(self) -> bool:
        """Whether its work is over; asks Kafka now and then."""
        now = time.monotonic()
        if self._over or now < self._look_at:
            return self._over
        self._look_at = now + _LOOK_S
        try:
            record = self._follower.look().transforms.get(self._transform)
        except TailraceError:
            return False  # of a broker that is away others speak
        self._over = record is not None and is_over(record, self._generation)
        if self._over and record is not None:
            logger.info(
                "this generation has ended",
                extra={
                    "transform": self._transform,
                    "generation": self._generation,
                    "current": record.generation,
                },
            )
        return self._over

    def close(self) -> None:
        """Let go of Kafka."""
        self._follower.close()


def is_over(record: TransformRecord, generation: int) -> bool:
    """Whether a generation has been replaced or given up. Pure."""
    building = record.building.generation if record.building is not None else None
    return generation not in (record.generation, building)
