"""One stream of one table: its ARN, its view type, its shards, and how listings may lie.

A stream is born with the table or with an UpdateTable, and dies when it is disabled: its shards are
closed, and after the retention (24 hours) it is unknown. Enabling again makes another stream.
"""

import random
from dataclasses import dataclass, field

from tests.fakes.dynamodb.records import Change, encode
from tests.fakes.dynamodb.settings import Settings
from tests.fakes.dynamodb.shards import Lineage, Shard, StreamRecord
from tests.fakes.dynamodb.values import Item


@dataclass(slots=True)
class Lie:
    """How one shard is misrepresented in the next listings.

    Counts of DescribeStream answers left in which the shard is absent, shown without its end, or
    shown as though it had ended.
    """

    hidden: int = 0
    shown_open: int = 0

    def spent(self) -> bool:
        """Whether the listing tells the truth again."""
        return self.hidden <= 0 and self.shown_open <= 0


@dataclass(slots=True)
class Stream:
    """A stream and its shards."""

    arn: str
    label: str
    table_name: str
    key_schema: list[dict[str, str]]
    view_type: str
    settings: Settings
    created_s: float
    seed: random.Random
    lineage: Lineage
    disabled_s: float | None = None
    enabling_answers: int = 0
    lies: dict[str, Lie] = field(default_factory=dict)
    _rotation_due: dict[str, int] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """ENABLING for the scripted number of answers, then ENABLED until it is DISABLED."""
        if self.disabled_s is not None:
            return "DISABLED"
        return "ENABLING" if self.enabling_answers > 0 else "ENABLED"

    def write(self, token: int, change: Change, now_s: float) -> tuple[Shard, int]:
        """Append a change to the shard that owns its key; the shard and the sequence number."""
        shard = self.lineage.owner(token)
        sequence = shard.next_sequence()
        body, size_bytes = encode(
            change,
            view_type=self.view_type,
            region=self.settings.region,
            arn=self.arn,
            sequence=sequence,
            now_s=now_s,
        )
        shard.append(StreamRecord(sequence, now_s, body, size_bytes))
        self._rotate_full(shard, now_s)
        return shard, sequence

    def _rotate_full(self, shard: Shard, now_s: float) -> None:
        every = self.settings.rotate_every
        if every is None:
            return
        # A jitter of half the size keeps shards from rolling all at once.
        due = self._rotation_due.setdefault(
            shard.id, self.seed.randrange(max(1, every // 2), every + 1)
        )
        if shard.written >= due:
            del self._rotation_due[shard.id]
            ways = 2 if self.seed.random() < self.settings.split_rate else 1
            self.lineage.split(shard, ways, now_s)

    def rotate_old(self, now_s: float) -> None:
        """Rotate the open shards that have reached their age, as AWS does about every 4 hours."""
        age_s = self.settings.rotate_after_s
        if age_s is None or self.disabled_s is not None:
            return
        for shard in self.lineage.open_shards():
            if shard.created_s + age_s <= now_s:
                self.lineage.split(shard, 1, now_s)

    def disable(self, now_s: float) -> None:
        """Close every shard; the stream stays readable for its retention."""
        self.disabled_s = now_s
        self.lineage.close_all(now_s)

    def past_retention(self, before_s: float) -> bool:
        """Whether a disabled stream has become unknown."""
        return self.disabled_s is not None and self.disabled_s < before_s

    def lie(self, shard_id: str) -> Lie:
        """The misrepresentation of a shard, to be set by a script."""
        return self.lies.setdefault(shard_id, Lie())

    def listed(self) -> list[dict[str, object]]:
        """The shards as the next DescribeStream answer shows them, by id, lies included."""
        shown = []
        for shard in sorted(self.lineage.shards.values(), key=lambda shard: shard.id):
            lie = self.lies.get(shard.id, Lie())
            if lie.hidden <= 0:
                shown.append(_description(shard, shown_open=lie.shown_open > 0))
        return shown

    def answered(self) -> None:
        """Count one complete listing against the lies."""
        self.enabling_answers -= 1
        for shard_id, lie in list(self.lies.items()):
            lie.hidden -= 1
            lie.shown_open -= 1
            if lie.spent():
                del self.lies[shard_id]


def _description(shard: Shard, *, shown_open: bool) -> dict[str, object]:
    numbers = {"StartingSequenceNumber": str(shard.start)}
    if shard.end is not None and not shown_open:
        numbers["EndingSequenceNumber"] = str(shard.end)
    description: dict[str, object] = {"ShardId": shard.id, "SequenceNumberRange": numbers}
    if shard.parent_id is not None:
        description["ParentShardId"] = shard.parent_id
    return description


def keys_of(item: Item, key_schema: list[dict[str, str]]) -> Item:
    """The primary key of an item, hash key first."""
    return {element["AttributeName"]: item[element["AttributeName"]] for element in key_schema}
