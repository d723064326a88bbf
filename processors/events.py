"""Events as a person writes them, for tests and previews, into messages of a changes topic.

An event is one of

- a record in the standard DynamoDB Streams JSON, as AWS Lambda or a changes topic hands it over;
- `{"insert": item}`, `{"modify": item, "old": item}`, `{"remove": item}` or `{"read": item}`, an
  item being plain values (`{"orderId": "o-1", "total": 5}`) or DynamoDB JSON
  (`{"orderId": {"S": "o-1"}}`). Sequence numbers rise by themselves. Of a removed item its key is
  enough.

`"table"` beside it names the table where a transform reads several; `"at"` is when the change was
made, in seconds since 1970.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from bridge.wire.attributes import canonical_key
from bridge.wire.envelope import stamp, stamp_record
from bridge.wire.errors import ConfigurationError

_TAGS = frozenset({"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"})
_NAMES = {"insert": "INSERT", "modify": "MODIFY", "remove": "REMOVE", "read": "READ"}
_EPOCH = 1_000
_BEGUN_S = 1_700_000_000


def typed(value: Any) -> dict[str, Any]:
    """A plain Python value as DynamoDB JSON.

    Raises:
        TypeError: DynamoDB has no such type.
    """
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": str(value)}
        case bytes():
            return {"B": base64.b64encode(value).decode()}
        case list() | tuple():
            return {"L": [typed(inner) for inner in value]}
        case dict():
            return {"M": {name: typed(inner) for name, inner in value.items()}}
        case set() | frozenset() if value:
            tags, contents = zip(*(next(iter(typed(v).items())) for v in value), strict=True)
            return {f"{tags[0]}S": sorted(contents)}
    raise TypeError(f"{type(value).__name__} has no DynamoDB type here; give typed JSON instead")


def is_typed(item: Mapping[str, Any]) -> bool:
    """Whether every attribute looks like DynamoDB JSON."""
    return bool(item) and all(
        isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _TAGS
        for value in item.values()
    )


class EventReader:
    """Turns events into messages, sequence numbers rising.

    Args:
        key: names of the tables' key attributes; not needed where every event is a record.
        where: what messages of mistakes begin with.
    """

    def __init__(self, key: Sequence[str] = (), *, where: str = "event") -> None:
        self._key = tuple(key)
        self._where = where
        self._sequence = 100
        self._number = 0

    def read(self, body: Mapping[str, Any]) -> tuple[str | None, bytes, bytes]:
        """Table (None: the transform's only one), Kafka key and value.

        Raises:
            ConfigurationError: not an event.
        """
        self._number += 1
        where = f"{self._where} {self._number}"
        if not isinstance(body, Mapping):
            raise ConfigurationError("not an event", where=where, remedy=_REMEDY)
        table = body.get("table")
        if "dynamodb" in body:
            record = {name: value for name, value in body.items() if name != "table"}
        else:
            record = self._record(body, where)
        return table, *self._message(record, where)

    def _record(self, body: Mapping[str, Any], where: str) -> dict[str, Any]:
        kinds = [kind for kind in _NAMES if kind in body]
        if len(kinds) != 1 or set(body) - {*kinds, "old", "table", "at"}:
            raise ConfigurationError("not an event", where=where, remedy=_REMEDY)
        kind = kinds[0]
        new, old = self._item(body[kind], where), self._item(body.get("old"), where)
        if kind == "remove":
            new, old = None, old or new
        item = new or old or {}
        missing = [name for name in self._key if name not in item]
        if missing or not self._key:
            raise ConfigurationError(
                f"no key attribute {missing[0]!r}" if missing else "the table's key is not known",
                where=where,
                remedy="Name the table's key attributes, e.g. key: [orderId] or --key orderId",
            )
        change: dict[str, Any] = {
            "ApproximateCreationDateTime": body.get("at", _BEGUN_S + self._number),
            "Keys": {name: item[name] for name in self._key},
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        if new is not None:
            change["NewImage"] = new
        if old is not None:
            change["OldImage"] = old
        return {"eventID": str(self._number), "eventName": _NAMES[kind], "dynamodb": change}

    def _item(self, item: Any, where: str) -> dict[str, Any] | None:
        if item is None:
            return None
        if not isinstance(item, Mapping):
            raise ConfigurationError("an item is a set of attributes", where=where, remedy=_REMEDY)
        if is_typed(item):
            return dict(item)
        try:
            return {str(name): typed(_exact(value)) for name, value in item.items()}
        except TypeError as error:
            raise ConfigurationError(str(error), where=where) from None

    def _message(self, record: dict[str, Any], where: str) -> tuple[bytes, bytes]:
        change = record["dynamodb"]
        keys = change.get("Keys") if isinstance(change, Mapping) else None
        if not isinstance(keys, Mapping) or not keys:
            raise ConfigurationError("a record without dynamodb.Keys", where=where)
        hash_name = self._key[0] if self._key else next(iter(keys))
        kafka_key = canonical_key({hash_name: keys.get(hash_name, next(iter(keys.values())))})
        if "tailrace" in record:
            return kafka_key, orjson.dumps(record)
        if record.get("eventName") == "READ":
            sequence = "0"
        else:
            self._sequence += 1
            sequence = change.get("SequenceNumber", str(self._sequence))
        whole = {
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            **record,
            "dynamodb": {**change, "SequenceNumber": sequence},
        }
        return kafka_key, stamp_record(orjson.dumps(whole), stamp(_EPOCH, "event", "arn:event"))


_REMEDY = 'Write a Streams record, or {"insert": {…}}, {"modify": {…}, "old": {…}}, {"remove": {…}}'


def _exact(value: Any) -> Any:
    """Floats as the decimals they were written as, dates as ISO texts; also inside."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {str(name): _exact(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(inner) for inner in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
