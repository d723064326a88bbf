"""The layout of a table: what its rows stand for and how they are partitioned. Plain data, no SDK.

A partition is one of

- `column`: a text, boolean, bigint or date column is the partition column itself;
- `days(column)`: the UTC day of a timestamp (or `_event_time`), in the column `<column>_day`;
- `bucket(n, column)`: one of n numbers made of a text, bigint or date (or `_key`), in
  `<column>_bucket`; `crc32` of the value's text, modulo n. NULL has no bucket: NULL.

Of `_key` and, in a log, of `_event_time` a change never has another value than the entry it is
compared with, so merges read only the partitions of their batch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bridge.wire.errors import ConfigurationError, TailraceError

BUCKETS_MAX = 4096
_DAYS = re.compile(r"days\(\s*(.+?)\s*\)")
_BUCKET = re.compile(r"bucket\(\s*([0-9]+)\s*,\s*(.+?)\s*\)")
_PLAIN_TYPES = ("string", "bigint", "boolean", "date")
_BUCKET_TYPES = ("string", "bigint", "date")
OWN_COLUMNS = {"_key": "string", "_event_time": "timestamp"}
_MODES = ("current", "history", "log")
_DELETES = ("remove", "soft")

DELETED, DELETED_AT = "_deleted", "_deleted_at"
VALID_FROM, VALID_TO, IS_CURRENT, MERGED = "valid_from", "valid_to", "is_current", "_merged"
OPERATION = "_op"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition column: `name` in the table, made of `source`; `buckets` of a bucket."""

    kind: Literal["column", "days", "bucket"]
    source: str
    buckets: int = 0

    @property
    def name(self) -> str:
        """Its column in the table."""
        base = self.source.removeprefix("_") if self.source in OWN_COLUMNS else self.source
        return {"column": self.source, "days": f"{base}_day"}.get(self.kind, f"{base}_bucket")

    @property
    def text(self) -> str:
        """As it is declared."""
        if self.kind == "bucket":
            return f"bucket({self.buckets}, {self.source})"
        return f"days({self.source})" if self.kind == "days" else self.source

    def fits(self, column_type: str) -> bool:
        """Whether values of this wire type can be partitioned so."""
        if self.kind == "days":
            return column_type == "timestamp"
        return column_type in (_BUCKET_TYPES if self.kind == "bucket" else _PLAIN_TYPES)


def parse_partition(text: str) -> Partition:
    """`"city"`, `"days(created_at)"` or `"bucket(16, city)"`.

    Raises:
        ValueError: none of these.
    """
    if match := _DAYS.fullmatch(text):
        return Partition("days", match[1])
    if match := _BUCKET.fullmatch(text):
        if not 1 <= int(match[1]) <= BUCKETS_MAX:
            raise ValueError(f"1 to {BUCKETS_MAX} buckets")
        return Partition("bucket", match[2], int(match[1]))
    if not text.strip() or re.search(r"[(),]", text):
        raise ValueError("it is neither a column, days(column) nor bucket(n, column)")
    return Partition("column", text)


