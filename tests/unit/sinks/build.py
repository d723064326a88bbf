"""Messages, batches and writers for the sink's tests: real Delta tables, no Kafka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bridge.wire.envelope import CONTROL_KEY, Sealed, encode_row, row_headers
from bridge.wire.schemas import Column, Schema
from bridge.wire.version import encode_version
from sinks import failpoints
from sinks.dataset import Dataset, Target
from sinks.engine import DeltaMerge
from sinks.ledger import LedgerNames
from sinks.protocol import TableWriter
from sinks.reader import open_table
from sinks.rows import Batch, Row, Unfit, decode
from sinks.rules import CURRENT, Merged
from sinks.table import TableError, TableStore, dataset_uri, tombstones_uri
from sinks.tombstones import Tombstones

TABLE = "orders"
DATASET = Dataset(id="orders", tags=["a", "b"], description="All orders")
TARGET = Target(DATASET, (TABLE,))
COLUMNS = (Column("order_id", "string"), Column("total", "decimal(10,2)"))
SCHEMA = Schema("orders", "process_orders", COLUMNS)
SCHEMAS = {SCHEMA.fingerprint: SCHEMA}
TOPIC = "t.rows.orders"


@dataclass
class FakeMessage:
    """A message as Kafka's client hands it over."""

    _value: bytes | None
    _partition: int = 0
    _offset: int = 0
    _headers: list[tuple[str, bytes]] = field(default_factory=list)
    _key: bytes = b"k"

    def value(self):
        return self._value

    def key(self):
        return self._key

    def headers(self):
        return self._headers

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset


def version(sequence: int, epoch: int = 1) -> str:
    return encode_version(epoch, sequence)


def row_message(
    key: str,
    sequence: int,
    *,
    epoch: int = 1,
    delete: bool = False,
    partition: int = 0,
    offset: int = 0,
    schema: Schema = SCHEMA,
    operation: str | None = None,
    event_time: str | None = "2026-11-23T14:00:00Z",
    **columns,
) -> FakeMessage:
    value = encode_row(
        key=key,
        version=version(sequence, epoch),
        operation=operation or ("delete" if delete else "upsert"),
        event_time=event_time,
        columns={} if delete else columns or {"order_id": key, "total": f"{sequence}.5"},
    )
    return FakeMessage(value, partition, offset, row_headers(schema.fingerprint, offset))


def row(key: str, sequence: int, **options) -> Row:
    found = decode(row_message(key, sequence, **options))
    assert isinstance(found, Row)
    return found


def sealed(epoch: int, partition: int = 0, of: int = 1, table: str = TABLE) -> Sealed:
    return Sealed(table, epoch, partition, of)


def seal_message(seal: Sealed, offset: int = 0) -> FakeMessage:
    return FakeMessage(seal.encode(), seal.partition, offset, Sealed.headers(), CONTROL_KEY)


class Log:
    """A rows topic in memory: appended to by tests, read into batches from any offset."""

    def __init__(self, partitions: int = 1) -> None:
        self.partitions: list[list[FakeMessage]] = [[] for _ in range(partitions)]

    def append(self, message: FakeMessage, partition: int | None = None) -> None:
        log = self.partitions[message._partition if partition is None else partition]
        message._offset = len(log)
        log.append(message)

    def upsert(self, key: str, sequence: int, **options) -> None:
        self.append(row_message(key, sequence, **options))

    def delete(self, key: str, sequence: int, **options) -> None:
        self.append(row_message(key, sequence, delete=True, **options))

    def seal(self, epoch: int, partition: int = 0) -> None:
        self.append_seal(sealed(epoch, partition, len(self.partitions)))

    def begin_unscanned(self, epoch: int, partition: int = 0) -> None:
        self.append_seal(Sealed(TABLE, epoch, partition, len(self.partitions), scanned=False))

    def append_seal(self, seal: Sealed) -> None:
        self.append(seal_message(seal), seal.partition)

    def batch(self, start: dict[int, int], limits: dict[int, int] | None = None) -> Batch:
        """Everything from `start`, or up to `limits` messages of each partition."""
        rows, seals, unfit, ends = [], [], [], {}
        for partition, log in enumerate(self.partitions):
            begin = start.get(partition, 0)
            end = len(log) if limits is None else min(len(log), begin + limits[partition])
            ends[partition] = max(end, begin)
            for message in log[begin:end]:
                found = decode(message)
                kinds = {Row: rows, Sealed: seals, Unfit: unfit}
                kinds[type(found)].append(found)
        return Batch(rows=rows, seals=seals, unfit=unfit, next_offsets=ends)


@dataclass
class World:
    """A lake, and everything a writer of one of its tables wants."""

    lake: Path
    partitions: int = 1
    namespace_id: str = "ns1"
    target: Target = TARGET
    dead: list[Unfit] = field(default_factory=list)

    @property
    def store(self) -> TableStore:
        return TableStore(dataset_uri(str(self.lake), self.target.dataset.id), {})

    @property
    def tombstone_store(self) -> TableStore:
        return TableStore(tombstones_uri(str(self.lake), self.target.dataset.id), {})

    def writer(
        self,
        *,
        engine=None,
        failpoint: Callable[[str], None] = failpoints.never,
        store: TableStore | None = None,
        opened: bool = True,
    ) -> TableWriter:
        """A writer that has just become the table's owner."""
        writer = TableWriter(
            target=self.target,
            names=LedgerNames(self.namespace_id, TOPIC),
            partitions=range(self.partitions),
            store=store or self.store,
            tombstones=Tombstones(
                self.tombstone_store,
                self.namespace_id,
                every=self.target.dataset.layout.every_delete,
            ),
            engine=engine or DeltaMerge(),
            set_aside=self.dead.extend,
            failpoint=failpoint,
        )
        if opened:
            writer.open()
        return writer

    def rows(self) -> dict[str, str]:
        """Live versions by key; fails if a key is there twice."""
        table = open_table(str(self.lake), self.target.dataset.id)
        if table is None:
            return {}
        found = list(table.rows(["_version"]))
        assert len({key for key, _ in found}) == len(found), "a key is doubled"
        return {key: columns["_version"] for key, columns in found}

    def version(self) -> int:
        snapshot = self.store.open()
        return snapshot.version if snapshot else -1

    def view(self):
        return open_table(str(self.lake), self.target.dataset.id)


class LostAnswer(DeltaMerge):
    """An engine whose first commits land and are reported failed."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.left = times

    def apply(self, snapshot, changes, transactions, rule=CURRENT) -> Merged:
        merged = super().apply(snapshot, changes, transactions, rule)
        if self.left:
            self.left -= 1
            raise TableError("the answer was lost")
        return merged


class Refusing(DeltaMerge):
    """An engine whose first commits fail for good."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.left = times

    def apply(self, snapshot, changes, transactions, rule=CURRENT) -> Merged:
        if self.left:
            self.left -= 1
            raise TableError("500")
        return super().apply(snapshot, changes, transactions, rule)


class Crash(BaseException):
    """The process dies here."""


class CrashAt:
    """A failpoint that kills at the n-th passing of one point."""

    def __init__(self, point: str, passing: int = 1) -> None:
        self.point, self.left = point, passing

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                raise Crash(point)
