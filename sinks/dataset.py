"""Dataset and Target: what a table is to be, and whose rows it takes. Plain data, no SDK."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.wire.errors import ConfigurationError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A Delta table that equals the transform applied to the source's items.

    Args:
        id: its name; the table lies at `<TAILRACE_LAKE>/<id>`.
        tags: free words, kept in the table's metadata.
        description: one sentence, kept in the table's metadata.
        key: columns that identify a row, for transforms that make several rows of one item; they
            must contain the item's own key. Left empty, rows are keyed by the item's primary key,
            also when the projection drops it.
        mode: `current`, the live rows of the source.

    Raises:
        ConfigurationError: a value is not one of these.
    """

    id: str
    tags: Sequence[str] = ()
    description: str = ""
    key: Sequence[str] = ()
    mode: Literal["current"] = "current"

    def __post_init__(self) -> None:
        where = f"Dataset(id={self.id!r})"
        if not (isinstance(self.id, str) and _ID.fullmatch(self.id)):
            raise ConfigurationError(
                "not a dataset id",
                where=where,
                remedy="Use 1 to 200 of A-Z a-z 0-9 _ . - and begin with a letter or digit",
            )
        for name in ("tags", "key"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(text, str) for text in value):
                raise ConfigurationError(
                    f"{name}={value!r} is not a list of texts",
                    where=where,
                    remedy=f"Write {name}=[{value!r}]" if isinstance(value, str) else "",
                )
            object.__setattr__(self, name, tuple(value))
        if self.mode != "current":
            raise ConfigurationError(f"mode={self.mode!r}", where=where, remedy="Use 'current'")


@dataclass(frozen=True, slots=True)
class Target:
    """A dataset, and the DynamoDB tables whose items its rows come from.

    With several tables every `_key` begins with its table; see `sinks.keys`. Where they are `found`
    by tags, that is so with one as well, and there may be more than this process knows of.
    """

    dataset: Dataset
    tables: tuple[str, ...]
    found: bool = False

    def __post_init__(self) -> None:
        if not self.tables:
            raise ConfigurationError(
                "no table feeds this dataset", where=f"Dataset(id={self.dataset.id!r})"
            )
