"""Where each reader of a file stands: transforms by their group, datasets by their table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.control.checkpointed import Checkpoints
from bridge.control.status.logs import Logs, Place
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import named, read_generations
from bridge.wire.kafka import KafkaConfig, LogBounds
from bridge.wire.namespace import read_namespace
from bridge.wire.topics import TopicNames, admin, existing_topics

if TYPE_CHECKING:
    from bridge.control.lake import Lake
    from bridge.control.plan import Feed, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A transform or dataset that reads topics.

    Args:
        kind: `transform` or `dataset`.
        name: as a person writes it.
        group: its consumer group.
        topics: what it reads, in the order of its tables.
        stateful: whether it keeps state, which can't follow a position that is moved.
    """

    kind: str
    name: str
    group: str
    topics: tuple[str, ...]
    stateful: bool = False

    @property
    def spelled(self) -> str:
        """As a command takes it."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Standing:
    """One partition: the log's bounds, and the next offset that is read; None: nothing was yet."""

    topic: str
    partition: int
    bounds: LogBounds
    position: int | None

    def to_json(self) -> dict[str, Any]:
        """As `--json` gives it; `behind` counts offsets, markers of transactions too."""
        behind = self.bounds.end - max(self.position or 0, self.bounds.start)
        return {
            "topic": self.topic,
            "partition": self.partition,
            "start": self.bounds.start,
            "position": self.position,
            "end": self.bounds.end,
            "behind": max(behind, 0),
        }


def readers(kafka: KafkaConfig, plans: Iterable[Plan]) -> list[Reader]:
    """Every transform of the files, and every dataset, at the generations that are shown.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    names, generations = TopicNames(kafka.namespace), read_generations(kafka)
    found: list[Reader] = []
    for plan in plans:
        for transform in plan.transforms:
            feeds = [feed for feed in plan.feeds if feed.flow.transform == transform.name]
            datasets = [feed.dataset.id for feed in feeds]
            number = max(map(generations.current, datasets), default=1)
            tables = dict.fromkeys(table for feed in feeds for table in feed.tables)
            topics = [names.changes(table) for table in tables]
            topics += [names.contributions(named(d.dataset.id, number)) for d in feeds if _keyed(d)]
            found.append(
                Reader(
                    kind="transform",
                    name=transform.name,
                    group=names.group(named(transform.name, number)),
                    topics=tuple(topics),
                    stateful=any(map(_has_state, feeds)),
                )
            )
        for feed in plan.feeds:
            dataset = named(feed.dataset.id, generations.current(feed.dataset.id))
            found.append(
                Reader(
                    kind="dataset",
                    name=feed.dataset.id,
                    group=names.group(f"sink.{dataset}"),
                    topics=(names.rows(dataset),),
                )
            )
    return found


def _keyed(feed: Feed) -> bool:
    return any(part.flow.keyed is not None for part in feed.parts)


def _has_state(feed: Feed) -> bool:
    return any(
        part.flow.stateful or part.flow.keyed is not None or part.flow.memory is not None
        for part in feed.parts
    )


def find(known: Sequence[Reader], text: str) -> Reader:
    """`orders` or `dataset:orders` -> the reader that is meant.

    Raises:
        ConfigurationError: it is none, or several.
    """
    if text.startswith(("table:", "connector:")):
        raise ConfigurationError(
            "the connector stands at sequence numbers of shards, which can't be set",
            where=text,
            remedy=f"Run: tailrace backfill {text.partition(':')[2]}, which reads every item again",
        )
    found = [reader for reader in known if text in (reader.name, reader.spelled)]
    if len(found) != 1:
        spelled = " or ".join(each.spelled for each in found or known)
        raise ConfigurationError(
            f"{text[:100]!r} is {'several things' if found else 'nothing that reads here'}",
            where="tailrace offsets",
            remedy=f"Write {spelled}",
        )
    return found[0]


def standings(kafka: KafkaConfig, lake: Lake | None, reader: Reader) -> list[Standing]:
    """Of all its partitions that there are.

    A dataset's position is what its table says; the group's offsets only follow it.

    Raises:
        TailraceError: Kafka or the lake does not answer.
    """
    topics = existing_topics(admin(kafka))
    places = [(t, p) for t in reader.topics for p in range(topics.get(t, 0))]
    logs = Logs(kafka)
    if not places:
        return []
    positions: Mapping[Place, int] = {}
    if reader.kind == "transform":
        positions = logs.committed([reader.group])[reader.group]
    elif lake is not None:
        positions = _of_table(kafka, lake, reader, places)
    bounds = logs.bounds(places)
    return [Standing(*place, bounds[place], positions.get(place)) for place in places]


def _of_table(
    kafka: KafkaConfig, lake: Lake, reader: Reader, places: Sequence[Place]
) -> dict[Place, int]:
    view, namespace_id = lake.view(reader.name), read_namespace(kafka).namespace_id
    if view is None or namespace_id is None:
        return {}
    (topic,) = reader.topics
    found = view.offsets(namespace_id, topic, [partition for _, partition in places])
    return {(topic, p): offset for p, offset in found.items() if offset is not None}


def shards(kafka: KafkaConfig, tables: Iterable[str]) -> list[dict[str, Any]]:
    """Where the connectors stand in each table's stream: the last sequence number committed.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    with closing(Checkpoints(kafka)) as checkpoints:
        view = checkpoints.now()
    found: list[dict[str, Any]] = []
    for table in tables:
        generation = view.generations.get(table)
        if generation is None:
            continue
        positions = sorted(view.positions[generation.arn].values(), key=lambda each: each.shard)
        found += [
            {
                "table": table,
                "epoch": each.epoch,
                "shard": each.shard,
                "sequence": each.sequence,
                "ended": each.ended,
            }
            for each in positions
        ]
    return found
