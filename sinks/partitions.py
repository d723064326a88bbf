"""Values of partition columns, made of the columns they are declared of: see `sinks.layout`."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pyarrow as pa

from sinks.layout import parse_partition


def partition_values(made_of: str, source: Callable[[str], pa.Array]) -> pa.Array:
    """The values of a `days(…)` or `bucket(…)` column; NULL of NULL."""
    partition = parse_partition(made_of)
    values = source(partition.source)
    if partition.kind == "days":
        return values.cast(pa.date32(), safe=False)
    buckets = partition.buckets
    return pa.array(
        [None if value is None else bucket_of(value, buckets) for value in values.to_pylist()],
        pa.int64(),
    )


def bucket_of(value: object, buckets: int) -> int:
    """The bucket of a text, whole number or date."""
    return zlib.crc32(str(value).encode()) % buckets
