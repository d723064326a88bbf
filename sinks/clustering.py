"""Rows sorted by key: a table rewritten so that each file holds a narrow range of keys.

A merge then reads and rewrites only the files its keys lie in, and a lookup reads one. delta-rs's
z-order is no help here: it compares the first bytes of a text, which all keys share. So ranges of
keys are read, sorted and written one after the other, in one commit; memory is that of one range.
The writer's threads take turns, so the ranges of neighbouring files overlap a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from deltalake import WriterProperties, write_deltalake

from sinks.keys import sql_text
from sinks.table import NO_HOOKS, Snapshot, TableError, commit_properties, lake_errors
from sinks.upkeep import MEDIUM_TARGET

_SAMPLE_EVERY = 64
_SAMPLE_ALL = 4096
_BATCH_ROWS = 16 * 1024
_COMPRESSED = WriterProperties(
    compression="ZSTD", compression_level=1, max_row_group_size=128 * 1024
)


def sample_bounds(snapshot: Snapshot, ranges: int) -> list[str]:
    """Keys that cut the table's into about equal ranges, from a sample of the key column.

    Raises:
        TableError: it can't be read.
    """
    found: list[str] = []
    with lake_errors(snapshot.uri):
        for batch in snapshot.delta.scan(columns=["_key"]):
            keys = pa.record_batch(batch).column(0).cast(pa.string())
            step = 1 if len(found) < _SAMPLE_ALL else _SAMPLE_EVERY
            found += keys.take(pa.array(range(0, len(keys), step), pa.int64())).to_pylist()
    return key_bounds(found, ranges)


def key_bounds(sample: Sequence[str], ranges: int) -> list[str]:
    """Keys that cut the sample into about as many ranges, ascending, none twice. Pure."""
    ordered = sorted(sample)
    cuts = [ordered[len(ordered) * n // ranges] for n in range(1, ranges)] if ordered else []
    return sorted(set(cuts))


def sort_by_key(snapshot: Snapshot, bounds: Sequence[str], goes_on: Callable[[], bool]) -> None:
    """Rewrite the table sorted by key, in one commit onto this snapshot.

    Args:
        snapshot: of a table without partitions.
        bounds: of the ranges.
        goes_on: asked before each range; where it says no, nothing is committed.

    Raises:
        TableError: it failed, was given up, or may have failed; a fresh snapshot tells.
    """
    with lake_errors(snapshot.uri):
        write_deltalake(
            snapshot.delta,
            pa.RecordBatchReader.from_batches(snapshot.schema, _sorted(snapshot, bounds, goes_on)),
            mode="overwrite",
            target_file_size=MEDIUM_TARGET,
            writer_properties=_COMPRESSED,
            commit_properties=commit_properties({}),
            post_commithook_properties=NO_HOOKS,
        )


def _sorted(
    snapshot: Snapshot, bounds: Sequence[str], goes_on: Callable[[], bool]
) -> Iterator[pa.RecordBatch]:
    lows, highs = [None, *bounds], [*bounds, None]
    # delta-rs pulls from a thread of its runtime, on which it can't read at the same time.
    with ThreadPoolExecutor(1, thread_name_prefix="range") as reader:
        for low, high in zip(lows, highs, strict=True):
            if not goes_on():
                raise TableError("sorting was given up", where=snapshot.uri)
            table = reader.submit(_range, snapshot, low, high).result()
            yield from table.to_batches(_BATCH_ROWS)


def _range(snapshot: Snapshot, low: str | None, high: str | None) -> pa.Table:
    limits = []
    if low is not None:
        limits.append(f"_key >= {sql_text(low)}")
    if high is not None:
        limits.append(f"_key < {sql_text(high)}")
    rows = snapshot.delta.scan(predicate=" AND ".join(limits) or None)
    table = pa.RecordBatchReader.from_stream(rows).read_all().cast(snapshot.schema)
    return table.sort_by("_key")
