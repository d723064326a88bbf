"""What a transform's author declares: where data comes from and where it goes. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bridge.wire.errors import ConfigurationError


class Source(Protocol):
    """A table whose changes are read; `bridge.DynamoDBSource` is one."""

    @property
    def table_name(self) -> str:
        """The table's name."""


class Target(Protocol):
    """A table that is kept; `sinks.Dataset` is one."""

    @property
    def id(self) -> str:
        """The table's name."""

    @property
    def key(self) -> Sequence[str]:
        """Columns that identify a row; empty: the item's own key does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The changes of a source.

    Raises:
        ConfigurationError: `source` is not a source.
    """

    source: Source

    def __post_init__(self) -> None:
        if not isinstance(getattr(self.source, "table_name", None), str):
            raise ConfigurationError(
                f"{type(self.source).__name__} is not a source",
                where="Stream(source=…)",
                remedy="Write Stream(source=DynamoDBSource(table_name=…))",
            )

    @property
    def tables(self) -> tuple[str, ...]:
        """Every table of the source; most have one. Of tags nobody looked up: the tags."""
        several = getattr(self.source, "table_names", None)
        return tuple(several) if several else (self.source.table_name,)

    @property
    def joins_tables(self) -> bool:
        """Whether its rows say which table they are of: one found by tags may get company."""
        return len(self.tables) > 1 or bool(getattr(self.source, "table_tags", None))


@dataclass(frozen=True, slots=True)
class Input:
    """A stream a transform reads.

    Raises:
        ConfigurationError: `stream` is not a Stream.
    """

    stream: Stream

    def __post_init__(self) -> None:
        if not isinstance(self.stream, Stream):
            raise ConfigurationError(
                f"{type(self.stream).__name__} is not a Stream",
                where="Input(…)",
                remedy="Write Input(Stream(source=…))",
            )


@dataclass(frozen=True, slots=True)
class Output:
    """A dataset a transform writes.

    Args:
        dataset: which.
        on_type_mismatch: what becomes of an item whose attribute has another type than a path
            says: `null` makes the path NULL and counts it, `dead_letter` sets the change aside.

    Raises:
        ConfigurationError: a value is not one of these.
    """

    dataset: Target
    on_type_mismatch: Literal["null", "dead_letter"] = "null"

    def __post_init__(self) -> None:
        if not isinstance(getattr(self.dataset, "id", None), str):
            raise ConfigurationError(
                f"{type(self.dataset).__name__} is not a dataset",
                where="Output(…)",
                remedy="Write Output(Dataset(id=…))",
            )
        if self.on_type_mismatch not in ("null", "dead_letter"):
            raise ConfigurationError(
                f"on_type_mismatch={self.on_type_mismatch!r}",
                where=f"Output(Dataset(id={self.dataset.id!r}))",
                remedy='Use "null" or "dead_letter"',
            )
