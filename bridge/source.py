"""DynamoDBSource: the declaration of what to read. Plain data; opens nothing, imports no SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bridge.wire.errors import ConfigurationError

# Source: "Naming rules and data types", Amazon DynamoDB Developer Guide.
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")


def _positive(number: object) -> bool:
    if number is None:
        return True
    return isinstance(number, int | float) and not isinstance(number, bool) and number > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDBSource:
    """A DynamoDB table whose every change is wanted, in order; or several tables alike.

    Args:
        table_name: the table's name, 3 to 255 of `A-Z a-z 0-9 _ . -`.
        table_names: several names instead of the one: tables of the same kind in one region, one
            per customer for example, whose rows come together as of one stream.
        table_tags: AWS tags instead of names, `{"team": "orders"}`: every table of the region
            that has all of them, also those that get them later. Rows are as those of
            `table_names`. A table that was found stays, also when it loses its tags.
        region: its AWS region, e.g. `us-west-2`; None takes botocore's.
        stream_enabled: the table's stream is expected to be on (NEW_AND_OLD_IMAGES). `demo` and
            `dev` turn a missing stream on; `run connector` only with `TAILRACE_ENABLE_STREAMS=1`.
        snapshot: `initial` reads the existing items, then every change; `never` only changes;
            `only` the existing items, once, and no stream: the table needs none. A backfill reads
            them again.
        on_gap: what to do when DynamoDB trimmed changes before they were read: `stop` with the
            command that repairs it, or `resnapshot` at once.
        read_capacity: read capacity units a second that snapshots of the table may consume, all
            connector workers together; None is without limit. The stream's reading has no part in
            it: AWS counts that apart.

    Raises:
        ConfigurationError: a value is not one of these.
    """

    table_name: str = ""
    table_names: Sequence[str] = ()
    table_tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    region: str | None = None
    stream_enabled: bool = True
    snapshot: Literal["initial", "never", "only"] = "initial"
    on_gap: Literal["stop", "resnapshot"] = "stop"
    read_capacity: float | None = None

    def __post_init__(self) -> None:
        if self.table_tags:
            self._check_tags()
        else:
            self._check_names()
        for name, allowed in (
            ("snapshot", ("initial", "never", "only")),
            ("on_gap", ("stop", "resnapshot")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name}={getattr(self, name)!r}",
                    where=f"DynamoDBSource(table_name={self.table_name!r})",
                    remedy=f"Use one of {', '.join(allowed)}",
                )

        if not _positive(self.read_capacity):
            raise ConfigurationError(
                f"read_capacity={self.read_capacity!r}",
                where=f"DynamoDBSource(table_name={self.table_name!r})",
                remedy="Give read capacity units a second, above 0",
            )

    @property
    def each(self) -> tuple[DynamoDBSource, ...]:
        """The declaration of each table by itself."""
        if not self.table_names:
            return (self,)
        return tuple(
            replace(self, table_name=name, table_names=(), table_tags={})
            for name in self.table_names
        )

    def found(self, names: Sequence[str]) -> DynamoDBSource:
        """The declaration once the tables that have its tags are known."""
        return replace(self, table_name="", table_names=tuple(names))

    def _check_tags(self) -> None:
        tags, where = self.table_tags, "DynamoDBSource(table_tags=…)"
        if not (
            isinstance(tags, Mapping)
            and all(isinstance(text, str) and text for text in tags)
            and all(isinstance(text, str) for text in tags.values())
        ):
            raise ConfigurationError(
                f"table_tags={tags!r}",
                where=where,
                remedy='Write tags and their values, table_tags={"team": "orders"}',
            )
        text = ", ".join(f"{name}={tags[name]}" for name in sorted(tags))
        # Names beside the tags are only what `found` gives.
        if self.table_name not in ("", text) or isinstance(self.table_names, str):
            raise ConfigurationError(
                "table_tags and a table's name are both given",
                where=where,
                remedy="Name the table in an input of its own, or give it the tags",
            )
        object.__setattr__(self, "table_name", text)
        object.__setattr__(self, "table_names", tuple(self.table_names))

    def _check_names(self) -> None:
        several = self.table_names
        if isinstance(several, str) or not isinstance(several, Sequence):
            raise ConfigurationError(
                f"table_names={several!r}",
                where="DynamoDBSource(table_names=…)",
                remedy='Write a list of names, table_names=["orders_eu", "orders_us"]',
            )
        # A table_name beside the list is its first: what `replace` and equality see of it.
        first = several[0] if several else self.table_name
        if self.table_name not in ("", first):
            raise ConfigurationError(
                "table_name and table_names are both given",
                where=f"DynamoDBSource(table_name={self.table_name!r})",
                remedy="Put all of them into table_names",
            )
        for name in several or (self.table_name,):
            if not (isinstance(name, str) and _TABLE_NAME.fullmatch(name)):
                raise ConfigurationError(
                    f"{name!r} is not the name of a DynamoDB table",
                    where="DynamoDBSource(table_name=…)",
                    remedy="Use 3 to 255 of the characters A-Z a-z 0-9 _ . -",
                )
        if len(set(several)) != len(several):
            raise ConfigurationError(
                "a table is named twice",
                where="DynamoDBSource(table_names=…)",
                remedy="Name each DynamoDB table once",
            )
        object.__setattr__(self, "table_name", first)
        object.__setattr__(self, "table_names", tuple(several))
