"""Keys of rows that are keyed by columns, where one item can make several rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.wire.attributes import canonical_binary, canonical_number
from bridge.wire.errors import ConfigurationError, WireError
from processors.language import column_types, nodes, problems, runtime
from processors.stream import Target

Row = dict[str, Any]
Keyed = tuple[str, Row]

_KEY_TAGS = {column_types.STRING: "S", column_types.BINARY: "B"}
_CANONICAL = {"N": canonical_number, "B": canonical_binary}


@dataclass(frozen=True, slots=True)
class TargetKey:
    """Keys of the rows of one item, from the columns that tell them apart."""

    tags: Mapping[str, str]
    attributes: frozenset[str]
    prefix: str = ""

    def keyed(
        self, rows: Sequence[Row], keys: Mapping[str, Any], dataset: str
    ) -> tuple[Keyed, ...]:
        if not self.attributes.issuperset(keys):
            missing = sorted(set(keys) - self.attributes)
            raise ConfigurationError(
                f"key={list(self.tags)} does not hold the table's key attribute {missing[0]!r}: "
                "rows of different items would overwrite one another",
                where=f"Dataset(id={dataset!r})",
                remedy=f"Select dynamodb.NewImage.{missing[0]}.{_tag_of(keys[missing[0]])} "
                "without a cast and add its column to key",
            )
        found = [(self._key(row), row) for row in rows]
        if len(found) > 1 and len(dict(found)) != len(found):
            raise WireError(
                f"two rows of one item have the same key ({', '.join(self.tags)})",
                where=f"dataset {dataset}",
                remedy="Add a column to key that tells them apart",
            )
        return tuple(found)

    def _key(self, row: Row) -> str:
        typed = {}
        for name, tag in self.tags.items():
            value = row[name]
            if value is None:
                raise runtime.UnfitValueError("a key column is null", where=f"column {name}")
            if tag != "S":
                value = _CANONICAL[tag](value if value.__class__ is str else str(value))
            typed[name] = {tag: value}
        key = orjson.dumps(typed, option=orjson.OPT_SORT_KEYS).decode()
        return in_table(self.prefix, key) if self.prefix else key


def in_table(prefix: str, key: str) -> str:
    """The row's key behind its table's prefix, "" where one table feeds the dataset."""
    return f"{prefix}{key}]" if prefix else key


def _tag_of(typed: Any) -> str:
    return next(iter(typed), "S") if isinstance(typed, Mapping) else "S"


def target_key(
    dataset: Target,
    columns: Mapping[str, nodes.Node],
    where: str,
    *,
    explodes: bool,
    prefix: str = "",
) -> TargetKey | None:
    at = f"{where}, Dataset(id={dataset.id!r})"
    if not dataset.key:
        if not explodes:
            return None
        raise ConfigurationError(
            "explode makes several rows of one item, and nothing tells them apart",
            where=at,
            remedy="Name the columns that do, the item's own key among them: "
            'Dataset(id=…, key=["order_id", "line_no"])',
        )
    tags: dict[str, str] = {}
    attributes = set()
    for name in dataset.key:
        node = columns.get(name)
        if node is None:
            raise ConfigurationError(
                f"key names {name!r}, which is not selected",
                where=at,
                remedy=problems.nearest(name, columns),
            )
        tag = "N" if column_types.is_number(node.type) else _KEY_TAGS.get(node.type)
        if tag is None or nodes.describes_event(node):
            why = "describes the event" if nodes.describes_event(node) else f"is a {node.type}"
            raise ConfigurationError(f"key column {name!r} {why}: it can't be a key", where=at)
        tags[name] = tag
        if (
            isinstance(node, nodes.Attribute)
            and isinstance(node.base, str)
            and len(node.steps) == 1
        ):
            attributes.add(str(node.steps[0]))
    if not attributes:
        raise ConfigurationError(
            f"key={list(dataset.key)} holds no attribute of the item's own key",
            where=at,
            remedy="Add it: rows of different items would overwrite one another",
        )
    return TargetKey(tags, frozenset(attributes), prefix)
