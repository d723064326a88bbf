"""The last hour of a dataset, in fixed memory: what the page draws over time."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

FIELDS = ("changes", "rows", "merged", "lag")
SIZE = 1_800


@dataclass(frozen=True, slots=True)
class Point:
    """One moment: offsets a second into the changes topics, into the rows topic and into the
    table, and seconds from the source to the table; None: not known."""

    at_s: float
    changes: float | None = None
    rows: float | None = None
    merged: float | None = None
    lag: float | None = None


class Series:
    """Points in the order of time; the oldest make room."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._at = array("d")
        self._values = {name: array("f") for name in FIELDS}

    def add(self, point: Point) -> None:
        """The newest point."""
        self._at.append(point.at_s)
        for name, values in self._values.items():
            value = getattr(point, name)
            values.append(math.nan if value is None else value)
        if len(self._at) > self._size * 1.25:
            for values in (self._at, *self._values.values()):
                del values[: -self._size]

    def since(self, at_s: float) -> dict[str, list[float | None]]:
        """The points after a moment, a list for each field; `at` is seconds since 1970."""
        begin = next((i for i, moment in enumerate(self._at) if moment > at_s), len(self._at))
        found: dict[str, list[float | None]] = {"at": list(self._at[begin:])}
        for name, values in self._values.items():
            found[name] = [None if math.isnan(v) else round(v, 3) for v in values[begin:]]
        return found
