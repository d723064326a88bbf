"""Windows over change events, in event time. Pure.

A row is written whenever its window grows, so nothing waits for a window to end. A window is kept
until the newest event time seen in its partition has passed its end by the grace; what comes later
is dropped and counted. The default grace is what DynamoDB itself can hold back: 24 hours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.wire.errors import ConfigurationError
from processors.keyed.aggregates import ARRIVALS, EXTREMES, Aggregate, Tally, is_better, tallied
from processors.keyed.ordering import unsigned
from processors.language import moments
from processors.state import OrderedStore, Shelf

DEFAULT_GRACE = "24 hours"
_UNITS_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_DURATION = re.compile(r"\s*(\d+)\s*(second|minute|hour|day)s?\s*", re.IGNORECASE)
_WATERMARK = b"watermark"
_ENDS = b"w"
_WINDOW = b"="
# Ended windows put away per event: more than one, so that none are left behind for ever.
_PUT_AWAY = 20


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Windows of one size, side by side, the first beginning in 1970 (UTC)."""

    size_ms: int

    def start_of(self, at_ms: int) -> int:
        """The beginning of the window an event lies in, in ms since 1970."""
        return at_ms - at_ms % self.size_ms


def tumbling(size: str) -> Tumbling:
    """Windows side by side: `tumbling("1 hour")`.

    Raises:
        ConfigurationError: not a whole number of seconds, minutes, hours or days.
    """
    return Tumbling(duration_ms(size, "tumbling"))


def duration_ms(text: object, where: str) -> int:
    """`"10 minutes"` in milliseconds. Raises: ConfigurationError: not a duration above 0."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None or not int(found[1]):
        raise ConfigurationError(
            f"{text!r} is not a duration",
            where=f"{where}(…)",
            remedy='Write a number and a unit: "90 seconds", "10 minutes", "1 hour", "7 days"',
        )
    return int(found[1]) * _UNITS_MS[found[2].lower()]


def timestamp_text(at_ms: int) -> str:
    """ISO 8601 UTC, as rows carry timestamps."""
    return moments.timestamp_text(datetime.fromtimestamp(at_ms / 1_000, UTC))


class Windows:
    """Applies events to windows.

    Args:
        aggregates: the columns of a window.
        size_ms: of a window.
        grace_ms: how long a window outlives its end.
    """

    def __init__(self, aggregates: Sequence[Aggregate], size_ms: int, grace_ms: int) -> None:
        self._aggregates = aggregates
        self._size_ms = size_ms
        self._grace_ms = grace_ms

    def add(
        self,
        shelf: Shelf,
        key: bytes,
        rows: Sequence[Sequence[Any]],
        *,
        at_ms: int,
        changed_ms: int | None,
        place: int,
    ) -> dict[str, Any] | None:
        """The window's columns with these rows in it; None where they come too late.

        `at_ms` is the event's time, `changed_ms` that of the change it comes from: an event that
        calls itself later than that does not make others late.

        Raises:
            UnfitValueError: a result does not fit; nothing was changed.
        """
        own, store = shelf.own, shelf.of(key)
        known_mark = own.get(_WATERMARK)
        passed = at_ms if changed_ms is None else min(at_ms, changed_ms)
        watermark = max(int(known_mark or 0), passed)
        end = at_ms - at_ms % self._size_ms + self._size_ms
        if end + self._grace_ms <= watermark:
            return None
        known = store.get(_WINDOW)
        cells = orjson.loads(known) if known is not None else [None] * len(self._aggregates)
        for row in rows:
            cells = [
                _grown(aggregate, cell, row, at_ms, place)
                for aggregate, cell in zip(self._aggregates, cells, strict=True)
            ]
        columns = {
            aggregate.name: _shown(aggregate, cell)
            for aggregate, cell in zip(self._aggregates, cells, strict=True)
        }
        store.set(_WINDOW, orjson.dumps(cells))
        if known is None:
            own.set(_ENDS + unsigned(end) + key, b"")
        if known_mark is None or watermark > int(known_mark):
            own.set(_WATERMARK, b"%d" % watermark)
            self._put_away(shelf, own, watermark)
        return columns

    def _put_away(self, shelf: Shelf, own: OrderedStore, watermark: int) -> None:
        limit = unsigned(max(0, watermark - self._grace_ms + 1))
        for _ in range(_PUT_AWAY):
            found = own.edge(_ENDS, _ENDS + limit)
            if found is None:
                return
            own.delete(found[0])
            shelf.of(found[0][len(_ENDS) + 8 :]).delete(_WINDOW)


def _grown(
    aggregate: Aggregate, cell: Any, row: Sequence[Any], at_ms: int, place: int
) -> list[Any]:
    value = row[aggregate.argument] if aggregate.argument is not None else None
    if aggregate.function in ARRIVALS:
        mine = [at_ms, place, value]
        if cell is None:
            return mine
        earlier = (at_ms, place) < (cell[0], cell[1])
        return mine if earlier == (aggregate.function == "first") else list(cell)
    if aggregate.function in EXTREMES:
        known = cell[0] if cell is not None else None
        return [value if value is not None and is_better(aggregate, value, known) else known]
    tally = Tally(*cell) if cell is not None else Tally()
    tally = tally.moved(aggregate, value, 1)
    return [tally.count, tally.total]


def _shown(aggregate: Aggregate, cell: list[Any]) -> Any:
    if aggregate.function in ARRIVALS:
        return cell[2]
    if aggregate.function in EXTREMES:
        return cell[0]
    return tallied(aggregate, Tally(*cell))
