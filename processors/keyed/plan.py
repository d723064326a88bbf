"""What a keyed chain is compiled to: where its target keys come from, what its rows are made of."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from bridge.wire.attributes import canonical_binary, canonical_number
from bridge.wire.errors import ConfigurationError
from bridge.wire.schemas import Column
from processors.keyed.aggregates import ARRIVALS, Aggregate
from processors.keyed.windows import timestamp_text
from processors.language import column_types
from processors.language.runtime import UnfitValueError
from processors.stream import Target

WINDOW_START, WINDOW_END = "window_start", "window_end"
EVENT_MS = "\0event_ms"
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_LATEST_MS = 253_402_300_799_000  # 9999-12-31
_TAGS = {column_types.BINARY: "B", column_types.BOOLEAN: "BOOL"}


@dataclass(frozen=True, slots=True)
class Window:
    """Sizes in ms; `on` names the value an event's time is read from, None its event time."""

    size_ms: int
    grace_ms: int
    on: str | None


@dataclass(frozen=True, slots=True)
class KeyedPlan:
    """The second half of a keyed flow.

    `by` are the target key's columns with their types, in the author's order; `arguments` the
    values an item contributes, by their names in the first half's rows. Where `null_keys`, NULL is
    a key like any other, as in SQL's GROUP BY; else an item with a NULL in its key has no row.
    """

    by: Mapping[str, str]
    arguments: Sequence[str]
    aggregates: Sequence[Aggregate]
    null_keys: bool
    window: Window | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the rows."""
        ends = (WINDOW_START, WINDOW_END) if self.window else ()
        made = [Column(a.name, a.type) for a in self.aggregates if a.name not in self.by]
        keys = [Column(name, of) for name, of in self.by.items()]
        return (*keys, *(Column(name, "timestamp") for name in ends), *made)

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the columns that identify a row."""
        return (*self.by, WINDOW_START) if self.window else tuple(self.by)

    def unverified(self, on_event: Collection[str]) -> frozenset[str]:
        """Columns nobody can say from the items alone: by arrival, or by what the event says.

        `on_event` are the contributed values that describe the latest change.
        """
        return frozenset(
            a.name
            for a in self.aggregates
            if a.function in ARRIVALS
            or (a.argument is not None and self.arguments[a.argument] in on_event)
        )

    def described(self) -> list[str]:
        """What is compared between two starts, beside the contributed columns."""
        kind = "rows by" if not self.null_keys else "group by"
        lines = [f"{kind} {', '.join(self.by)}"]
        if self.window is not None:
            lines.append(f"window of {self.window.size_ms} ms, grace {self.window.grace_ms} ms")
        return [*lines, *(f"{a.name}: {a.spelled()}" for a in self.aggregates)]

    def keyed(self, rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, Any], ...]:
        """Each row of an item with its target key; several may have the same one."""
        found = []
        for row in rows:
            key = self.target_key(row)
            if key is not None:
                found.append((key, row))
        return tuple(found)

    def target_key(self, row: Mapping[str, Any]) -> str | None:
        """Canonical JSON of the typed target key, without a window; None: the row has none."""
        typed = {}
        for name, of in self.by.items():
            value = row[name]
            if value is None:
                if not self.null_keys:
                    return None
                typed[name] = {"NULL": True}
            else:
                typed[name] = _typed(value, of)
        return orjson.dumps(typed, option=orjson.OPT_SORT_KEYS).decode()

    def values(self, row: Mapping[str, Any]) -> list[Any]:
        """What a row contributes."""
        return [row[name] for name in self.arguments]

    def timed(
        self, rows: Sequence[tuple[str, Any]], record: Mapping[str, Any]
    ) -> tuple[tuple[str, Any], ...]:
        """The rows of an event with its time in each, where a window needs it: `EVENT_MS`.

        Raises:
            UnfitValueError: nobody knows.
        """
        if self.window is None:
            return tuple(rows)
        made_s = record["dynamodb"].get("ApproximateCreationDateTime")
        return tuple((key, {**row, EVENT_MS: self._at_ms(row, made_s)}) for key, row in rows)

    def _at_ms(self, row: Mapping[str, Any], made_s: Any) -> int:
        assert self.window is not None
        value = made_s if self.window.on is None else row[self.window.on]
        try:
            return _milliseconds(value)
        except (TypeError, ValueError, ArithmeticError, OverflowError):
            raise UnfitValueError(
                "no time of the event",
                where="window(…)" if self.window.on is None else "window(on=…)",
                remedy='Leave such events out: .filter("… is not null")',
            ) from None

    def windowed_key(self, key: str, at_ms: int) -> str:
        """The target key with the window in it."""
        assert self.window is not None
        start = at_ms - at_ms % self.window.size_ms
        typed = {**orjson.loads(key), WINDOW_START: {"S": timestamp_text(start)}}
        return orjson.dumps(typed, option=orjson.OPT_SORT_KEYS).decode()

    def key_columns(self, key: str, at_ms: int | None = None) -> dict[str, Any]:
        """The columns a target key says, as rows carry them."""
        typed = orjson.loads(key)
        columns = {name: _plain(typed[name], of) for name, of in self.by.items()}
        if self.window is not None and at_ms is not None:
            start = at_ms - at_ms % self.window.size_ms
            columns[WINDOW_START] = timestamp_text(start)
            columns[WINDOW_END] = timestamp_text(start + self.window.size_ms)
        return columns


def _typed(value: Any, column_type: str) -> dict[str, Any]:
    if column_types.is_number(column_type):
        text = repr(value) if isinstance(value, float) else str(value)
        return {"N": canonical_number(text)}
    tag = _TAGS.get(column_type, "S")
    return {tag: canonical_binary(value) if tag == "B" else value}


def _plain(typed: Mapping[str, Any], column_type: str) -> Any:
    ((tag, value),) = typed.items()
    if tag == "NULL":
        return None
    if column_type == column_types.BIGINT:
        return int(value)
    return float(value) if column_type == column_types.DOUBLE else value


def _milliseconds(value: Any) -> int:
    """Seconds since 1970 as a number or its text, or ISO 8601 text."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        found = round(moment.timestamp() * 1_000)
    elif isinstance(value, bool):
        raise TypeError("a boolean is no time")
    else:
        found = int(Decimal(str(value)) * 1_000)
    if not 0 <= found <= _LATEST_MS:
        raise ValueError("outside 1970 to 9999")
    return found


def check_dataset(plan: KeyedPlan, dataset: Target, where: str) -> None:
    """Raises: ConfigurationError: the dataset names another key than the chain."""
    if dataset.key and set(dataset.key) != set(plan.key):
        raise ConfigurationError(
            f"key={list(dataset.key)}, the chain makes rows by {list(plan.key)}",
            where=f"{where}, Dataset(id={dataset.id!r})",
            remedy="Leave key= out: key_by, group_by and deduplicate say it",
        )
