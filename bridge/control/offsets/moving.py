"""Moving a reader's position: back, where everything that is read again changes nothing.

Key and version travel in every change and row, so whoever keeps no state may read again what it has
read: the merge takes only what is newer. Forward is never right: what is skipped is lost, and no
later record tells of it. What keeps state has counted what it read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from bridge.control.offsets.positions import Reader, Standing
from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, SESSION_TIMEOUT_MS, KafkaConfig, unreachable
from bridge.wire.namespace import read_namespace
from bridge.wire.offsets import ask_offsets
from bridge.wire.topics import admin

if TYPE_CHECKING:
    from bridge.control.lake import Lake

_ATTEMPTS = 50
_LEAVING_S = 4.0


@dataclass(frozen=True, slots=True)
class Move:
    """One partition's, from the next offset to another."""

    topic: str
    partition: int
    before: int
    after: int


def planned(
    reader: Reader, standing: Sequence[Standing], wanted: Mapping[tuple[str, int], int]
) -> list[Move]:
    """The moves that are wanted and change something. Pure.

    Args:
        reader: whose.
        standing: where it stands.
        wanted: the next offset by (topic, partition).

    Raises:
        ConfigurationError: one of them would break a promise; with the way that keeps it.
    """
    if reader.stateful:
        raise ConfigurationError(
            "it keeps state, which has counted what it read: read again, it would count twice",
            where=reader.spelled,
            remedy="Run: tailrace rebuild FILE, which fills state and table anew",
        )
    by_place = {(each.topic, each.partition): each for each in standing}
    moves = []
    for place, offset in sorted(wanted.items()):
        found = by_place.get(place)
        if found is None:
            raise ConfigurationError(
                f"it does not read partition {place[1]} of {place[0]}",
                where=reader.spelled,
                remedy="tailrace offsets show FILE lists what it reads",
            )
        moves += [_checked(reader, found, offset)] if offset != found.position else []
    return moves


def _checked(reader: Reader, at: Standing, offset: int) -> Move:
    where = f"{reader.spelled}, {at.topic} partition {at.partition}"
    if at.position is None:
        raise ConfigurationError(
            "it has read nothing there yet, so there is nothing to move",
            where=where,
            remedy="It begins at the earliest by itself",
        )
    if offset > at.position:
        raise ConfigurationError(
            f"{offset} lies ahead of {at.position}: what is skipped would be lost",
            where=where,
            remedy="Let it read; what can't be processed goes to the dead letters. Where the log "
            "has lost it already: tailrace backfill TABLE --accept-gap, as the GAP says",
        )
    if offset < at.bounds.start:
        raise ConfigurationError(
            f"{offset} lies below the log's start, {at.bounds.start}: it would be a GAP",
            where=where,
            remedy=f"Take {at.bounds.start} or more; what is gone, tailrace backfill TABLE reads "
            "again from the source",
        )
    return Move(at.topic, at.partition, at.position, offset)


