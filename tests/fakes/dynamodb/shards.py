"""The shards of one stream: a lineage of key ranges that rotate, split and are trimmed.

What a reader may rely on, and nothing more:

- an item's records lie along one line of shards, parent before child, with rising sequence numbers;
- sequence numbers are whole numbers of 21 to 40 digits that grow in length along the line, so
  their text order is wrong, and those of unrelated shards do not compare at all;
- a closed shard takes no more records; a shard leaves the list once all it held is trimmed.
"""

import bisect
import hashlib
import random
from dataclasses import dataclass, field

TOKENS = 1 << 64
_UNIT = 10**20
_COUNT_MAX = 10**19
# Children jump a digit ahead of their parent until so many digits are used up.
_JUMP_UNTIL = 10**15


def token_of(hash_key: bytes) -> int:
    """Where in the key space (0 to 2**64) an item's partition key falls."""
    return int.from_bytes(hashlib.md5(hash_key, usedforsecurity=False).digest()[:8], "big")


@dataclass(slots=True)
class StreamRecord:
    """A record as it lies in a shard: its encoded JSON and what the fake decides by."""

    sequence: int
    created_s: float
    body: bytes
    size_bytes: int


@dataclass(slots=True)
class Shard:
    """One shard: the keys of `low <= token < high` from its creation until it is closed."""

    id: str
    parent_id: str | None
    low: int
    high: int
    created_s: float
    count: int
    salt: int
    records: list[StreamRecord] = field(default_factory=list)
    trimmed_records: int = 0
    trimmed_sequence: int = 0
    closed_s: float | None = None
    start: int = 0

    def __post_init__(self) -> None:
        self.start = self.next_sequence()

    def next_sequence(self) -> int:
        """The sequence number that the next record will have."""
        return self.count * _UNIT + self.salt + self.count

    def append(self, record: StreamRecord) -> None:
        """Take a record made with `next_sequence`."""
        if self.closed_s is not None or record.sequence != self.next_sequence():
            raise AssertionError(f"{self.id} cannot take {record.sequence}")
        self.records.append(record)
        self.count += 1

    @property
    def end(self) -> int | None:
        """The last sequence number of a closed shard; its start when it never had a record."""
        if self.closed_s is None:
            return None
        if self.records:
            return self.records[-1].sequence
        return self.trimmed_sequence or self.start

    @property
    def written(self) -> int:
        """How many records it ever took: the position after its last record."""
        return self.trimmed_records + len(self.records)

    def position_from(self, sequence: int) -> int:
        """The position of the first kept record at or after a sequence number."""
        found = bisect.bisect_left(self.records, sequence, key=lambda record: record.sequence)
        return self.trimmed_records + found

    def trim(self, before_s: float) -> int:
        """Drop records created before an instant; the number dropped."""
        drop = bisect.bisect_left(self.records, before_s, key=lambda record: record.created_s)
        self.drop(drop)
        return drop

    def drop(self, count: int) -> None:
        """Drop the oldest records."""
        if count:
            self.trimmed_sequence = self.records[count - 1].sequence
            self.trimmed_records += count
            del self.records[:count]

    def gone(self, before_s: float) -> bool:
        """Whether the whole shard is past retention: closed long ago and empty."""
        return self.closed_s is not None and self.closed_s < before_s and not self.records


@dataclass(slots=True)
class Lineage:
    """All shards of one stream that are still kept, in order of creation."""

    seed: random.Random
    shards: dict[str, Shard] = field(default_factory=dict)
    _open: list[Shard] = field(default_factory=list)
    _lows: list[int] = field(default_factory=list)

    def begin(self, shard_count: int, now_s: float) -> None:
        """Divide the key space evenly into the first shards."""
        for number in range(shard_count):
            low = number * TOKENS // shard_count
            high = (number + 1) * TOKENS // shard_count
            self._add(None, low, high, now_s, self.seed.randrange(1, 9))
        self._index()

    def open_shards(self) -> list[Shard]:
        """The shards that take records, in order of their key ranges."""
        return list(self._open)

    def owner(self, token: int) -> Shard:
        """The open shard that takes a key's records."""
        return self._open[bisect.bisect_right(self._lows, token) - 1]

    def children(self, shard_id: str) -> list[Shard]:
        """The shards that continue this one."""
        return [shard for shard in self.shards.values() if shard.parent_id == shard_id]

    def split(self, shard: Shard, ways: int, now_s: float) -> list[Shard]:
        """Close a shard and continue it with so many children; one child is a rotation."""
        self.close(shard, now_s)
        width = shard.high - shard.low
        count = _first_count(shard.count, self.seed)
        made = [
            self._add(
                shard.id,
                shard.low + number * width // ways,
                shard.low + (number + 1) * width // ways,
                now_s,
                count,
            )
            for number in range(ways)
        ]
        self._index()
        return made

    def close(self, shard: Shard, now_s: float) -> None:
        """Let a shard take no more records."""
        if shard.closed_s is not None:
            raise ValueError(f"{shard.id} is closed already")
        shard.closed_s = now_s

    def close_all(self, now_s: float) -> None:
        """Close every open shard without children: what disabling a stream does."""
        for shard in self._open:
            shard.closed_s = now_s
        self._index()

    def trim(self, before_s: float, shard_id: str | None = None) -> int:
        """Drop records and whole shards older than an instant; the number of records dropped."""
        if shard_id is None:
            shards = list(self.shards.values())
        else:
            shards = [self.shards[shard_id]] if shard_id in self.shards else []
        dropped = 0
        for shard in shards:
            dropped += shard.trim(before_s)
            if shard.gone(before_s):
                del self.shards[shard.id]
        return dropped

    def _add(self, parent_id: str | None, low: int, high: int, now_s: float, count: int) -> Shard:
        while True:
            shard_id = f"shardId-{int(now_s * 1000):020d}-{self.seed.getrandbits(32):08x}"
            if shard_id not in self.shards:
                break
        salt = self.seed.randrange(10**5, 10**12)
        shard = Shard(shard_id, parent_id, low, high, now_s, count, salt)
        self.shards[shard_id] = shard
        return shard

    def _index(self) -> None:
        self._open = sorted(
            (shard for shard in self.shards.values() if shard.closed_s is None),
            key=lambda shard: shard.low,
        )
        self._lows = [shard.low for shard in self._open]


def _first_count(parent_count: int, seed: random.Random) -> int:
    if parent_count < _JUMP_UNTIL:
        # One digit more and a low first one: as text, every child sorts before its parent.
        return int(10 ** len(str(parent_count))) + seed.randrange(10)
    if parent_count >= _COUNT_MAX:
        raise AssertionError("sequence numbers would need more than 40 digits")
    return parent_count + seed.randrange(1, 1000)
