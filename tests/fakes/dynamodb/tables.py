"""A table: its keys, its items in the order a Scan meets them, and its current stream."""

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.fakes.dynamodb.errors import invalid, parameter_invalid
from tests.fakes.dynamodb.records import Image
from tests.fakes.dynamodb.shards import TOKENS, token_of
from tests.fakes.dynamodb.streams import Stream, keys_of
from tests.fakes.dynamodb.values import AttributeValue, Item, checked, sort_key, value_bytes

_HASH_KEY_BYTES_MAX = 2048
_RANGE_KEY_BYTES_MAX = 1024

# Where an item lies in a Scan: the token of its hash key, the hash key, the order of its range key.
Place = tuple[int, bytes, Any]


@dataclass(slots=True)
class StoredItem:
    """An item with its key, its place and its encoded image."""

    key: bytes
    place: Place
    keys: Item
    image: Image


@dataclass(slots=True)
class Table:
    """A table and everything in it."""

    name: str
    arn: str
    id: str
    key_schema: list[dict[str, str]]
    attribute_definitions: list[dict[str, str]]
    billing_mode: str
    throughput: dict[str, int]
    created_s: float
    shard_count: int
    tags: dict[str, str] = field(default_factory=dict)
    ttl_attribute: str | None = None
    stream: Stream | None = None
    items: dict[bytes, StoredItem] = field(default_factory=dict)
    _order: list[tuple[Place, bytes]] = field(default_factory=list)

    @property
    def key_types(self) -> dict[str, str]:
        """The type (S, N or B) of each key attribute, hash key first."""
        types = {
            definition["AttributeName"]: definition["AttributeType"]
            for definition in self.attribute_definitions
        }
        return {name["AttributeName"]: types[name["AttributeName"]] for name in self.key_schema}

    def checked_key(self, key: object) -> Item:
        """A key alone, as a request names an item; refuses anything more or less."""
        if not isinstance(key, dict) or set(key) != set(self.key_types):
            raise invalid("The provided key element does not match the schema")
        stored = {name: checked(value) for name, value in key.items()}
        return self.key_of(stored)

    def key_of(self, item: Item) -> Item:
        """The key attributes of an item, hash key first; refuses missing and mistyped ones."""
        for number, (name, type_name) in enumerate(self.key_types.items()):
            value = item.get(name)
            if value is None:
                raise parameter_invalid(f"Missing the key {name} in the item")
            if type_name not in value:
                (actual,) = value
                raise parameter_invalid(
                    f"Type mismatch for key {name} expected: {type_name} actual: {actual}"
                )
            _require_key_size(name, value, is_range=number == 1)
        return keys_of(item, self.key_schema)

    def place_of(self, key: Item) -> Place:
        """Where an item with this key lies, present or not."""
        hash_value, *range_values = key.values()
        hash_key = orjson.dumps(hash_value)
        order = sort_key(range_values[0]) if range_values else 0
        return token_of(hash_key), hash_key, order

    def put(self, key: Item, place: Place, image: Image) -> None:
        """Store an item under its key, replacing the one that was there."""
        canonical = canonical_key(key)
        if canonical not in self.items:
            bisect.insort(self._order, (place, canonical))
        self.items[canonical] = StoredItem(canonical, place, key, image)

    def delete(self, key: Item) -> None:
        """Remove the item under a key that is there."""
        stored = self.items.pop(canonical_key(key))
        at = bisect.bisect_left(self._order, (stored.place, stored.key))
        del self._order[at]

    def segment(
        self, number: int, total: int, start: tuple[Place, bytes] | None
    ) -> Iterator[StoredItem]:
        """The items of one of `total` segments in Scan order, after `start` when it is given."""
        low = number * TOKENS // total
        high = (number + 1) * TOKENS // total
        if start is None:
            first = bisect.bisect_left(self._order, low, key=lambda entry: entry[0][0])
        else:
            first = bisect.bisect_right(self._order, start)
        for place, key in itertools.islice(self._order, first, None):
            if place[0] >= high:
                return
            yield self.items[key]


def canonical_key(key: Item) -> bytes:
    """The bytes that identify an item within its table: its typed key, hash key first."""
    return orjson.dumps(key)


def _require_key_size(name: str, value: AttributeValue, *, is_range: bool) -> None:
    limit = _RANGE_KEY_BYTES_MAX if is_range else _HASH_KEY_BYTES_MAX
    size = value_bytes(value)
    if size == 0:
        raise parameter_invalid(
            "The AttributeValue for a key attribute cannot contain an empty string value."
            f" Key: {name}"
        )
    if size > limit:
        raise parameter_invalid(
            f"Size of {'range' if is_range else 'hash'}key has exceeded {limit}"
        )
