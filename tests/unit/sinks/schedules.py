"""Streams of changes; schedules of crashes, lost answers, zombies and replays to play them by."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hypothesis import strategies as st

from bridge.wire.schemas import Column, Schema
from sinks import failpoints
from sinks.protocol import PositionsMovedError
from sinks.rows import Batch
from sinks.table import TableError
from tests.unit.sinks.build import (
    SCHEMAS,
    Crash,
    CrashAt,
    Log,
    LostAnswer,
    World,
    row_message,
    seal_message,
    sealed,
    version,
)

PARTITIONS = 2
KEYS = ("a", "b", "c", "d", "e")
EPOCHS = (1_763_900_000, 1_763_900_003)
CITIES = ("x", "y y", "é/=%", None)
COLUMNS = (Column("city", "string"), Column("at", "timestamp"))
SCHEMA = Schema("orders", "process_orders", COLUMNS)
ALL_SCHEMAS = {**SCHEMAS, SCHEMA.fingerprint: SCHEMA}
COMMIT_POINTS = [
    point
    for point in failpoints.FAILPOINTS
    if "offsets" not in point
    and "maintenance" not in point
    and "compaction" not in point
    and point not in failpoints.CHANGE_OVER
]
STEPS = ("commit", "commit", "commit", "crash", "lost", "zombie", "replay")


@dataclass(frozen=True)
class Change:
    """One change of one item; two of one key and version differ in `delete` alone."""

    key: str
    epoch: int
    sequence: int
    delete: bool
    city: str | None
    second: int | None

    @property
    def version(self) -> str:
        return version(self.sequence, EPOCHS[self.epoch])

    @property
    def partition(self) -> int:
        return KEYS.index(self.key) % PARTITIONS

    @property
    def operation(self) -> str:
        if self.delete:
            return "delete"
        return "read" if self.sequence == 0 else "upsert"

    @property
    def at(self) -> int:
        """Seconds; of what a scan met nobody says when."""
        scanned = self.second is None
        return EPOCHS[self.epoch] if scanned else EPOCHS[0] + (self.second or 0)

    @property
    def day(self) -> str:
        return f"2026-11-{1 + (self.second or 0):02d}"

    def message(self):
        return row_message(
            self.key,
            self.sequence,
            epoch=EPOCHS[self.epoch],
            partition=self.partition,
            schema=SCHEMA,
            operation=self.operation,
            delete=self.delete,
            event_time=None if self.second is None else _text(self.at),
            city=self.city,
            at=f"{self.day}T01:02:03Z",
        )


def _text(second: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")


@st.composite
def streams(draw) -> list[Change]:
    """Changes in any order, some more than once."""
    drawn = st.tuples(
        st.sampled_from(KEYS),
        st.integers(0, 1),
        st.integers(0, 6),
        st.booleans(),
        st.sampled_from(CITIES),
        st.integers(0, 6),
    )
    known: dict[tuple[str, int, int], Change] = {}
    found = []
    for key, epoch, sequence, delete, city, second in draw(
        st.lists(drawn, min_size=1, max_size=40)
    ):
        scanned = sequence == 0
        change = Change(
            key, epoch, sequence, delete and not scanned, city, None if scanned else second
        )
        first = known.setdefault((key, epoch, sequence), change)
        found.append(Change(key, epoch, sequence, change.delete, first.city, first.second))
    return found


seals = st.tuples(st.integers(0, 20), st.integers(0, 20))
schedules = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.integers(0, 8),
        st.integers(0, 8),
        st.sampled_from(COMMIT_POINTS),
    ),
    min_size=1,
    max_size=12,
)


def filled_log(stream: list[Change], seal_at: tuple[int, int]) -> Log:
    """The stream with the seals of the second epoch somewhere in each partition, minutes apart."""
    log = Log(PARTITIONS)
    for change in stream:
        log.append(change.message(), change.partition)
    for partition, at in enumerate(seal_at):
        messages = log.partitions[partition]
        seal = seal_message(sealed(EPOCHS[1], partition, PARTITIONS))
        messages.insert(min(at, len(messages)), seal)
    for messages in log.partitions:
        for offset, message in enumerate(messages):
            message._offset = offset
    return log


def before_the_seals(stream: list[Change], seal_at: tuple[int, int]) -> list[Change]:
    """Without what the first epoch still says behind its partition's seal, unless it says it again.

    Where deleted rows stay, such a change counts or not by the moment of the sealing commit.
    """
    seen, places, kept = set(), [0] * PARTITIONS, []
    for change in stream:
        late = places[change.partition] >= seal_at[change.partition]
        if change.epoch == 0 and late and change not in seen:
            continue
        places[change.partition] += 1
        seen.add(change)
        kept.append(change)
    return kept


class Player:
    """Plays steps on a table; every odd thing begins a new owner, as a worker does."""

    def __init__(self, world: World, log: Log) -> None:
        self.world, self.log = world, log
        self.writer = world.writer()
        self.zombie = None

    def commit(self, limits=None, *, replay=False) -> None:
        """Go on from where the table is; or take rows from the log's beginning once more."""
        offsets = dict(self.writer.ledger.offsets)
        batch = self.log.batch({} if replay else offsets, limits)
        if replay:
            batch = Batch(rows=batch.rows, next_offsets=offsets)
        try:
            counts = asdict(self.writer.commit(batch, ALL_SCHEMAS))
            assert min(counts.values()) >= 0, counts
            self.writer.seal_what_is_due()
        except (PositionsMovedError, TableError, Crash):
            self.writer = self.world.writer()

    def play(self, kind: str, limits: dict[int, int], point: str) -> None:
        if kind == "crash":
            self.writer = self.world.writer(failpoint=CrashAt(point))
        elif kind == "lost":
            self.writer = self.world.writer(engine=LostAnswer())
        elif kind == "zombie":
            self._wake_zombie()
        self.commit(limits, replay=kind == "replay")

    def _wake_zombie(self) -> None:
        """One owner falls asleep with a batch in hand; the one that slept before wakes."""
        if self.zombie is not None:
            writer, batch = self.zombie
            try:
                writer.commit(batch, ALL_SCHEMAS)
                writer.seal_what_is_due()
            except (PositionsMovedError, TableError):
                pass
        self.zombie = (self.writer, self.log.batch(dict(self.writer.ledger.offsets)))
        self.writer = self.world.writer()
