"""The committed state of all connectors of a namespace, as one worker has read it so far.

Every worker tails the whole of `_checkpoints` with read_committed and decides from this view alone.
It may lag, it is never wrong: what it shows was committed, and nothing is decided from absence
except by the one who may write it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.connector.checkpoints import (
    KINDS,
    AddressedScan,
    AddressedSegment,
    Bump,
    Gap,
    Generation,
    Position,
    Request,
    SealedMark,
    Segment,
    Shard,
    read_record,
)
from bridge.wire.found import KIND as FOUND
from bridge.wire.found import Declared, FoundTables, read_found
from bridge.wire.namespace import decode_key, decode_value


@dataclass(slots=True)
class CheckpointView:
    """All live checkpoint records, by what they are asked for.

    `listed` holds the shards with a record of their own; `shards` also those that only their
    parent's end has told of. What is shown follows from the live records, in whatever order their
    partitions were read.
    """

    namespace_id: str | None = None
    generations: dict[str, Generation] = field(default_factory=dict)
    shards: defaultdict[str, dict[str, Shard]] = field(default_factory=lambda: defaultdict(dict))
    listed: defaultdict[str, dict[str, Shard]] = field(default_factory=lambda: defaultdict(dict))
    positions: defaultdict[str, dict[str, Position]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    bumps: defaultdict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    segments: defaultdict[tuple[str, int], dict[int, Segment]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    gaps: defaultdict[str, dict[tuple[str, str], Gap]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    sealed: dict[str, int] = field(default_factory=dict)
    requests: defaultdict[str, dict[str, Request]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    parents: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    addressed: defaultdict[str, dict[str, AddressedScan]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    addressed_segments: defaultdict[tuple[str, str, str, int], dict[int, AddressedSegment]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    found: dict[Declared, FoundTables] = field(default_factory=dict)

    def apply(self, key: bytes, value: bytes | None) -> bool:
        """Take one record; whether anything but the progress of a running shard changed.

        Raises:
            WireError: a malformed record. UnknownVersionError: a newer release wrote it.
        """
        kind, *parts = decode_key(key)
        if kind == "namespace":
            self.namespace_id = None if value is None else str(decode_value(value, kind)["id"])
            return True
        if kind == FOUND:
            record = read_found(key, value)
            if record is not None:
                self.found[record.of] = record
            return True
        if kind not in KINDS:
            return False  # acceptances of gaps, and what later releases may add
        if value is None:
            self._forget(kind, parts)
            return True
        return self._keep(read_record(kind, parts, decode_value(value, f"checkpoint {kind}")))

    def _keep(self, record: object) -> bool:
        match record:
            case Position():
                before = self.positions[record.arn].get(record.shard)
                self.positions[record.arn][record.shard] = record
                for shard, start in record.children:
                    self._discover(
                        Shard(arn=record.arn, shard=shard, parent=record.shard, start=start)
                    )
                return before is None or record.ended or before.epoch != record.epoch
            case Segment():
                self.segments[record.table, record.epoch][record.index] = record
                return record.done
            case AddressedSegment() | AddressedScan():
                return self._keep_addressed(record)
            case Shard():
                self._discover(record, listed=True)
            case Generation():
                self.generations[record.table] = record
            case Bump():
                self.bumps[record.arn][record.bucket] = record.epoch
            case Gap():
                self.gaps[record.table][record.arn, record.shard] = record
            case SealedMark() | Request():
                self._keep_of_table(record)
        return True

    def _keep_of_table(self, record: SealedMark | Request) -> None:
        if isinstance(record, Request):
            self.requests[record.table][record.id] = record
        else:
            self.sealed[record.table] = record.epoch

    def _keep_addressed(self, record: AddressedSegment | AddressedScan) -> bool:
        if isinstance(record, AddressedScan):
            self.addressed[record.table][record.transform] = record
            return True
        scan = (record.table, record.transform, record.id, record.epoch)
        self.addressed_segments[scan][record.index] = record
        return record.done

    def _discover(self, shard: Shard, *, listed: bool = False) -> None:
        if listed:
            self.listed[shard.arn][shard.shard] = shard
        if listed or shard.shard not in self.shards[shard.arn]:
            self.shards[shard.arn][shard.shard] = shard
        if shard.parent is not None:
            self.parents[shard.arn].add(shard.parent)

    def _forget(self, kind: str, parts: list[object]) -> None:
        match kind, parts:
            case Position.KIND, [str(arn), str(shard)]:
                self._forget_position(arn, shard)
            case Shard.KIND, [str(arn), str(shard)]:
                self._forget_listing(arn, shard)
            case Segment.KIND, [str(table), int(epoch), int(index)]:
                self.segments[table, epoch].pop(index, None)
            case AddressedScan.KIND, [str(table), str(transform)]:
                self.addressed[table].pop(transform, None)
            case AddressedSegment.KIND, [
                str(table),
                str(transform),
                str(request),
                int(epoch),
                int(index),
            ]:
                self.addressed_segments[table, transform, request, epoch].pop(index, None)
            case Request.KIND, [str(table), str(request)]:
                self.requests[table].pop(request, None)
            case Gap.KIND, [str(table), str(arn), str(shard)]:
                self.gaps[table].pop((arn, shard), None)
            case Generation.KIND, [str(table)]:
                self.generations.pop(table, None)
            case Bump.KIND, [str(arn), int(bucket)]:
                self.bumps[arn].pop(bucket, None)

    def _forget_position(self, arn: str, shard: str) -> None:
        position = self.positions[arn].pop(shard, None)
        for child, _ in position.children if position is not None else ():
            if child not in self.listed[arn]:
                self.shards[arn].pop(child, None)

    def _forget_listing(self, arn: str, shard: str) -> None:
        known = self.listed[arn].pop(shard, None)
        if known is None:
            return
        del self.shards[arn][shard]
        parent = self.positions[arn].get(known.parent or "")
        for child, start in parent.children if parent is not None else ():
            if child == shard:
                self._discover(Shard(arn=arn, shard=shard, parent=known.parent, start=start))

    def active_gaps(self, table: str) -> list[Gap]:
        """Gaps of the table that no later generation has repaired."""
        generation = self.generations.get(table)
        if generation is None:
            return []
        return [gap for gap in self.gaps[table].values() if gap.epoch >= generation.epoch]

    def not_found_yet(self, found: Sequence[FoundTables]) -> list[FoundTables]:
        """Of these sets, those with a table that is not committed, with what is."""
        known = (self.found.get(each.of, FoundTables(each.of, ())) for each in found)
        pairs = zip(known, found, strict=True)
        return [k.grown(each.tables) for k, each in pairs if not {*each.tables} <= {*k.tables}]

    def bump(self, arn: str, bucket: int) -> int:
        """The epoch a bucket's changes of a stream carry, 0 before its first bump."""
        return self.bumps[arn].get(bucket, 0)

    def has_child(self, arn: str, shard: str) -> bool:
        """Whether a shard that continues this one is known."""
        return shard in self.parents[arn]
