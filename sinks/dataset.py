"""Dataset and Target: what a table is to be, and whose rows it takes. Plain data, no SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bridge.wire.errors import ConfigurationError
from sinks.layout import Layout
from sinks.options import CLUSTER_COLUMNS_MAX, check_cluster_by, check_properties

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A Delta table that is made of the transform applied to the source's items.

    Args:
        id: its name; the table lies at `<TAILRACE_LAKE>/<id>`, or at `path`.
        tags: free words, kept in the table's metadata.
        description: one sentence, kept in the table's metadata.
        key: columns that identify a row, for transforms that make several rows of one item; they
            must contain the item's own key. Left empty, rows are keyed by the item's primary key,
            also when the projection drops it.
        mode: `current`, the live rows of the source; `history`, every state a row had, from when
            to when (SCD type 2: `valid_from`, `valid_to`, `is_current`); `log`, every change once
            (`_op`: upsert, delete, read).
        partition_by: columns, `days(column)` or `bucket(n, column)`; see `sinks.layout`.
        cluster_by: up to four columns that queries ask for ranges or values of, the most important
            one first; the sink keeps the rows of each partition sorted by them. Merges profit from
            rows sorted by key, so leave it out where nothing else is asked for.
        deletes: of a current dataset: `remove` takes a deleted row out, `soft` leaves it with
            `_deleted` true and `_deleted_at`.
        path: where the table lies instead: below the lake (`finance/orders`), or a URI or folder of
            its own in the same kind of store. It is found by its id all the same.
        properties: Delta table properties, `{"delta.logRetentionDuration": "interval 30 days"}`;
            names of your own with a dot in them are kept as they are.

    Raises:
        ConfigurationError: a value is not one of these.
    """

    id: str
    tags: Sequence[str] = ()
    description: str = ""
    key: Sequence[str] = ()
    mode: Literal["current", "history", "log"] = "current"
    partition_by: Sequence[str] = ()
    cluster_by: Sequence[str] = ()
    deletes: Literal["remove", "soft"] = "remove"
    path: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"Dataset(id={self.id!r})"
        if not (isinstance(self.id, str) and _ID.fullmatch(self.id)):
            raise ConfigurationError(
                "not a dataset id",
                where=where,
                remedy="Use 1 to 200 of A-Z a-z 0-9 _ . - and begin with a letter or digit",
            )
        for name in ("tags", "key", "partition_by", "cluster_by"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(text, str) for text in value):
                raise ConfigurationError(
                    f"{name}={value!r} is not a list of texts",
                    where=where,
                    remedy=f"Write {name}=[{value!r}]" if isinstance(value, str) else "",
                )
            object.__setattr__(self, name, tuple(value))
        if not isinstance(self.description, str):
            raise ConfigurationError(f"description={self.description!r} is no text", where=where)
        if self.path is not None:
            object.__setattr__(self, "path", _checked_path(self.path, where))
        object.__setattr__(self, "properties", check_properties(self.properties, where))
        self.layout.check(where)
        chosen = len(self.cluster_by)
        if chosen > CLUSTER_COLUMNS_MAX or len({*self.cluster_by}) < chosen:
            raise ConfigurationError(
                f"cluster_by={list(self.cluster_by)!r}",
                where=where,
                remedy=f"Name up to {CLUSTER_COLUMNS_MAX} columns, each once",
            )

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Compare with the columns of the transform: wire types by name.

        Raises:
            ConfigurationError: `partition_by` or `cluster_by` names a column that is unknown or of
                a type it can't be made of, or a column has a name that the table uses.
        """
        where = f"Dataset(id={self.id!r})"
        self.layout.check_columns(columns, where)
        check_cluster_by(self.cluster_by, self.layout, columns, where)

    @property
    def layout(self) -> Layout:
        """What of it can't be changed in the table's place."""
        return Layout(self.mode, self.deletes, tuple(self.partition_by))


def _checked_path(path: object, where: str) -> str:
    text = path.rstrip("/") if isinstance(path, str) else ""
    parts = text.split("://")[-1].split("/")
    below = "://" not in text and not text.startswith("/")
    if not text or "" in parts[1:] or {".", ".."} & {*parts} or (below and parts[0] == "_tailrace"):
        raise ConfigurationError(
            f"path={path!r} is no place for a table",
            where=where,
            remedy="Write a path below the lake, finance/orders, or a URI or folder of its own",
        )
    return text


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
