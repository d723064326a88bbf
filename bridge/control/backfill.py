"""`tailrace backfill`: ask for a new snapshot of a table, the repair of every GAP.

Accepting a gap and asking for the snapshot go together, in this order: everything below the log's
end of that moment is then covered by the snapshot that follows it.

With `--for` only one transform takes the items. That fills in what its tables lack; it takes
nothing out and changes no row that is as new, so it repairs no gap.
"""

from __future__ import annotations

import difflib
import json
import math
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer

from bridge.connector.checkpoints import Generation
from bridge.connector.view import CheckpointView
from bridge.control.bar import Bar
from bridge.control.checkpointed import Checkpoints
from bridge.control.scans import Scan, follow
from bridge.control.show import write_line
from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.generations import named, read_generations
from bridge.wire.kafka import KafkaConfig, log_bounds
from bridge.wire.namespace import NAMESPACE_PARTITION, GapAcceptance
from bridge.wire.requests import request_backfill, write_record
from bridge.wire.topics import TopicNames, admin, existing_topics

if TYPE_CHECKING:
    from bridge.control.settings import Settings

_UNIT_BYTES = 4096
_PATIENCE_S = 5.0


def run_backfill(
    settings: Settings,
    table: str,
    consumers: list[str],
    transform: str | None = None,
    *,
    dry_run: bool = False,
    wait: bool = False,
    as_json: bool = False,
) -> None:
    """Accept the gaps of these consumers, then request the snapshot, for one transform or for all.

    `wait` returns when all its items are in Kafka; what else the stages do then, `status` tells.

    Raises:
        ConfigurationError: a gap is to be accepted by a scan for one transform, a consumer is not
            `processor:NAME` or `sink:NAME`, or no connector ever read the table here.
        BrokerUnreachableError: Kafka does not answer.
    """
    if transform is not None and consumers:
        raise ConfigurationError(
            "a scan for one transform repairs no gap: it can't tell which items vanished",
            where="backfill --for",
            remedy=f"Run: tailrace backfill {table} --accept-gap {consumers[0]}",
        )
    named_by = {text: _consumer(text) for text in consumers}
    kafka = settings.kafka_config()
    with closing(Checkpoints(kafka)) as checkpoints:
        generation = _generation(checkpoints.now(), table)
        topics = [(text, _topic(kafka, table, *who)) for text, who in named_by.items()]
        accepted = [GapAcceptance(who, topic, _log_ends(kafka, topic)) for who, topic in topics]
        scan = Scan(table, transform, uuid.uuid4().hex, generation.epoch)
        figures = _figures(generation, scan, accepted, dry_run=dry_run)
        if not dry_run:
            for acceptance in accepted:
                key, value = acceptance.encode()
                topic = TopicNames(kafka.namespace).checkpoints
                write_record(kafka, topic, key, value, partition=NAMESPACE_PARTITION)
            request_backfill(kafka, table, addressed_to=transform, request=scan.request)
        if not as_json:
            for line in _lines(figures, dry_run=dry_run):
                write_line(line)
        if wait and not dry_run:
            with Bar(shown=False if as_json else None) as bar:
                figures["epoch"] = follow(kafka, checkpoints, scan, bar)
            if not as_json:
                write_line(f"all its items are in Kafka, under epoch {figures['epoch']}")
    if as_json:
        done = {"requested": not dry_run, "complete": wait and not dry_run, "dry_run": dry_run}
        write_line(json.dumps(figures | done))


def _generation(view: CheckpointView, table: str) -> Generation:
    """The table's feed, of which there has to be one: nobody else answers a request."""
    if not view.generations:
        raise ConfigurationError(
            "no connector has read anything here",
            where="backfill",
            remedy="Start the connector once, or check TAILRACE_NAMESPACE",
        )
    generation = view.generations.get(table)
    if generation is None:
        near = difflib.get_close_matches(table, view.generations, n=1)
        known = ", ".join(sorted(view.generations))
        raise ConfigurationError(
            f"no connector has read a table {table[:100]!r} here",
            where="backfill",
            remedy=f"Did you mean {near[0]}?" if near else f"Tables that were read: {known}",
        )
    return generation


def _figures(
    generation: Generation, scan: Scan, accepted: Sequence[GapAcceptance], *, dry_run: bool
) -> dict[str, Any]:
    # Only a rehearsal asks AWS: a repair must not wait for it.
    items, size = _size(generation) if dry_run else (None, None)
    return {
        "table": scan.table,
        "for": scan.transform,
        "request": scan.request,
        "epoch_before": scan.epoch,
        "accepted": [each.consumer for each in accepted],
        # AWS counts them every six hours or so. Consistent reads: a unit for each 4 KB.
        "items_about": items,
        "bytes_about": size,
        "read_units_about": None if size is None else math.ceil(size / _UNIT_BYTES),
    }


def _size(generation: Generation) -> tuple[int | None, int | None]:
    """Items and bytes as AWS last counted them; None where it does not say so now."""
    from bridge.control.source_items import asking, aws_client

    region = generation.arn.split(":")[3] if generation.arn.count(":") > 3 else None
    try:
        region = None if region in ("", "ddblocal") else region
        client = aws_client("dynamodb", region, attempts=2, timeout_s=_PATIENCE_S)
        with asking(generation.table):
            found = client.describe_table(TableName=generation.table)["Table"]
    except TailraceError:
        return None, None
    return found.get("ItemCount"), found.get("TableSizeBytes")


def _lines(figures: dict[str, Any], *, dry_run: bool) -> Iterator[str]:
    would = "would be" if dry_run else "is"
    for consumer in figures["accepted"]:
        may, then = ("could", "") if dry_run else ("may", "; start it again")
        yield f"{consumer} {may} go on where its log starts now{then}"
    what = f"a scan for {figures['for']}" if figures["for"] else "a new snapshot"
    size = ""
    if figures["bytes_about"] is not None:
        size = (
            f": about {figures['items_about']:,} items, {figures['bytes_about']:,} bytes, "
            f"{figures['read_units_about']:,} read capacity units"
        )
    yield f"{what} of {figures['table']} {would} requested{size}"
    if figures["for"]:
        yield f"  {figures['for']} takes the items it lacks; nothing is removed"
    else:
        yield "  when it is complete, rows of items that are not there any more are removed"


def _consumer(text: str) -> tuple[str, str]:
    """Kind and name."""
    kind, _, name = text.partition(":")
    if kind not in ("processor", "sink") or not name:
        raise ConfigurationError(
            f"{text[:100]!r} is not a consumer",
            where="--accept-gap",
            remedy="Write processor:TRANSFORM or sink:DATASET, as the GAP's message does",
        )
    return kind, name


def _topic(kafka: KafkaConfig, table: str, kind: str, name: str) -> str:
    names = TopicNames(kafka.namespace)
    if kind == "processor":
        return names.changes(table)
    return names.rows(named(name, read_generations(kafka).current(name)))


def _log_ends(kafka: KafkaConfig, topic: str) -> dict[int, int]:
    count = existing_topics(admin(kafka)).get(topic)
    if count is None:
        raise ConfigurationError(
            f"there is no topic {topic}",
            where="--accept-gap",
            remedy="Check the names and TAILRACE_NAMESPACE",
        )
    consumer = Consumer(kafka.reader())
    try:
        return {p: log_bounds(consumer, topic, p).end for p in range(count)}
    finally:
        consumer.close()
