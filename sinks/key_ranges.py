"""Ranges of keys that a table's files hold, as far as their bounds tell. No I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

Partition = tuple[object, ...]
"""Values of the partition columns; () where a table has none."""
_ABOVE_ALL = "\U0010ffff"


def partitions_of(rows: pa.Table, names: Sequence[str]) -> list[Partition]:
    """The values of these columns, by row."""
    if not names:
        return [()] * len(rows)
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def lows_of(files: pa.Table) -> list[str]:
    """The lowest key of each file, "" where nobody knows."""
    return _bounds(files, "min._key", "")


def highs_of(files: pa.Table) -> list[str]:
    """The highest key of each file, above all where nobody knows."""
    return _bounds(files, "max._key", _ABOVE_ALL)


def _bounds(files: pa.Table, column: str, unknown: str) -> list[str]:
    if column not in files.column_names:
        return [unknown] * len(files)
    return [unknown if value is None else value for value in files[column].to_pylist()]


def any_between(ordered: Sequence[str], low: str, high: str) -> bool:
    """Whether one of some ascending keys lies in a range, its ends included."""
    at = bisect_left(ordered, low)
    return at < len(ordered) and ordered[at] <= high


class Ranges:
    """Where the ranges of files begin, by partition.

    Args:
        files: of the table, as `Snapshot.files` gives them.
        partitions: theirs.
    """

    def __init__(self, files: pa.Table, partitions: Sequence[Partition]) -> None:
        self._begins: dict[Partition, list[str]] = defaultdict(list)
        for partition, low in sorted(
            zip(partitions, lows_of(files), strict=True), key=lambda each: each[1]
        ):
            self._begins[partition].append(low)

    def free(self, partition: Partition, above: str, to: str, *, inclusive: bool = True) -> bool:
        """Whether no file begins above one key and up to another, or below it."""
        begins = self._begins.get(partition, [])
        end = bisect_right(begins, to) if inclusive else bisect_left(begins, to)
        return end <= bisect_right(begins, above)
