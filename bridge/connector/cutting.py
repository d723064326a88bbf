"""Records of a GetRecords answer cut apart where they lie, as AWS writes them.

The whole answer is parsed, for what the key and the position need, but no record is put together
from what was parsed: where one ends and the next begins is found by their bytes. All begin alike,
with a member whose value is a text, and no image holds `},{"awsRegion":"…`: in it the value of a
member is an object, unless the member is a type (`S`, `N`, …), and a quote inside a text has a
backslash before it. So as many pieces as parsed records are the records. Whatever is not of this
form is left to the parser alone; see `records`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import orjson

_LIST = b'"Records":['
_LIST_END = b'],"NextShardIterator":'
# The first member of a record: a text, and no type of an attribute, whose names are capitals. What
# mostly follows it is the same too, and the longer the bytes the quicker they are found.
_OPENING = re.compile(
    rb'\{"[a-z][A-Za-z]*":"(?:[^"\\]*","dynamodb":\{"ApproximateCreationDateTime":)?'
).match
_NULL = msgspec.Raw(b"null")


class _Part(msgspec.Struct, gc=False):
    Keys: msgspec.Raw
    SequenceNumber: str
    ApproximateCreationDateTime: float = 0.0


class _Record(msgspec.Struct, gc=False):
    dynamodb: _Part
    userIdentity: msgspec.Raw = _NULL  # noqa: N815 (that is its name)


class _Envelope(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    Records: list[msgspec.Raw]
    NextShardIterator: str | None = None


_decode_list = msgspec.json.Decoder(list[_Record]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


@dataclass(slots=True)
class Cut:
    """An answer's records, in pieces: `lead` comes before each and a brace behind it.

    `keys` are the bytes of their `Keys`, `numbers` their sequence numbers, `identified` the places
    of those that name who changed the item; `newest_s` is the last record's creation time, seconds
    since 1970.
    """

    lead: bytes
    pieces: list[bytes]
    keys: list[msgspec.Raw]
    numbers: list[str]
    next_iterator: str | None
    newest_s: float
    identified: list[int]


def cut(body: bytes) -> Cut | None:
    """The records of an answer, None where it is not of the form."""
    start = body.find(_LIST) + len(_LIST)
    opening = _OPENING(body, start)
    # The list's end, unless there is such a bracket in the iterator behind it.
    end = body.rfind(b"]")
    if start < len(_LIST) or opening is None or body[end - 1 : end] != b"}":
        return None
    if not body.startswith(_LIST_END, end) and body[end:] != b"]}":
        return None
    lead: bytes = opening[0]
    pieces = body[opening.end() : end - 1].split(b"}," + lead)
    try:
        records = _decode_list(memoryview(body)[start - 1 : end + 1])
        envelope = _decode_envelope(body[:start] + body[end:])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    if len(records) != len(pieces) or envelope.Records:
        return None
    parts = [record.dynamodb for record in records]
    newest_s = parts[-1].ApproximateCreationDateTime
    if not newest_s:
        return None
    return Cut(
        lead=lead,
        pieces=pieces,
        keys=[part.Keys for part in parts],
        numbers=[part.SequenceNumber for part in parts],
        next_iterator=envelope.NextShardIterator or None,
        newest_s=newest_s,
        identified=[i for i, each in enumerate(records) if each.userIdentity is not _NULL],
    )


class LoneKey:
    """Finds keys that are lone texts without escapes: canonical as they are."""

    def __init__(self, name: str) -> None:
        self._begin = b"{" + orjson.dumps(name) + b':{"S":"'
        self._quotes = orjson.dumps(name).count(b'"') + 4
        self._usable = b"\\" not in self._begin

    def of_all(self, keys: Sequence[bytes | msgspec.Raw]) -> list[bytes] | None:
        """The keys, if each is `{"<name>":{"S":"<text>"}}`; they are parts of valid JSON."""
        joined = b"\n".join(keys)
        between = b'"}}\n' + self._begin
        if not (
            self._usable
            and b"\\" not in joined
            and joined.startswith(self._begin)
            and joined.endswith(b'"}}')
            and joined.count(between) == len(keys) - 1
            and joined.count(b'"') == self._quotes * len(keys)
        ):
            return None
        found = joined.split(b"\n")
        return found if len(found) == len(keys) else None
