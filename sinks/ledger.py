"""The ledger: what a table itself says about how far it is, kept in its app transactions.

Offsets, seals and epochs move in the same Delta commit as the rows they speak of, so they can
neither be ahead of them nor behind. Positions in a log carry the namespace's id: a log that was
wiped and created again is another log. What describes the rows themselves (sealed, newest epoch)
does not carry it: it stays true whatever becomes of Kafka.

App transactions are data, not a guard: delta-rs accepts lower and repeated versions. The guard is
the commit protocol (`sinks.protocol`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge.wire.envelope import Sealed
from bridge.wire.version import encode_version, epoch_floor

ReadTransaction = Callable[[str], int | None]
LOADING = "loading"
SEALED = "sealed"


@dataclass(frozen=True, slots=True)
class LedgerNames:
    """Ids of the app transactions of one dataset's table.

    Positions and seals of a later `generation` (see `bridge.wire.generations`) are others than
    those of the one before: they stand beside each other once the table has changed over.
    """

    namespace_id: str
    topic: str
    generation: int = 1

    @property
    def at_generation(self) -> str:
        """The generation the table is at; absent for the first one."""
        return f"{self.namespace_id}:generation"

    def offset(self, partition: int) -> str:
        """Next offset to read of a rows partition."""
        return f"{self.namespace_id}:{self.topic}:{partition}"

    def seal(self, table: str, partition: int) -> str:
        """Newest epoch whose seal number `partition` has been passed."""
        return f"{self._seals}:seal:{table}:{partition}"

    def seal_count(self, table: str) -> str:
        """How many seals make an epoch of this table complete."""
        return f"{self._seals}:seals:{table}"

    @property
    def _seals(self) -> str:
        first = self.generation == 1
        return self.namespace_id if first else f"{self.namespace_id}:{self.topic}"

    @staticmethod
    def sealed(table: str) -> str:
        """The sealed epoch: no row of an older one is left."""
        return f"sealed:{table}"

    @staticmethod
    def newest(table: str) -> str:
        """The newest epoch that ever put a row into this table."""
        return f"epoch:{table}"

    @staticmethod
    def unscanned(table: str) -> str:
        """The newest epoch that began without a scan: no row of a snapshot belongs to it."""
        return f"unscanned:{table}"


@dataclass(frozen=True, slots=True)
class Feed:
    """How far the feed of one source table has come.

    `seals` holds the newest epoch passed by number of the seal, `of` how many there are (0: none
    seen). `sealed`, `newest` and `unscanned` are epochs, 0 for none.
    """

    seals: Mapping[int, int] = field(default_factory=dict)
    of: int = 0
    sealed: int = 0
    newest: int = 0
    unscanned: int = 0

    @property
    def settled(self) -> int:
        """The epoch up to which nothing of a snapshot can come any more."""
        return max(self.sealed, self.unscanned)

    @property
    def floor(self) -> str:
        """Rows with a version below this text are left over from older epochs."""
        return epoch_floor(self.sealed) if self.sealed else ""

    @property
    def due(self) -> int:
        """The epoch to seal now, 0 for none: all its seals were passed."""
        complete = min((self.seals.get(number, 0) for number in range(self.of)), default=0)
        return complete if complete > self.sealed else 0

    @property
    def loading(self) -> bool:
        """Whether rows may step back: the scan of an epoch above is on its way in."""
        return not self.settled or self.newest > self.settled


@dataclass(frozen=True, slots=True)
class Ledger:
    """Next offset by partition (absent: never recorded) and the feeds by source table."""

    offsets: Mapping[int, int] = field(default_factory=dict)
    feeds: Mapping[str, Feed] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every table's items are all in: a scan was sealed, and none is on its way."""
        feeds = self.feeds.values()
        return all(feed.sealed and not feed.loading for feed in feeds)

    @property
    def snapshot_state(self) -> str:
        """Value of the table's property `tailrace.snapshot`."""
        return LOADING if any(feed.loading for feed in self.feeds.values()) else SEALED

    def passed(
        self,
        offsets: Mapping[int, int],
        seals: Iterable[Sealed] = (),
        newest: Mapping[str, int] | None = None,
    ) -> Ledger:
        """The ledger after a batch: its next offsets, the seals in it, its rows' newest epochs."""
        feeds = dict(self.feeds)
        for seal in seals:
            feed = feeds.get(seal.table)
            if feed is None:  # a table that does not feed this dataset any more
                continue
            if not seal.scanned:  # one partition tells it for all of them
                unscanned = max(seal.epoch, feed.unscanned)
                feeds[seal.table] = replace(feed, unscanned=unscanned)
                continue
            epoch = max(seal.epoch, feed.seals.get(seal.partition, 0))
            feeds[seal.table] = replace(
                feed, seals={**feed.seals, seal.partition: epoch}, of=max(feed.of, seal.of)
            )
        for table, epoch in (newest or {}).items():
            feeds[table] = replace(feeds[table], newest=max(feeds[table].newest, epoch))
        return Ledger({**self.offsets, **offsets}, feeds)

    def sealed_at(self, table: str, epoch: int) -> Ledger:
        """The ledger after the sealing commit."""
        feed = replace(self.feeds[table], sealed=epoch)
        return replace(self, feeds={**self.feeds, table: feed})


def read_ledger(
    names: LedgerNames, partitions: Sequence[int], tables: Sequence[str], read: ReadTransaction
) -> Ledger:
    """The ledger as a snapshot of the table holds it."""
    offsets = {p: read(names.offset(p)) for p in partitions}
    feeds = {}
    for table in tables:
        of = read(names.seal_count(table)) or 0
        seals = {number: read(names.seal(table, number)) or 0 for number in range(of)}
        feeds[table] = Feed(
            seals={number: epoch for number, epoch in seals.items() if epoch},
            of=of,
            sealed=read(names.sealed(table)) or 0,
            newest=read(names.newest(table)) or 0,
            unscanned=read(names.unscanned(table)) or 0,
        )
    return Ledger({p: offset for p, offset in offsets.items() if offset is not None}, feeds)


def ledger_transactions(names: LedgerNames, ledger: Ledger, before: Ledger) -> dict[str, int]:
    """App transactions of a commit that moves the table from `before` to `ledger`.

    All offsets are written, moved or not, so that a reader of the log finds them in its last
    commits; of the rest only what changed.
    """
    found = {names.offset(p): offset for p, offset in ledger.offsets.items()}
    for table, feed in ledger.feeds.items():
        old = before.feeds.get(table, Feed())
        if feed.of != old.of:
            found[names.seal_count(table)] = feed.of
        for number, epoch in feed.seals.items():
            if epoch != old.seals.get(number):
                found[names.seal(table, number)] = epoch
        if feed.newest != old.newest:
            found[names.newest(table)] = feed.newest
        if feed.unscanned != old.unscanned:
            found[names.unscanned(table)] = feed.unscanned
        if feed.sealed != old.sealed:
            found[names.sealed(table)] = feed.sealed
    return found


def whole_ledger(names: LedgerNames, ledger: Ledger) -> dict[str, int]:
    """App transactions that put `ledger` in the place of whatever a table said before."""
    found = ledger_transactions(names, ledger, Ledger())
    for table, feed in ledger.feeds.items():
        found[names.newest(table)] = feed.newest
        found[names.unscanned(table)] = feed.unscanned
        found[names.sealed(table)] = feed.sealed
    return found


def version_above(epoch: int) -> str:
    """The text every version of `epoch` and of older ones is below."""
    return encode_version(epoch + 1, 0)
