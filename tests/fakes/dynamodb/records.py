"""Stream records as GetRecords sends them, encoded once when they are written.

Members and spelling follow botocore's model (`PrincipalId`, `Type` inside `userIdentity`; AWS
Lambda spells these in lower case). Times are whole seconds in the exponent form that AWS's JSON
has, `1.79E9`: a number, though not written as an integer.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import orjson

from tests.fakes.dynamodb.values import Item, item_bytes

ViewType = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
EventName = Literal["INSERT", "MODIFY", "REMOVE"]

VIEW_TYPES: tuple[ViewType, ...] = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
_WITH_NEW = frozenset({"NEW_IMAGE", "NEW_AND_OLD_IMAGES"})
_WITH_OLD = frozenset({"OLD_IMAGE", "NEW_AND_OLD_IMAGES"})
_TTL_IDENTITY = b',"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An item with its JSON and its size in bytes, so that neither is worked out twice."""

    item: Item
    body: bytes
    size_bytes: int

    @classmethod
    def of(cls, item: Item) -> "Image":
        """The image of an item that has been checked."""
        return cls(item=item, body=orjson.dumps(item), size_bytes=item_bytes(item))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One modification of one item; an image is None where there is no item."""

    keys: Item
    before: Image | None
    after: Image | None
    expired: bool = False

    @property
    def event_name(self) -> EventName:
        """What the stream calls it."""
        if self.before is None:
            return "INSERT"
        return "REMOVE" if self.after is None else "MODIFY"


def exponent_seconds(seconds: float) -> bytes:
    """A time as AWS writes it: `1.46480527E9`."""
    digits = str(int(seconds))
    fraction = digits[1:].rstrip("0") or "0"
    return f"{digits[0]}.{fraction}E{len(digits) - 1}".encode()


def encode(
    change: Change, *, view_type: str, region: str, arn: str, sequence: int, now_s: float
) -> tuple[bytes, int]:
    """The record's JSON and its SizeBytes."""
    keys = orjson.dumps(change.keys)
    size_bytes = item_bytes(change.keys)
    images = b""
    if change.after is not None and view_type in _WITH_NEW:
        images = b'"NewImage":%b,' % change.after.body
        size_bytes += change.after.size_bytes
    if change.before is not None and view_type in _WITH_OLD:
        images += b'"OldImage":%b,' % change.before.body
        size_bytes += change.before.size_bytes
    event_id = hashlib.md5(b"%b|%d|%b" % (arn.encode(), sequence, keys), usedforsecurity=False)
    body = (
        b'{"eventID":"%b","eventName":"%b","eventVersion":"1.1","eventSource":"aws:dynamodb",'
        b'"awsRegion":"%b","dynamodb":{"ApproximateCreationDateTime":%b,"Keys":%b,%b'
        b'"SequenceNumber":"%d","SizeBytes":%d,"StreamViewType":"%b"}%b}'
    ) % (
        event_id.hexdigest().encode(),
        change.event_name.encode(),
        region.encode(),
        exponent_seconds(now_s),
        keys,
        images,
        sequence,
        size_bytes,
        view_type.encode(),
        _TTL_IDENTITY if change.expired else b"",
    )
    return body, size_bytes