def target(
    kafka: KafkaConfig, standing: Sequence[Standing], to: str | float
) -> dict[tuple[str, int], int]:
    """What `earliest`, `latest` or a time (seconds since 1970) means in each partition.

    A time is the first record appended then or later, and never ahead of where it stands: who asks
    to read again from there has read that partition to its end.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    if to == "earliest":
        return {(s.topic, s.partition): s.bounds.start for s in standing if s.position is not None}
    if to == "latest":
        return {(s.topic, s.partition): s.bounds.end for s in standing}
    client, at_ms = admin(kafka), int(float(to) * 1000)
    places = {TopicPartition(s.topic, s.partition): s for s in standing if s.position is not None}
    asked = dict.fromkeys(places, OffsetSpec.for_timestamp(at_ms))
    try:
        answers = ask_offsets(client, asked, timeout_s=REQUEST_TIMEOUT_S)
        offsets = {place: answer.offset for place, answer in answers.items()}
    except KafkaException as error:
        raise unreachable(error, "offsets of topics") from error
    return {
        (place.topic, place.partition): min(
            offset if offset >= 0 else places[place].bounds.end, places[place].position or 0
        )
        for place, offset in offsets.items()
    }


def move(kafka: KafkaConfig, lake: Lake | None, reader: Reader, moves: Sequence[Move]) -> None:
    """Carry them out, all or none.

    Raises:
        ConfigurationError: a member of the group is running.
        TailraceError: Kafka or the lake does not answer, or the sink was faster every time.
    """
    if reader.kind == "transform":
        _check_nobody(kafka, reader)
        _alter(kafka, reader, moves)
        return
    # The group only follows the table, and must never be ahead of it.
    _alter(kafka, reader, moves)
    assert lake is not None
    _move_table(kafka, lake, reader, moves)


def _check_nobody(kafka: KafkaConfig, reader: Reader) -> None:
    """A processor that ended counts as a member for a session's length: it may come back."""
    deadline = time.monotonic() + SESSION_TIMEOUT_MS / 1000 + _LEAVING_S
    while members := _members(kafka, reader):
        if time.monotonic() > deadline:
            who = ", ".join(members[:3])
            raise ConfigurationError(
                f"{len(members)} of its processors run: {who}. They would go on where they are",
                where=reader.spelled,
                remedy="Stop them, move, and start them again",
            )
        time.sleep(0.5)


def _members(kafka: KafkaConfig, reader: Reader) -> list[str]:
    client = admin(kafka)
    try:
        answer = client.describe_consumer_groups([reader.group], request_timeout=REQUEST_TIMEOUT_S)
        members = answer[reader.group].result(REQUEST_TIMEOUT_S * 2).members
    except KafkaException as error:
        raise unreachable(error, f"group {reader.group}") from error
    return sorted(f"{member.client_id} on {member.host}" for member in members)


def _alter(kafka: KafkaConfig, reader: Reader, moves: Sequence[Move]) -> None:
    client = admin(kafka)
    places = [TopicPartition(m.topic, m.partition, m.after) for m in moves]
    request = [ConsumerGroupTopicPartitions(reader.group, places)]
    try:
        futures = client.alter_consumer_group_offsets(request, request_timeout=REQUEST_TIMEOUT_S)
        result = futures[reader.group].result(REQUEST_TIMEOUT_S * 2)
        failed = [place.error for place in result.topic_partitions if place.error is not None]
        if failed:
            raise KafkaException(failed[0])
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP):
            raise ConfigurationError(
                "one of its processes has just started",
                where=reader.spelled,
                remedy="Stop it, move, and start it again",
            ) from None
        raise unreachable(error, f"positions of {reader.group}") from error


def _move_table(kafka: KafkaConfig, lake: Lake, reader: Reader, moves: Sequence[Move]) -> None:
    """In a commit of its own. A sink that runs notices a table that is not where it left it, drops
    its batch and reads on from there; one that commits in between makes ours begin anew."""
    from sinks.ledger import LedgerNames
    from sinks.table import TableError

    namespace_id = read_namespace(kafka).namespace_id
    assert namespace_id is not None  # or the table had no position to move
    for _ in range(_ATTEMPTS):
        snapshot = lake.snapshot(reader.name)
        if snapshot is None:
            break
        names = [(LedgerNames(namespace_id, m.topic).offset(m.partition), m) for m in moves]
        if any((snapshot.transaction(name) or 0) < m.after for name, m in names):
            break
        try:
            snapshot.commit_transactions({name: m.after for name, m in names})
        except TableError:
            now = lake.snapshot(reader.name)
            if now is not None and now.version == snapshot.version:
                raise
            time.sleep(0.1)  # somebody else's commit came first
        else:
            return
    raise TailraceError(
        "its table changed each time before the position could be moved",
        where=reader.spelled,
        remedy=f"Run: tailrace pause {reader.spelled}, move, then tailrace resume",
    )
