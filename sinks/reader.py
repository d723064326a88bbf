"""Reading the lake: what `tailrace verify` and `tailrace query` ask of it. Writes nothing.

Tables are read in bounded batches of one snapshot, so a reader's memory does not grow with a table
and its rows are of one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable, QueryBuilder
from deltalake.fs import DeltaStorageHandler

from bridge.wire.errors import TailraceError
from sinks.columns import OWN_NAMES
from sinks.keys import sql_text
from sinks.ledger import LOADING, LedgerNames
from sinks.location import located, noted_datasets
from sinks.table import (
    SNAPSHOT_PROPERTY,
    Snapshot,
    TableStore,
    dataset_uri,
    lake_errors,
    lake_storage_options,
)

_KEYS_AT_ONCE = 500


def datasets(lake: str, storage_options: Mapping[str, str] | None = None) -> list[str]:
    """Ids of the datasets that have a table in this lake, sorted.

    Raises:
        TableError: the lake does not answer.
    """
    return sorted(_uris(lake, lake_storage_options(lake, storage_options or {})))


def _uris(lake: str, options: Mapping[str, str]) -> dict[str, str]:
    """Of the datasets that have a table, by id."""
    noted = noted_datasets(lake, options)
    if "://" not in lake:
        names = [p.parent.name for p in Path(lake).glob("*/_delta_log") if p.is_dir()]
    else:
        with lake_errors(lake):
            files = pafs.PyFileSystem(DeltaStorageHandler(lake, options=options))
            listed = files.get_file_info(pafs.FileSelector("", recursive=False))
            names = [info.path for info in listed if info.type == pafs.FileType.Directory]
    own = {name: dataset_uri(lake, name) for name in names if not name.startswith("_")}
    elsewhere = frozenset(noted.values())
    found = {name: uri for name, uri in own.items() if uri not in elsewhere} | noted
    return {name: uri for name, uri in found.items() if TableStore(uri, options).open()}


class TableView:
    """One snapshot of a dataset's table."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def version(self) -> int:
        """The table's version."""
        return self._snapshot.version

    @property
    def committed_s(self) -> float | None:
        """When this version was committed, seconds since 1970; None where the log does not say."""
        with lake_errors(self._snapshot.uri):
            last: Mapping[str, Any] = next(iter(self._snapshot.delta.history(1)), {})
        stamp_ms = last.get("timestamp")
        return stamp_ms / 1000 if isinstance(stamp_ms, int | float) else None

    @property
    def schema(self) -> pa.Schema:
        """All columns, `_event_time`, `_version` and `_key` among them."""
        return self._snapshot.schema

    @property
    def columns(self) -> list[str]:
        """The transform's columns."""
        return [name for name in self._snapshot.schema.names if name not in OWN_NAMES]

    @property
    def loading(self) -> bool:
        """Whether a snapshot of the source is on its way in and rows may step back."""
        return self._snapshot.properties.get(SNAPSHOT_PROPERTY) == LOADING

    def count(self, where: str | None = None) -> int:
        """Rows; with `where`, an SQL condition, those that meet it."""
        with lake_errors(self._snapshot.uri):
            if where is not None:
                return sum(batch.num_rows for batch in self._scan(["_key"], where))
            rows: int = self._snapshot.delta.count()
            return rows

    def offsets(
        self, namespace_id: str, topic: str, partitions: Sequence[int]
    ) -> dict[int, int | None]:
        """The next offset of each rows partition: all before it is in this snapshot."""
        names = LedgerNames(namespace_id, topic)
        return {p: self._snapshot.transaction(names.offset(p)) for p in partitions}

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow batches, in no order; `columns` None means all."""
        yield from self._scan(list(columns) if columns is not None else None, None)

    def rows(
        self, columns: Sequence[str] | None = None, where: str | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """(`_key`, columns as Python values) of every row that meets `where`, in no order.

        Decimals are `Decimal`, binaries `bytes`, timestamps aware datetimes. `columns` None means
        the transform's and `_event_time` and `_version`.
        """
        yield from self._rows(columns, where)

    def lookup(
        self, keys: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """The rows of these keys; keys without a row are absent."""
        found: dict[str, dict[str, Any]] = {}
        for at in range(0, len(keys), _KEYS_AT_ONCE):
            texts = ", ".join(sql_text(key) for key in keys[at : at + _KEYS_AT_ONCE])
            found.update(self._rows(columns, f"_key IN ({texts})"))
        return found

    def _rows(
        self, columns: Sequence[str] | None, predicate: str | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        wanted = list(columns) if columns is not None else None
        if wanted is not None and "_key" not in wanted:
            wanted.append("_key")
        for batch in self._scan(wanted, predicate):
            for row in batch.to_pylist():
                yield row.pop("_key"), row

    def _scan(self, columns: list[str] | None, predicate: str | None) -> Iterator[pa.RecordBatch]:
        with lake_errors(self._snapshot.uri):
            for batch in self._snapshot.delta.scan(columns=columns, predicate=predicate):
                yield pa.record_batch(batch)


def open_table(
    lake: str, dataset: str, storage_options: Mapping[str, str] | None = None
) -> TableView | None:
    """The newest snapshot of a dataset's table; None if there is no table yet.

    Raises:
        TableError: the lake does not answer.
    """
    options = lake_storage_options(lake, storage_options or {})
    snapshot = TableStore(located(lake, dataset, options), options).open()
    return TableView(snapshot) if snapshot else None


def query(
    lake: str, sql: str, storage_options: Mapping[str, str] | None = None
) -> pa.RecordBatchReader:
    """The answer to a SQL query over the lake's datasets, each a table named by its id.

    Raises:
        TailraceError: the query does not parse, names an unknown table or column, or fails.
    """
    options = lake_storage_options(lake, storage_options or {})
    builder = QueryBuilder()
    uris = _uris(lake, options)
    for name, uri in uris.items():
        with lake_errors(uri):
            builder.register(name, DeltaTable(uri, storage_options=options))
    try:
        return pa.RecordBatchReader.from_stream(builder.execute(sql))
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        known = ", ".join(sorted(uris)) or "none yet"
        raise TailraceError(text, where="query", remedy=f"Tables here: {known}") from None
