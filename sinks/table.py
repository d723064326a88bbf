"""A Delta table as the sink sees it: snapshots, and commits that hold only on the one they saw.

Every commit is made with no retries: delta-rs would otherwise rebase it onto a snapshot nobody has
looked at, and its own conflict checks let stale removes and doubled keys through. So a commit lands
exactly one version after its snapshot, or fails. What failed may all the same have landed (the
answer got lost); only a fresh snapshot tells. Hooks after the commit are off for the same reason:
maintenance is somebody's own step.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import (
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
)
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, RemoveAction
from deltalake.writer import write_deltalake

from bridge.wire.errors import TailraceError
from sinks.key_ranges import any_between

logger = logging.getLogger(__name__)

SNAPSHOT_PROPERTY = "tailrace.snapshot"
SORTED_METADATA = "tailrace.sorted"
"""In the log beside a commit that put rows in order and changed none: what they are sorted by."""
KEYLESS_METADATA = "tailrace.took_out"
"""In the log beside a commit that took rows out and brought none: which."""
MERGED_METADATA = "tailrace.merged"
"""In the log beside a commit that changed rows: JSON of `rows`, how many changes the batch had, and
how many rows were `inserted`, `updated` (flagged ones among them) and `deleted`."""
WRITER = WriterProperties(compression="ZSTD", compression_level=1, statistics_truncate_length=64)
"""Half of what snappy makes of files, for the same CPU. The library cuts bounds off at 64 by itself
only where it is given no properties."""
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class TableError(TailraceError):
    """The lake did not answer or refused; whether the commit landed, a fresh snapshot tells."""

    retryable = True


@contextmanager
def lake_errors(where: str) -> Iterator[None]:
    """Whatever the Delta library raises, as one kind of error with one line of cause.

    It raises bare `Exception`s too, and nothing in their types tells what landed from what did not.
    """
    try:
        yield
    except TailraceError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise TableError(text, where=where) from error


def commit_properties(
    transactions: Mapping[str, int], said: Mapping[str, str] | None = None
) -> CommitProperties:
    """Properties of every commit of ours; `said` stands beside it in the log."""
    return CommitProperties(
        max_commit_retries=0,
        app_transactions=[Transaction(name, value) for name, value in transactions.items()],
        custom_metadata=None if said is None else dict(said),
    )


def compact_copy(batch: pa.RecordBatch, schema: pa.Schema, step: int = 1) -> pa.RecordBatch:
    """Rows that were read, or each `step`-th of them, by themselves.

    As they come their texts are views that hold on to all that was read with them, and any column
    that is taken over as it is keeps its whole batch: a few rows of each of many batches would keep
    the table in memory.
    """
    wanted = pa.array(range(0, batch.num_rows, step), pa.int64())
    return batch.select(schema.names).cast(schema).take(wanted)


class Snapshot:
    """One version of the table; commits made through it become the next version, or fail."""

    def __init__(self, delta: DeltaTable) -> None:
        self.delta = delta
        self.version: int = delta.version()
        self.uri: str = delta.table_uri

    @property
    def schema(self) -> pa.Schema:
        """Columns and types."""
        return pa.schema(self.delta.schema().to_arrow())

    @property
    def file_schema(self) -> pa.Schema:
        """Columns that are in the files: all but those of partitions."""
        inside = {*self.partitioned_by}
        return pa.schema([field for field in self.schema if field.name not in inside])

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The table's own storage; paths begin at the table."""
        # There is no public way to the storage of an open table.
        return pafs.PyFileSystem(DeltaStorageHandler.from_table(self.delta._table))  # noqa: SLF001

    @property
    def partitioned_by(self) -> list[str]:
        """Partition columns, in order."""
        found: list[str] = self.delta.metadata().partition_columns
        return found

    @property
    def description(self) -> str:
        """What the table says it is, "" if nothing."""
        return self.delta.metadata().description or ""

    @property
    def properties(self) -> Mapping[str, str]:
        """Table properties."""
        found: dict[str, str] = self.delta.metadata().configuration
        return found

    def transaction(self, name: str) -> int | None:
        """The recorded value of an app transaction."""
        with lake_errors(self.uri):
            found: int | None = self.delta.transaction_version(name)
            return found

    def files(self) -> pa.Table:
        """The live files with sizes, row counts and key bounds, where they are known."""
        with lake_errors(self.uri):
            return pa.table(self.delta.get_add_actions(flatten=True))

    def lacks(self, sorted_keys: Sequence[str]) -> bool:
        """Whether no live file can hold any of the keys, by the files' own bounds."""
        files = self.files()
        if not files.num_rows or not sorted_keys:
            return True
        if "min._key" not in files.column_names:
            return False
        bounds = zip(files["min._key"].to_pylist(), files["max._key"].to_pylist(), strict=True)
        return all(
            low is not None and high is not None and not any_between(sorted_keys, low, high)
            for low, high in bounds
        )

    def lacks_all(self, keys: Sequence[str], versions: Sequence[str] | None = None) -> bool:
        """The same for keys in any order; with `versions`, for entries of a key and a version."""
        if versions is None:
            return self.lacks(sorted(keys))
        files = self.files()
        names = ("min._key", "max._key", "min._version", "max._version")
        if not files.num_rows or not keys:
            return True
        if not {*names} <= set(files.column_names):
            return False
        entries = sorted(zip(versions, keys, strict=True))
        sorted_versions = [version for version, _ in entries]
        for low, high, first, last in zip(*(files[n].to_pylist() for n in names), strict=True):
            if None in (low, high, first, last):
                return False
            at, to = bisect_left(sorted_versions, first), bisect_right(sorted_versions, last)
            if any(low <= key <= high for _, key in entries[at:to]):
                return False
        return True

    def commit_transactions(self, transactions: Mapping[str, int]) -> None:
        """A commit of app transactions alone."""
        with lake_errors(self.uri):
            self.delta.create_write_transaction(
                [],
                "append",
                self.delta.schema(),
                commit_properties=commit_properties(transactions),
                post_commithook_properties=NO_HOOKS,
            )

    def commit_actions(
        self,
        actions: Sequence[AddAction | RemoveAction],
        said: Mapping[str, str] | None,
        transactions: Mapping[str, int],
    ) -> None:
        """A commit of files that come and go; `said` stands beside it in the log."""
        with lake_errors(self.uri):
            self.delta.create_write_transaction(
                list(actions),
                "append",
                self.delta.schema(),
                partition_by=self.partitioned_by,
                commit_properties=commit_properties(transactions, said),
                post_commithook_properties=NO_HOOKS,
            )

    def append(self, rows: pa.Table, transactions: Mapping[str, int]) -> None:
        """Add rows. The caller knows that no live row has their keys."""
        with lake_errors(self.uri):
            write_deltalake(
                self.delta,
                rows,
                mode="append",
                writer_properties=WRITER,
                commit_properties=commit_properties(transactions),
                post_commithook_properties=NO_HOOKS,
            )

    def delete(self, predicate: str, transactions: Mapping[str, int]) -> bool:
        """Delete rows; whether there was a commit (none is made when no row matches)."""
        with lake_errors(self.uri):
            done = self.delta.delete(
                predicate,
                writer_properties=WRITER,
                commit_properties=commit_properties(transactions),
                post_commithook_properties=NO_HOOKS,
            )
        return bool(done["num_removed_files"])

    def update(
        self, predicate: str, values: Mapping[str, str], transactions: Mapping[str, int]
    ) -> bool:
        """Set columns to SQL expressions; whether there was a commit (none if no row matches)."""
        with lake_errors(self.uri):
            done = self.delta.update(
                updates=dict(values),
                predicate=predicate,
                writer_properties=WRITER,
                commit_properties=commit_properties(transactions),
                post_commithook_properties=NO_HOOKS,
            )
        return bool(done["num_updated_rows"])

    def rows_where(self, predicate: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows by an SQL predicate, "" for all, in the table's types; `columns` None means all."""
        whole = self.schema
        schema = whole if columns is None else pa.schema([whole.field(name) for name in columns])
        with lake_errors(self.uri):
            found = self.reader(columns, predicate or None)
            return pa.Table.from_batches([compact_copy(batch, schema) for batch in found], schema)

    def replace(
        self,
        rows: pa.RecordBatchReader,
        transactions: Mapping[str, int],
        partitioned_by: Sequence[str] = (),
    ) -> None:
        """Put other rows with another schema in the place of all there are, in one commit."""
        with lake_errors(self.uri):
            write_deltalake(
                self.delta,
                rows,
                mode="overwrite",
                writer_properties=WRITER,
                schema_mode="overwrite",
                partition_by=list(partitioned_by),
                commit_properties=commit_properties(transactions),
                post_commithook_properties=NO_HOOKS,
            )

    def reader(
        self, columns: Sequence[str] | None = None, predicate: str | None = None
    ) -> pa.RecordBatchReader:
        """Rows, a batch at a time, by an SQL predicate; all, and all columns, if none is named."""
        with lake_errors(self.uri):
            names = None if columns is None else list(columns)
            found = self.delta.scan(columns=names, predicate=predicate)
            return pa.RecordBatchReader.from_stream(found)

    def history(self, count: int) -> list[dict[str, Any]]:
        """What the log says of the newest commits, newest first."""
        with lake_errors(self.uri):
            found: list[dict[str, Any]] = self.delta.history(count)
            return found

    def add_columns(self, fields: Sequence[pa.Field]) -> None:
        """New columns, NULL in the rows there are."""
        with lake_errors(self.uri):
            self.delta.alter.add_columns(
                DeltaSchema.from_arrow(pa.schema(fields)).fields,
                commit_properties=commit_properties({}),
                post_commithook_properties=NO_HOOKS,
            )

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set table properties."""
        with lake_errors(self.uri):
            self.delta.alter.set_table_properties(
                dict(properties),
                raise_if_not_exists=False,
                commit_properties=commit_properties({}),
                post_commithook_properties=NO_HOOKS,
            )

    def set_description(self, text: str) -> None:
        """Set what the table says it is."""
        with lake_errors(self.uri):
            self.delta.alter.set_table_description(
                text,
                commit_properties=commit_properties({}),
                post_commithook_properties=NO_HOOKS,
            )


class TableStore:
    """Opens and creates one table.

    Args:
        uri: local path or `s3://…`; others are handed to delta-rs as they are.
        storage_options: as delta-rs takes them; never logged.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str]) -> None:
        self.uri = uri
        self.storage_options = dict(storage_options)

    def open(self) -> Snapshot | None:
        """A fresh snapshot; None if there is no table."""
        with lake_errors(self.uri):
            try:
                return Snapshot(DeltaTable(self.uri, storage_options=self.storage_options))
            except TableNotFoundError:
                return None

    def create(
        self,
        schema: pa.Schema,
        *,
        name: str,
        description: str,
        properties: Mapping[str, str],
        partition_by: Sequence[str] = (),
    ) -> None:
        """Create the table, empty. Fails if somebody else just did."""
        with lake_errors(self.uri):
            DeltaTable.create(
                self.uri,
                DeltaSchema.from_arrow(schema),
                mode="error",
                name=name,
                description=description or None,
                configuration=dict(properties),
                partition_by=list(partition_by) or None,
                storage_options=self.storage_options,
                raise_if_key_not_exists=False,
                commit_properties=commit_properties({}),
                post_commithook_properties=NO_HOOKS,
            )


