"""Keys of rows that are keyed by columns, where one item can make several rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bridge.wire.errors import ConfigurationError, WireError
from processors.language import column_types, nodes, problems
from processors.language.emit import RowKey
from processors.stream import Target

Row = dict[str, Any]
Keyed = tuple[str, Row]
Found = TypeVar("Found")

_KEY_TAGS = {column_types.STRING: "S", column_types.BINARY: "B"}


@dataclass(frozen=True, slots=True)
class TargetKey:
    """Keys of the rows of one item, from the columns that tell them apart."""

    row_key: RowKey
    attributes: frozenset[str]

    def check(self, keys: Mapping[str, Any], dataset: str) -> None:
        """Raises: ConfigurationError: rows of two items can have the same key."""
        if not self.attributes.issuperset(keys):
            raise self._too_short(keys, dataset)

    def apart(self, found: list[tuple[str, Found]], dataset: str) -> tuple[tuple[str, Found], ...]:
        """What generated functions return, by key.

        Raises:
            WireError: two of them have the same.
        """
        if len(found) > 1 and len(dict(found)) != len(found):
            raise WireError(
                f"two rows of one item have the same key ({', '.join(self.row_key.tags)})",
                where=f"dataset {dataset}",
                remedy="Add a column to key that tells them apart",
            )
        return tuple(found)

    def _too_short(self, keys: Mapping[str, Any], dataset: str) -> ConfigurationError:
        missing = sorted(set(keys) - self.attributes)
        return ConfigurationError(
            f"key={list(self.row_key.tags)} does not hold the table's key attribute "
            f"{missing[0]!r}: rows of different items would overwrite one another",
            where=f"Dataset(id={dataset!r})",
            remedy=f"Select dynamodb.NewImage.{missing[0]}.{_tag_of(keys[missing[0]])} "
            "without a cast and add its column to key",
        )


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
    return TargetKey(RowKey(tags, prefix), frozenset(attributes))
