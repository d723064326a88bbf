"""A transform that begins when its input has already lost its oldest changes.

Nothing of it was ever read and nothing of it was given out, so a scan that only it takes can fill
it (the proof is in `bridge.connector.addressed`). Before it asks it notes where the input ended:
below these limits it takes records of the stream only, above them everything. The note is durable
and written before the request, and the request's id follows from it, so a start that was
interrupted asks for the same scan again and not for another one.

A transform that gave rows out before, but whose positions are gone (Kafka forgets those of a group
that was away for long), does not begin: its tables hold what a scan can't take out. It stays a GAP.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson
from confluent_kafka.admin import AdminClient

from bridge.wire.kafka import KafkaConfig, LogBounds, read_to_end, written_bounds
from bridge.wire.namespace import decode_value, encode_key, encode_value, read_namespace
from bridge.wire.requests import request_backfill, write_record
from bridge.wire.topics import TopicNames, admin, existing_topics
from processors.compiled import CompiledTransform
from processors.positions import Positions
from processors.provision import Inputs

logger = logging.getLogger(__name__)

KIND = "beginning"
Limits = Mapping[str, Mapping[int, int]]
"""By changes topic and partition: the offset from which everything is taken."""
Notes = Mapping[str, "Beginning"]
"""By changes topic."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a late transform found its input: the log's starts, and its ends, by partition.

    `epoch` is the feed's, read after the ends: of a scan of a newer one no item lies below them.
    """

    transform: str
    topic: str
    starts: Mapping[int, int]
    limits: Mapping[int, int]
    epoch: int = 0

    @property
    def request(self) -> str:
        """The id of its request: the same note asks for the same scan."""
        text = orjson.dumps([self.transform, self.topic, _texts(self.starts), _texts(self.limits)])
        return hashlib.sha256(text).hexdigest()[:32]

    def key(self) -> bytes:
        """Key of its note in `_transforms`."""
        return encode_key(KIND, self.transform, self.topic)

    def value(self) -> bytes:
        """Value of its note."""
        epoch = {"epoch": self.epoch} if self.epoch else {}
        return encode_value({"starts": _texts(self.starts), "limits": _texts(self.limits), **epoch})

    @classmethod
    def read(cls, transform: str, topic: str, value: bytes) -> Beginning:
        """Raises: WireError: malformed. UnknownVersionError: a newer release wrote it."""
        fields = decode_value(value, f"beginning of transform {transform}")
        starts, limits = (
            {int(p): int(offset) for p, offset in fields[name].items()}
            for name in ("starts", "limits")
        )
        return cls(transform, topic, starts, limits, int(fields.get("epoch", 0)))


def _texts(offsets: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): offsets[partition] for partition in sorted(offsets)}


def in_force(notes: Iterable[Beginning]) -> Beginning | None:
    """Of notes in the log's order, the first of the last starts.

    Replicas that begin at the same moment each write one; all of them follow the first. Pure.
    """
    current: Beginning | None = None
    for note in notes:
        if current is None or note.starts != current.starts:
            current = note
    return current


def is_late(
    stored: Mapping[int, int | None], bounds: Mapping[int, LogBounds], *, rebuilt: bool = False
) -> bool:
    """Whether nothing was ever read of a topic whose oldest messages are gone. Pure.

    A generation that is `rebuilt` beside another one always begins late.
    """
    lost = rebuilt or any(b.start for b in bounds.values())
    return all(p is None for p in stored.values()) and lost


def begin(
    kafka: KafkaConfig,
    compiled: CompiledTransform,
    inputs: Inputs,
    unscanned: frozenset[str],
) -> Notes:
    """The notes of the transform's inputs, after asking for the scans that are still wanting.

    Args:
        kafka: where.
        compiled: the transform.
        inputs: the topics it reads; nothing is asked for a gap that a person accepted.
        unscanned: tables of which changes alone are wanted, not the items there are.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    names, client = TopicNames(kafka.namespace), admin(kafka)
    found: dict[str, Beginning] = {}
    for table in compiled.tables():
        topic = names.changes(table)
        note = in_force(_notes(kafka, client, compiled.instance, topic))
        with Positions(kafka, names.group(compiled.instance)) as positions:
            stored = positions.committed(topic, range(inputs.partitions[topic]))
        bounds = written_bounds(client, topic, stored)
        accepted = (f"processor:{compiled.name}", topic) in inputs.accepted
        late = is_late(stored, bounds, rebuilt=compiled.generation > 1)
        if late and not accepted and table not in unscanned:
            note = _begin_late(kafka, compiled, table, note, bounds)
        if note is not None:
            found[topic] = note
    return found


def _begin_late(
    kafka: KafkaConfig,
    compiled: CompiledTransform,
    table: str,
    note: Beginning | None,
    bounds: Mapping[int, LogBounds],
) -> Beginning | None:
    names, client = TopicNames(kafka.namespace), admin(kafka)
    topic = names.changes(table)
    starts = {p: b.start for p, b in bounds.items()}
    if note is None or note.starts != starts:
        if not _gave_nothing_out(client, names, compiled):
            return note
        ends = {p: b.end for p, b in bounds.items()}
        epoch = read_namespace(kafka).epochs.get(table, 0)
        mine = Beginning(compiled.instance, topic, starts, ends, epoch)
        note = _written(kafka, client, names, mine)
    request_backfill(kafka, table, addressed_to=compiled.instance, request=note.request)
    logger.info(
        "begins late, asked for a scan",
        extra={"transform": compiled.instance, "topic": topic, "table": table},
    )
    return note


def _written(
    kafka: KafkaConfig, client: AdminClient, names: TopicNames, mine: Beginning
) -> Beginning:
    """The note that is in force once this one is in the log too."""
    write_record(kafka, names.transforms, mine.key(), mine.value(), partition=0)
    found = in_force(_notes(kafka, client, mine.transform, mine.topic)) or mine
    if found != mine:  # compaction keeps the last one
        write_record(kafka, names.transforms, found.key(), found.value(), partition=0)
    return found


def _notes(kafka: KafkaConfig, client: AdminClient, transform: str, topic: str) -> list[Beginning]:
    transforms = TopicNames(kafka.namespace).transforms
    if transforms not in existing_topics(client):
        return []
    wanted = encode_key(KIND, transform, topic)
    return [
        Beginning.read(transform, topic, value)
        for message in read_to_end(kafka, transforms, [0])
        if message.key() == wanted and isinstance(value := message.value(), bytes)
    ]


def _gave_nothing_out(client: AdminClient, names: TopicNames, compiled: CompiledTransform) -> bool:
    """Whether no row was ever written to any of its datasets, by whomever."""
    topics = existing_topics(client)
    written = {names.rows(flow.dataset.id) for flow in compiled.flows}
    written |= {names.contributions(f.dataset.id) for f in compiled.flows if f.keyed is not None}
    for topic in written:
        count = topics.get(topic, 0)
        if any(b.end for b in written_bounds(client, topic, range(count)).values()):
            return False
    return True
