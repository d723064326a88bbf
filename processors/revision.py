"""A changed transform is noticed: rows already written keep the meaning they were written with.

Each transform's compiled description lies in a compacted topic. A start compares: more columns just
continue (older rows hold NULL in them until they change), anything else stops and names the ways
on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from confluent_kafka import KafkaException, Producer

from bridge.wire import WIRE_VERSION
from bridge.wire.envelope import check_wire_version
from bridge.wire.errors import BrokerUnreachableError, ConfigurationError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, read_to_end, unreachable
from bridge.wire.topics import TopicNames
from processors.compiled import CompiledTransform

Description = Mapping[str, Mapping[str, Any]]
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


def check_revision(kafka: KafkaConfig, compiled: CompiledTransform, *, accept_change: bool) -> None:
    """Compare with what ran before, and remember what runs now.

    Raises:
        ConfigurationError: the transform changed, and nobody accepted it.
        BrokerUnreachableError: Kafka does not answer.
    """
    now = describe(compiled)
    before = _read(kafka, compiled.name)
    changed = differences(before, now) if before is not None else []
    if changed and not accept_change:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise ConfigurationError(
            f"the transform was changed: {changed[0]}{more}",
            where=f"transform {compiled.name}",
            remedy="Either set TAILRACE_ACCEPT_CHANGE=1 to go on from here: rows already written "
            "keep their old meaning until their items change, or until "
            f"tailrace backfill {' '.join(compiled.tables())} has read them again; or give "
            "function and dataset new names: a new table is filled with every item, by a scan of "
            "its own where Kafka has deleted older changes, beside the old one",
        )
    if before != now:
        _write(kafka, compiled.name, now)


def _read(kafka: KafkaConfig, transform: str) -> Description | None:
    found: Description | None = None
    for message in read_to_end(kafka, TopicNames(kafka.namespace).transforms, [0]):
        value = message.value()
        if message.key() == transform.encode() and isinstance(value, bytes):
            body = orjson.loads(value)
            check_wire_version(body.get("v"), f"description of transform {transform}")
            found = body["flows"]
    return found


def _write(kafka: KafkaConfig, transform: str, description: Description) -> None:
    topic = TopicNames(kafka.namespace).transforms
    failures: list[str] = []
    producer = Producer(kafka.producer(delivery_timeout_ms=int(REQUEST_TIMEOUT_S * 1000)))
    value = orjson.dumps({"v": WIRE_VERSION, "flows": description}, option=orjson.OPT_SORT_KEYS)
    try:
        producer.produce(
            topic,
            key=transform,
            value=value,
            on_delivery=lambda error, _: failures.append(str(error)) if error else None,
        )
        left = producer.flush(REQUEST_TIMEOUT_S * 1.5)
    except KafkaException as error:
        raise unreachable(error, f"writing to {topic}") from error
    if failures or left:
        raise BrokerUnreachableError(
            failures[0] if failures else "not acknowledged in time", where=f"writing to {topic}"
        )
