"""What a status is made from: everything Kafka and the lake say at one moment, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.connector.view import CheckpointView
from bridge.wire.generations import Generations
from bridge.wire.pauses import Pauses
from bridge.wire.reports import Heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way of a dataset: its tables, its transform, and where that is written.

    `keyed`: its rows are made in two steps, by way of a topic of contributions.
    """

    dataset: str
    transform: str
    tables: tuple[str, ...]
    file: str
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic: how many offsets it holds (markers included), when the newest was appended
    (seconds since 1970, None for an empty topic), and the sum of its partitions' ends."""

    partitions: int
    records: int
    newest_s: float | None = None
    end: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a reader has not passed of a topic.

    `records` counts offsets, so markers of transactions too; 0 where nothing but markers is left.
    `oldest_s` is when the first of them was appended, seconds since 1970. `gap`: what it was to
    read next is gone, one line. `begun`: it has passed anything at all.
    """

    records: int
    oldest_s: float | None = None
    gap: str | None = None
    begun: bool = True


@dataclass(frozen=True, slots=True)
class LakeTable:
    """A dataset's table: version, time of its last commit (seconds since 1970), whether a snapshot
    is on its way in."""

    version: int
    committed_s: float | None
    loading: bool


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters of an owner that nobody has replayed or dropped; `more`: there are more, which
    were not counted."""

    open: int
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it.

    Args:
        at_s: the moment, seconds since 1970.
        namespace: the topics' prefix.
        routes: the datasets asked for.
        topics: those that exist, by full name.
        waiting: by (group, topic), in full names; of the sink as its tables say it.
        checkpoints: what the connectors have committed.
        reports: the last word of every process.
        lake: by dataset; a text is why the table can't be read, absent is no table yet.
        lake_known: whether a lake is set at all.
        letters: by owner: transforms, datasets and `connector`.
    """

    at_s: float
    namespace: str
    routes: tuple[Route, ...]
    topics: Mapping[str, TopicFacts] = field(default_factory=dict)
    waiting: Mapping[tuple[str, str], Waiting] = field(default_factory=dict)
    checkpoints: CheckpointView = field(default_factory=CheckpointView)
    reports: tuple[Heard, ...] = ()
    generations: Generations = field(default_factory=Generations)
    pauses: Pauses = field(default_factory=dict)
    lake: Mapping[str, LakeTable | str] = field(default_factory=dict)
    lake_known: bool = True
    letters: Mapping[str, Letters] = field(default_factory=dict)
