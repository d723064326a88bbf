"""Records of a GetRecords answer without a look into their images, as AWS writes them.

Most of an answer are images, and nothing here needs them. What is left when they are cut out is
parsed; where they are is found by bytes that no image can hold. In an image the value of a member
is an object, unless the member is a type (`S`, `N`, …), and a quote inside a text has a backslash
before it. So `"SequenceNumber":"`, and `},{"awsRegion":"` between two records, are what they seem.
Whatever is not of this form, down to the order of the members, is left to the parser of whole
answers; see `records`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
import orjson

_LIST = b'"Records":['
_LIST_END = b'],"NextShardIterator":'
# The first member of a record: a text, and no type of an attribute, whose names are capitals.
_OPENING = re.compile(rb'\{"[a-z][A-Za-z]*":"').match
_SEQUENCE = b'"SequenceNumber":"'
_IMAGE = b'Image":{'
_IMAGE_NAMES = (b',"New', b',"Old')
_KEYS = b'"Keys":'
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


_decode_rest = msgspec.json.Decoder(list[_Record]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


@dataclass(slots=True)
class Cut:
    """An answer's records: their own bytes, the bytes of their `Keys`, their sequence numbers.

    `identified` are the places of those that name who changed the item; `newest_s` is the last
    record's creation time, seconds since 1970.
    """

    records: list[bytes]
    keys: list[bytes]
    numbers: list[str]
    next_iterator: str | None
    newest_s: float
    identified: list[int]


def cut(body: bytes) -> Cut | None:
    """The records of an answer, None where it is not of the form."""
    start = body.find(_LIST) + len(_LIST)
    opening = _OPENING(body, start)
    if start < len(_LIST) or opening is None:
        return None
    lead: bytes = opening[0]
    between = b"}," + lead
    pieces = body.split(between)
    # Each piece lacks the record's opening and its last brace.
    head, pieces[0] = pieces[0][:start], pieces[0][opening.end() :]
    if len(pieces) == 1:
        head, pieces[0] = body[:start], body[opening.end() :]
    end = pieces[-1].rfind(_LIST_END)
    if end < 0:
        end = len(pieces[-1]) - 2
    tail, last = pieces[-1][end:], pieces[-1][:end]
    if last[-1:] != b"}":
        return None
    pieces[-1] = last[:-1]
    try:
        keys, rests = _cut_each(pieces)
        parts = _decode_rest(b"[" + lead + between.join(rests) + b"}]")
        envelope = _decode_envelope(head + tail)
    except (ValueError, msgspec.DecodeError, msgspec.ValidationError):
        return None
    if len(parts) != len(pieces) or envelope.Records:
        return None
    newest_s = parts[-1].dynamodb.ApproximateCreationDateTime
    if not newest_s:
        return None
    return Cut(
        records=[b"".join((lead, piece, b"}")) for piece in pieces],
        keys=keys,
        numbers=[part.dynamodb.SequenceNumber for part in parts],
        next_iterator=envelope.NextShardIterator or None,
        newest_s=newest_s,
        identified=[i for i, part in enumerate(parts) if part.userIdentity is not _NULL],
    )


def _cut_each(pieces: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The `Keys` of each piece, and what is left of it without its images.

    Raises:
        ValueError: a piece has no sequence number behind its images, or no images behind its keys.
    """
    keys: list[bytes] = []
    rests: list[bytes] = []
    for piece in pieces:
        # The first one: where two records hide in a piece, the second is behind it and is parsed.
        number = piece.index(_SEQUENCE) - 1
        image = piece.index(_IMAGE) - 5
        begin = piece.index(_KEYS) + 7
        if not (begin < image < number and piece[image : image + 5] in _IMAGE_NAMES):
            raise ValueError("another order of members")
        keys.append(piece[begin:image])
        rests.append(piece[:image] + piece[number:])
    return keys, rests


class LoneKey:
    """Tells whether all keys of an answer are lone texts without escapes: canonical already."""

    def __init__(self, name: str) -> None:
        self._begin = b"{" + orjson.dumps(name) + b':{"S":"'
        self._quotes = orjson.dumps(name).count(b'"') + 4
        self._usable = b"\\" not in self._begin

    def all(self, keys: list[bytes]) -> bool:
        """Whether each is `{"<name>":{"S":"<text>"}}`; they are parts of valid JSON."""
        joined = b"\n".join(keys)
        between = b'"}}\n' + self._begin
        return (
            self._usable
            and b"\\" not in joined
            and joined.startswith(self._begin)
            and joined.endswith(b'"}}')
            and joined.count(between) == len(keys) - 1
            and joined.count(b'"') == self._quotes * len(keys)
        )
