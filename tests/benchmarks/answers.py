"""Prepared GetRecords answers: made once, every record with a number of its own.

A page is a copy of one template with the shard and the page written over at known places, so an
answer of a thousand records costs its server a fraction of a millisecond. The sequence number names
shard, page and record; that is how a read-back tells which record it sees.
"""

from __future__ import annotations

import random
import re
import uuid
from dataclasses import dataclass, field
from functools import cached_property

import orjson

TABLE = "orders"
HASH_NAME = "orderId"
REGION = "us-east-1"
LABEL = "2026-01-01T00:00:00.000"
ARN = f"arn:aws:dynamodb:{REGION}:000000000000:table/{TABLE}/stream/{LABEL}"

_SHARD_MARK, _PAGE_MARK = b"<shd#>", b"<page##>"
_WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "inlet",
    "joule",
    "kiosk",
    "lumen",
    "mango",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Which record: the `record`th of the `page`th answer of a shard."""

    shard: int
    page: int
    record: int

    @property
    def sequence(self) -> str:
        """Its sequence number, 21 digits; rises along the shard."""
        return f"1{self.page:08}{self.shard:06}{self.record:06}"

    @classmethod
    def of(cls, sequence: str) -> Place:
        """From a sequence number."""
        return cls(int(sequence[9:15]), int(sequence[1:9]), int(sequence[15:]))


def shard_id(shard: int) -> str:
    """A shard's name as AWS spells them."""
    return f"shardId-00000001767225600000-{shard:08x}"


def shard_number(name: str) -> int:
    """The number behind `shard_id`."""
    return int(name[-8:], 16)


def iterator_of(shard: int, page: int) -> str:
    """A shard iterator, about as long as AWS's."""
    return f"{ARN}|1|{'A' * 180}|{shard:06}|{page:08}"


def iterator_place(iterator: str) -> tuple[int, int]:
    """Shard and page of an iterator."""
    *_, shard, page = iterator.split("|")
    return int(shard), int(page)


@dataclass(frozen=True)
class Answers:
    """Answers of `records` records of about 1 KB each, both images included."""

    records: int = 1000
    seed: int = 7
    _random: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_random", random.Random(self.seed))

    @cached_property
    def _template(self) -> bytes:
        listed = [self._record(number) for number in range(self.records)]
        return b'{"Records":' + orjson.dumps(listed)

    @cached_property
    def _marks(self) -> tuple[list[slice], list[slice]]:
        return _places(self._template, _SHARD_MARK), _places(self._template, _PAGE_MARK)

    def page(self, shard: int, page: int) -> bytearray:
        """The body of an answer with records."""
        body = bytearray(self._template)
        for places, text in zip(self._marks, (b"%06d" % shard, b"%08d" % page), strict=True):
            for place in places:
                body[place] = text
        return body + _end(shard, page + 1)

    def _record(self, number: int) -> dict[str, object]:
        key = {HASH_NAME: {"S": f"o-{_SHARD_MARK.decode()}-{number:06}"}}
        old = {**key, **self._attributes()}
        new = {**old, "status": {"S": "shipped"}, "version": {"N": str(number + 2)}}
        return {
            "awsRegion": REGION,
            "dynamodb": {
                "ApproximateCreationDateTime": 1767225600,
                "Keys": key,
                "NewImage": new,
                "OldImage": old,
                "SequenceNumber": f"1{_PAGE_MARK.decode()}{_SHARD_MARK.decode()}{number:06}",
                "SizeBytes": 640,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventID": f"{self._random.getrandbits(128):032x}",
            "eventName": "MODIFY",
            "eventSource": "aws:dynamodb",
            "eventVersion": "1.1",
        }

    def _attributes(self) -> dict[str, object]:
        draw = self._random
        customer = uuid.UUID(int=draw.getrandbits(128))
        return {
            "customer": {"S": str(customer)},
            "status": {"S": "placed"},
            "total": {"N": f"{draw.uniform(1, 900):.2f}"},
            "currency": {"S": "EUR"},
            "paid": {"BOOL": draw.random() < 0.5},
            "note": {"S": " ".join(draw.choices(_WORDS, k=3))},
            "tags": {"SS": sorted(draw.sample(_WORDS, 2))},
            "address": {"M": {"city": {"S": draw.choice(_WORDS)}, "zip": {"S": _digits(draw)}}},
            "placedAt": {"S": f"2026-01-01T00:{draw.randrange(60):02}:{draw.randrange(60):02}Z"},
            "version": {"N": "1"},
        }


def _places(template: bytes, mark: bytes) -> list[slice]:
    return [slice(*found.span()) for found in re.finditer(mark, template)]


def _digits(draw: random.Random) -> str:
    return f"{draw.randrange(100_000):05}"


def empty(shard: int, page: int) -> bytes:
    """The body of an answer without records; the iterator stays where it is."""
    return b'{"Records":[]' + _end(shard, page)


def _end(shard: int, page: int) -> bytes:
    return b',"NextShardIterator":"%b"}' % iterator_of(shard, page).encode()


def next_iterator(body: bytes) -> str:
    """The iterator an answer ends with, found without parsing the records."""
    return body[body.rindex(b'"', 0, -2) + 1 : -2].decode()