def lake_storage_options(lake: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options delta-rs gets for this lake: on S3 commits are conditional puts."""
    if not lake.startswith(("s3://", "s3a://")):
        return dict(options)
    found = {"aws_conditional_put": "etag", **options}
    given = {name.lower(): value for name, value in options.items()}
    if given.get("aws_endpoint_url", "").startswith("http://") and "aws_allow_http" not in given:
        found["AWS_ALLOW_HTTP"] = "true"
    return found


def dataset_uri(lake: str, dataset: str) -> str:
    """Where the table of a dataset lies."""
    return f"{lake.rstrip('/')}/{dataset}"


def beside_uri(lake: str, dataset: str) -> str:
    """Where all lies that belongs to the table and is not shown."""
    return f"{lake.rstrip('/')}/_tailrace/{dataset}"


def tombstones_uri(lake: str, dataset: str, generation: int = 1) -> str:
    """Where its tombstones lie, apart for each generation: they speak of that one's keys."""
    beside = beside_uri(lake, dataset)
    return f"{beside}/tombstones" if generation == 1 else f"{beside}/g{generation}/tombstones"


def hidden_uri(lake: str, dataset: str, generation: int) -> str:
    """Where the rows of a generation lie that is not shown yet."""
    return f"{beside_uri(lake, dataset)}/g{generation}/table"
