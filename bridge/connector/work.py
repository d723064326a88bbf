"""What readers and the leader hand to a bucket to be committed, and how it becomes messages. Pure.

Everything of one piece of work goes into one transaction: the changes of a page together with the
position after it. The epoch is stamped here, from the bucket's own committed bump, never earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from bridge.connector.checkpoints import AnySegment, Bump, Position
from bridge.connector.keyed import Keyed, count_keyed, stamped
from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import (
    CONTROL_KEY,
    SETTLED,
    Headers,
    settled_headers,
    settled_value,
    stamp,
)
from bridge.wire.namespace import encode_key, encode_value


class Message(msgspec.Struct, frozen=True, gc=False):
    """A Kafka message to be; `partition` None lets the key decide."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Headers | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Messages of a page: each record's key is theirs, its bytes with `tail` spliced in the value.

    A thousand of them are one object here: who produces them makes none of its own for each.
    """

    topic: str
    tail: bytes
    records: Sequence[Keyed]

    def messages(self) -> Iterator[Message]:
        """One by one."""
        for key, value in self.stamped():
            yield Message(self.topic, key, value)

    def stamped(self) -> Iterable[tuple[bytes | None, bytes]]:
        """Their keys and values, one by one."""
        return stamped(self.records, self.tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPage:
    """Records of a shard and where it stands after them.

    `sequence` is the last one read so far, also by earlier pages. A page without records commits a
    start or an end.
    """

    table: str
    arn: str
    shard: str
    records: Sequence[Keyed] = ()
    sequence: str | None = None
    whole: bool = False
    ended: bool = False
    children: tuple[tuple[str, str | None], ...] = ()
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentPage:
    """Items of a scan and where its segment stands after them."""

    arn: str
    segment: AnySegment
    records: Sequence[Keyed] = ()
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """Records without changes, committed alone: discovery, gaps, a generation, a seal."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class EpochMark:
    """A bump: committed alone, and what comes after carries it."""

    bump: Bump


Work = ShardPage | SegmentPage | Marks | EpochMark


def size_of(work: Work) -> int:
    """Bytes a piece of work holds in memory, roughly."""
    return work.size_bytes if isinstance(work, ShardPage | SegmentPage) else 0


def table_of(work: Work) -> str | None:
    """Whose changes or items it carries; None for what is about no items."""
    match work:
        case ShardPage():
            return work.table
        case SegmentPage():
            return work.segment.table
        case _:
            return None


@dataclass(slots=True)
class Composer:
    """Turns one bucket's work into messages; knows the epochs its changes carry.

    `epochs` by stream ARN. Stamps are made once per shard and epoch.
    """

    bucket: int
    checkpoints: str
    changes: Mapping[str, str]
    dead_letters: str
    epochs: dict[str, int] = field(default_factory=dict)
    _stamps: dict[tuple[str, str, int, str | None], bytes] = field(default_factory=dict)

    def compose(self, batch: Iterable[Work], now_s: float) -> Iterator[Message]:
        """Changes first, in order, then the positions that cover them."""
        for piece in self.runs(batch, now_s):
            if isinstance(piece, Run):
                yield from piece.messages()
            else:
                yield piece

    def runs(self, batch: Iterable[Work], now_s: float) -> Iterator[Run | Message]:
        """The same, changes in runs."""
        positions: dict[bytes, bytes] = {}
        for work in batch:
            match work:
                case ShardPage():
                    epoch = self.epochs[work.arn]
                    tail = self._stamp(work.arn, work.shard, epoch)
                    yield from self._changes(work.table, tail, work.records)
                    position = _position(work, epoch, now_s)
                    positions[position.key()] = position.value()
                case SegmentPage():
                    segment = work.segment
                    name = f"segment-{segment.index}"
                    tail = self._stamp(work.arn, name, segment.epoch, segment.addressee)
                    yield from self._changes(segment.table, tail, work.records)
                    positions[segment.key()] = segment.value()
                case Marks():
                    yield from work.messages
                case EpochMark():
                    yield self.checkpoint(work.bump.key(), work.bump.value())
        for key, value in positions.items():
            yield self.checkpoint(key, value)

    def checkpoint(self, key: bytes, value: bytes | None) -> Message:
        """A record in this bucket's own partition."""
        return Message(self.checkpoints, key, value, partition=self.bucket)

    def settling(self, partitions: Mapping[str, int]) -> Iterator[Message]:
        """Records that say nothing: one in each partition a transaction of this bucket may touch.

        `partitions` by topic; see `bridge.wire.undecided`.
        """
        yield self.checkpoint(encode_key(SETTLED, self.bucket), encode_value({}))
        value, headers = settled_value(), settled_headers()
        for topic in self.changes.values():
            for partition in range(partitions.get(topic, 0)):
                yield Message(topic, CONTROL_KEY, value, partition, headers)

    def _stamp(self, arn: str, shard: str, epoch: int, addressee: str | None = None) -> bytes:
        known = (arn, shard, epoch, addressee)
        tail = self._stamps.get(known)
        if tail is None:
            tail = self._stamps[known] = stamp(epoch, shard, arn, addressee)
        return tail

    def _changes(
        self, table: str, tail: bytes, records: Sequence[Keyed]
    ) -> Iterator[Run | Message]:
        topic = self.changes[table]
        if count_keyed(records) == len(records):
            yield Run(topic, tail, records)
            return
        begin = 0
        for place, keyed in enumerate(records):
            if keyed.key is None:
                yield Run(topic, tail, records[begin:place])
                yield self._dead_letter(table, topic, keyed)
                begin = place + 1
        yield Run(topic, tail, records[begin:])

    def _dead_letter(self, table: str, topic: str, keyed: Keyed) -> Message:
        letter = DeadLetter(
            stage="connector",
            owner=table,
            topic=topic,
            partition=-1,
            offset=-1,
            error="KeyError",
            reason=keyed.problem,
        )
        return Message(self.dead_letters, None, keyed.record, headers=letter.headers(None))


def _position(page: ShardPage, epoch: int, now_s: float) -> Position:
    return Position(
        arn=page.arn,
        shard=page.shard,
        epoch=epoch,
        sequence=page.sequence,
        whole=page.whole,
        ended=page.ended,
        at_s=int(now_s),
        children=page.children,
    )
