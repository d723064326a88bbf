"""What the connector remembers, as records of the compacted topic `_checkpoints`.

Partition i belongs to bucket i: positions, segments, bumps and gaps of a bucket are written only by
that bucket's transactional id, in the same transaction as the changes they cover, so whoever fences
the bucket and reads its partition to the end knows exactly how far it came. What concerns a table
as a whole (generation, discovered shards, seal, requests) lies in partition 0 under keys of other
kinds and never touches a position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from bridge.wire.errors import WireError
from bridge.wire.namespace import encode_key, encode_value
from bridge.wire.requests import request_key, request_value


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values this release knows: a later one may add some without a new wire version."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def is_stream(arn: str) -> bool:
    """Whether an ARN names a stream, not a table."""
    return "/stream/" in arn


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The feed of a table from one moment on: its epoch, its stream, its scan.

    `segments` 0 means that nothing is scanned. `arn` is the stream's; the table's own where no
    stream is read. `at_s` is when it was begun, seconds since 1970.
    """

    KIND: ClassVar[str] = "generation"

    table: str
    epoch: int
    arn: str
    segments: int
    consistent: bool
    reason: str
    at_s: int

    @property
    def reads_stream(self) -> bool:
        """Whether changes follow the items; else `arn` is the table's own."""
        return is_stream(self.arn)

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.table)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value(
            {
                "epoch": self.epoch,
                "arn": self.arn,
                "segments": self.segments,
                "consistent": self.consistent,
                "reason": self.reason,
                "at_s": self.at_s,
            }
        )

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> Generation:
        """From key parts and values."""
        return cls(table=parts[0], **_known(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A shard that a listing showed.

    `start` is its first sequence number if the listing told it. `first`: listed when the feed of
    its stream began, so what was trimmed before counts as never wanted.
    """

    KIND: ClassVar[str] = "shard"

    arn: str
    shard: str
    parent: str | None
    start: str | None = None
    first: bool = False

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.arn, self.shard)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value({"parent": self.parent, "start": self.start, "first": self.first})

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> Shard:
        """From key parts and values."""
        return cls(arn=parts[0], shard=parts[1], **_known(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a shard's records are in Kafka.

    `sequence` is the last one committed, None if none was. `whole`: the shard was complete from its
    first sequence number when it was begun, so finding it trimmed later is a gap. `ended`: its last
    record was committed too; `children` are those known at that moment, as `(shard, start)`.
    `at_s` is when it was committed, seconds since 1970.
    """

    KIND: ClassVar[str] = "position"

    arn: str
    shard: str
    epoch: int
    sequence: str | None = None
    whole: bool = False
    ended: bool = False
    at_s: int = 0
    children: tuple[tuple[str, str | None], ...] = ()

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.arn, self.shard)

    def value(self) -> bytes:
        """Checkpoint value."""
        values: dict[str, Any] = {
            "epoch": self.epoch,
            "sequence": self.sequence,
            "whole": self.whole,
            "ended": self.ended,
            "at_s": self.at_s,
        }
        if self.children:
            values["children"] = [list(child) for child in self.children]
        return encode_value(values)

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> Position:
        """From key parts and values."""
        children = tuple((child[0], child[1]) for child in values.get("children", ()))
        rest = {name: value for name, value in values.items() if name != "children"}
        return cls(arn=parts[0], shard=parts[1], children=children, **_known(cls, rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """From here on this bucket's changes of the stream carry `epoch`."""

    KIND: ClassVar[str] = "bump"

    arn: str
    bucket: int
    epoch: int

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.arn, self.bucket)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value({"epoch": self.epoch})

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> Bump:
        """From key parts and values."""
        return cls(arn=parts[0], bucket=parts[1], **_known(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """How far one segment of a scan is in Kafka.

    `start` is the ExclusiveStartKey of the next page as DynamoDB JSON, None for the first page.
    """

    KIND: ClassVar[str] = "segment"
    addressee: ClassVar[None] = None

    table: str
    epoch: int
    index: int
    start: str | None = None
    done: bool = False
    items: int = 0

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.table, self.epoch, self.index)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value({"start": self.start, "done": self.done, "items": self.items})

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> Segment:
        """From key parts and values."""
        return cls(table=parts[0], epoch=parts[1], index=parts[2], **_known(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Changes of a shard are gone that were not read. In force until a later generation begins.

    `after` is the last sequence number read, `cause` one phrase; `at_s` seconds since 1970.
    """

    KIND: ClassVar[str] = "gap"

    table: str
    arn: str
    shard: str
    epoch: int
    after: str | None
    cause: str
    at_s: int

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.table, self.arn, self.shard)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value(
            {"epoch": self.epoch, "after": self.after, "cause": self.cause, "at_s": self.at_s}
        )

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> Gap:
        """From key parts and values."""
        return cls(table=parts[0], arn=parts[1], shard=parts[2], **_known(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedMark:
    """The scan of `epoch` is complete and its seals are in every partition of the changes.

    `scanned` False: the feed began there without a scan, and the partitions say so.
    """

    KIND: ClassVar[str] = "sealed"

    table: str
    epoch: int
    scanned: bool = True

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.table)

    def value(self) -> bytes:
        """Checkpoint value."""
        more = {} if self.scanned else {"scanned": False}
        return encode_value({"epoch": self.epoch, **more})

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> SealedMark:
        """From key parts and values."""
        return cls(table=parts[0], **_known(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody asks for a new snapshot of a table; `at_s` seconds since 1970.

    `addressed_to` names the one transform it is for, None is for all; see `addressed`.
    """

    KIND: ClassVar[str] = "request"

    table: str
    id: str
    at_s: int
    addressed_to: str | None = None

    def key(self) -> bytes:
        """Checkpoint key."""
        return request_key(self.table, self.id)

    def value(self) -> bytes:
        """Checkpoint value."""
        return request_value(self.at_s, self.addressed_to)

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> Request:
        """From key parts and values."""
        given = {**_known(cls, values), "addressed_to": values.get("for")}
        return cls(table=parts[0], id=parts[1], **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressedScan:
    """A scan whose items only one transform takes; `id` is the request's that it answers.

    It carries the epoch of the table's feed. The next one for the transform takes its place.
    `at_s` is when it was begun, seconds since 1970.
    """

    KIND: ClassVar[str] = "addressed"

    table: str
    transform: str
    id: str
    epoch: int
    arn: str
    segments: int
    at_s: int
    done: bool = False
    consistent: ClassVar[bool] = True

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.table, self.transform)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value({name: getattr(self, name) for name in _SCAN_VALUES})

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> AddressedScan:
        """From key parts and values."""
        return cls(table=parts[0], transform=parts[1], **_known(cls, values))


_SCAN_VALUES = ("id", "epoch", "arn", "segments", "at_s", "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressedSegment:
    """How far one segment of an addressed scan is in Kafka; as `Segment`."""

    KIND: ClassVar[str] = "addressed_segment"

    table: str
    transform: str
    id: str
    epoch: int
    index: int
    start: str | None = None
    done: bool = False
    items: int = 0

    @property
    def addressee(self) -> str:
        """The transform that takes its items."""
        return self.transform

    def key(self) -> bytes:
        """Checkpoint key."""
        return encode_key(self.KIND, self.table, self.transform, self.id, self.epoch, self.index)

    def value(self) -> bytes:
        """Checkpoint value."""
        return encode_value({"start": self.start, "done": self.done, "items": self.items})

    @classmethod
    def read(cls, parts: list[Any], values: Mapping[str, Any]) -> AddressedSegment:
        """From key parts and values."""
        table, transform, request, epoch, index = parts
        return cls(
            table=table,
            transform=transform,
            id=request,
            epoch=epoch,
            index=index,
            **_known(cls, values),
        )


AnyScan = Generation | AddressedScan
AnySegment = Segment | AddressedSegment
Record = Shard | Position | Bump | Gap | SealedMark | Request | AnyScan | AnySegment

_ALL = (Generation, Shard, Position, Bump, Segment, Gap, SealedMark, Request)
KINDS: dict[str, type[Record]] = {k.KIND: k for k in (*_ALL, AddressedScan, AddressedSegment)}


def namespace_value(namespace_id: str) -> bytes:
    """Checkpoint value of the namespace's id."""
    return encode_value({"id": namespace_id})


def read_record(kind: str, parts: list[Any], values: Mapping[str, Any]) -> Record:
    """A record of a known kind.

    Raises:
        WireError: something is missing or of another form.
    """
    try:
        return KINDS[kind].read(parts, values)
    except (TypeError, ValueError, IndexError, AttributeError):
        raise WireError("malformed checkpoint", where=f"checkpoint {kind}") from None
