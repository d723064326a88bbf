"""Everything a world holds, and the one way an item changes.

The operations are functions over this state; `World` locks it, scripts it and lets it fail.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from tests.fakes.dynamodb.clock import Clock
from tests.fakes.dynamodb.errors import no_such_stream, no_such_table
from tests.fakes.dynamodb.history import History, Version
from tests.fakes.dynamodb.records import Change, Image
from tests.fakes.dynamodb.settings import Settings
from tests.fakes.dynamodb.shards import Lineage
from tests.fakes.dynamodb.streams import Stream
from tests.fakes.dynamodb.tables import Table, canonical_key
from tests.fakes.dynamodb.values import Item


@dataclass(slots=True)
class State:
    """The tables, the streams (those of disabled and deleted tables too) and the journal."""

    settings: Settings
    clock: Clock
    seed: random.Random
    tables: dict[str, Table] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    history: History = field(default_factory=History)
    # Shard counts of tables that are still to be created.
    shard_counts: dict[str, int] = field(default_factory=dict)
    iterator_generation: int = 0
    readers: int = 0
    # Shard id to reader to the time of its last GetRecords.
    readings: dict[str, dict[int, float]] = field(default_factory=dict)
    # Shard id, or `*` for every shard, to the empty answers still to give.
    empty_pages: dict[str, int] = field(default_factory=dict)
    # Transactions that took effect, so that one sent again does not do so twice.
    transactions: set[str] = field(default_factory=set)
    _last_label_ms: int = 0

    def table(self, name: str) -> Table:
        """A table by its name or ARN; raises AwsError."""
        bare = name.rpartition(":table/")[2]
        if bare not in self.tables:
            raise no_such_table(bare)
        return self.tables[bare]

    def stream(self, arn: str, shard_id: str | None = None) -> Stream:
        """A stream that is still readable, rotated and trimmed up to now; raises AwsError.

        With a shard only that one is trimmed, so a read costs the same with a thousand shards.
        """
        stream = self.streams.get(arn)
        if stream is None:
            raise no_such_stream(arn)
        now_s = self.clock.now()
        stream.rotate_old(now_s)
        if self.settings.retention_s is not None:
            before_s = now_s - self.settings.retention_s
            stream.lineage.trim(before_s, shard_id)
            if stream.past_retention(before_s):
                del self.streams[arn]
                raise no_such_stream(arn)
        return stream

    def readable_streams(self) -> list[Stream]:
        """Every stream that is still known, oldest first."""
        before_s = self.clock.now() - (self.settings.retention_s or self.clock.now())
        return [stream for stream in self.streams.values() if not stream.past_retention(before_s)]

    def open_stream(self, table: Table, view_type: str) -> Stream:
        """Start a stream under a new ARN."""
        now_s = self.clock.now()
        # A label is a time in milliseconds; two streams never share one.
        self._last_label_ms = max(self._last_label_ms + 1, int(now_s * 1000))
        moment = datetime.fromtimestamp(self._last_label_ms // 1000, UTC)
        label = f"{moment:%Y-%m-%dT%H:%M:%S}.{self._last_label_ms % 1000:03d}"
        seed = random.Random(self.seed.getrandbits(64))
        stream = Stream(
            arn=f"{table.arn}/stream/{label}",
            label=label,
            table_name=table.name,
            key_schema=table.key_schema,
            view_type=view_type,
            settings=self.settings,
            created_s=now_s,
            seed=seed,
            lineage=Lineage(seed),
            enabling_answers=self.settings.enabling_answers,
        )
        stream.lineage.begin(table.shard_count, now_s)
        self.streams[stream.arn] = stream
        table.stream = stream
        return stream

    def new_id(self) -> str:
        """A UUID from the seed."""
        return str(UUID(int=self.seed.getrandbits(128), version=4))

    def change(
        self, table: Table, key: Item, item: Item | None, *, expired: bool = False
    ) -> Item | None:
        """Put an item, or remove it with None; the item that was there before.

        A change that changes nothing leaves no record and no version, as in DynamoDB.
        """
        canonical = canonical_key(key)
        stored = table.items.get(canonical)
        before = None if stored is None else stored.image
        if before is None and item is None:
            return None
        if before is not None and item is not None and before.item == item:
            return before.item
        after = None if item is None else Image.of(item)
        place = table.place_of(key) if stored is None else stored.place
        if after is None:
            table.delete(key)
        else:
            table.put(key, place, after)
        self._record(table, place[0], Change(keys=key, before=before, after=after, expired=expired))
        return None if before is None else before.item

    def _record(self, table: Table, token: int, change: Change) -> None:
        now_s = self.clock.now()
        stream = table.stream
        shard_id = sequence = None
        if stream is not None and stream.disabled_s is None:
            stream.rotate_old(now_s)
            shard, sequence = stream.write(token, change, now_s)
            shard_id = shard.id
        self.history.add(
            table.name,
            canonical_key(change.keys),
            Version(
                event_name=change.event_name,
                keys=change.keys,
                item=None if change.after is None else change.after.item,
                at_s=now_s,
                stream_arn=None if stream is None or sequence is None else stream.arn,
                shard_id=shard_id,
                sequence=sequence,
            ),
        )

    def seen(self, table: Table, *, consistent: bool) -> Table:
        """The table as a read sees it: eventually consistent reads may be scripted to lag."""
        lag_s = self.settings.stale_reads_s
        if consistent or lag_s <= 0:
            return table
        past = replace(table, items={}, _order=[])
        for key, versions in self.history.items(table.name).items():
            item = self.history.as_of(table.name, key, self.clock.now() - lag_s)
            if item is not None:
                keys = versions[0].keys
                past.put(keys, table.place_of(keys), Image.of(item))
        return past