@dataclass(frozen=True, slots=True)
class Layout:
    """What can't be changed in a table's place."""

    mode: str = "current"
    deletes: str = "remove"
    partition_by: tuple[str, ...] = ()

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partition columns, in order."""
        return tuple(map(parse_partition, self.partition_by))

    @property
    def soft(self) -> bool:
        """Whether deleted rows stay, flagged."""
        return self.deletes == "soft"

    @property
    def keeps_deletes(self) -> bool:
        """Whether a delete is a row."""
        return self.soft or self.mode == "log"

    @property
    def every_delete(self) -> bool:
        """Whether all deletes of a key must be remembered, not the newest alone."""
        return self.soft or self.mode == "history"

    @property
    def own_columns(self) -> Mapping[str, str]:
        """Types of the columns the layout adds to the transform's, by name."""
        found: dict[str, str] = {}
        if self.mode == "log":
            found[OPERATION] = "string"
        if self.mode == "history":
            found = {VALID_FROM: "timestamp", VALID_TO: "timestamp", IS_CURRENT: "boolean"}
            found[MERGED] = "string"
        if self.soft:
            found |= {DELETED: "boolean", DELETED_AT: "timestamp"}
        for part in self.partitions:
            if part.kind != "column":
                found[part.name] = "date" if part.kind == "days" else "bigint"
        return found

    def check(self, where: str) -> None:
        """Raises: ConfigurationError: a value is unknown, or two do not go together."""
        if self.mode not in _MODES:
            raise ConfigurationError(
                f"mode={self.mode!r}", where=where, remedy="Use 'current', 'history' or 'log'"
            )
        if self.deletes not in _DELETES:
            raise ConfigurationError(
                f"deletes={self.deletes!r}", where=where, remedy="Use 'remove' or 'soft'"
            )
        if self.soft and self.mode != "current":
            raise ConfigurationError(
                f"deletes='soft' has no meaning in mode {self.mode!r}: it keeps deletes anyway",
                where=where,
                remedy="Leave it out",
            )
        names = []
        for text in self.partition_by:
            try:
                names.append(parse_partition(text).name.lower())
            except ValueError as error:
                raise ConfigurationError(
                    f"partition_by names {text!r}: {error}",
                    where=where,
                    remedy='Write "city", "days(created_at)" or "bucket(16, customer_id)"',
                ) from None
        if len(set(names)) != len(names):
            raise ConfigurationError("partition_by names a column twice", where=where)

    def check_columns(self, columns: Mapping[str, str], where: str) -> None:
        """Compare with the columns of the transform: wire types by name.

        Raises:
            ConfigurationError: a partition's column is unknown or of a type it can't be made of,
                or a column has a name that the layout uses.
        """
        spelled = {name.lower(): name for name in columns}
        for name in self.own_columns:
            if name.lower() in spelled:
                raise ConfigurationError(
                    f"column {spelled[name.lower()]!r} has a name that the table uses itself",
                    where=where,
                    remedy=f"Give it another name in the transform: … as {name}_2",
                )
        for part in self.partitions:
            allowed = part.kind == "days" if part.source == "_event_time" else part.source == "_key"
            own = OWN_COLUMNS.get(part.source) if allowed and part.kind != "column" else None
            found = own or columns.get(part.source)
            if found is None:
                raise not_selected("partition_by", part.source, columns, where)
            if not part.fits(found):
                wanted = {"days": "a timestamp", "bucket": "a string, bigint or date"}
                raise ConfigurationError(
                    f"partition_by names {part.text!r}, whose column is a {found}: "
                    f"{wanted.get(part.kind, 'a string, bigint, boolean or date')} is needed",
                    where=where,
                    remedy="days(column) takes timestamps; or cast the column in the transform",
                )
        sources = {part.source.lower() for part in self.partitions if part.kind == "column"}
        if columns and sources.issuperset(spelled):
            raise ConfigurationError(
                "partition_by names every column there is", where=where, remedy="Leave one out"
            )

    @property
    def stable_partitions(self) -> tuple[str, ...]:
        """Partition columns whose value is the same in whatever a change is compared with."""
        stable = {"_key"} | ({"_event_time"} if self.mode == "log" else set())
        return tuple(part.name for part in self.partitions if part.source in stable)

    @property
    def text(self) -> str:
        """Canonical JSON, kept in the table."""
        parts = [part.text for part in self.partitions]
        return json.dumps({"mode": self.mode, "deletes": self.deletes, "partition_by": parts})

    @classmethod
    def read(cls, text: str | None) -> Layout:
        """What `text` gave; a table that says nothing is of a release that knew the default only.

        Raises:
            LayoutError: it is not readable.
        """
        if text is None:
            return cls()
        try:
            found = json.loads(text)
            layout = cls(found["mode"], found["deletes"], tuple(found["partition_by"]))
            layout.check("table")
        except (KeyError, TypeError, ValueError, ConfigurationError):
            raise LayoutError("its property tailrace.layout is not readable") from None
        return layout


def not_selected(
    option: str, name: str, columns: Mapping[str, str], where: str
) -> ConfigurationError:
    """An option names a column that is none of the transform's."""
    return ConfigurationError(
        f"{option} names {name!r}, which the transform does not select",
        where=where,
        remedy=f"Its columns: {', '.join(columns) or 'none that is declared'}",
    )


class LayoutError(TailraceError):
    """A table says something about its layout that this release does not understand."""
