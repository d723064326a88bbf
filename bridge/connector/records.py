"""Answers of GetRecords and Scan as messages, without parsing what is inside an item.

The bodies are cut into records with their bytes left as AWS sent them; only what the key and the
position need is decoded. A record that can't be keyed is kept apart for the dead letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice, starmap
from operator import lt
from typing import Any

import msgspec
import orjson

from bridge.connector.cutting import Cut, LoneKey, cut
from bridge.connector.keyed import Keyed, Pieces
from bridge.wire.attributes import canonical_key
from bridge.wire.envelope import read_record
from bridge.wire.errors import WireError

_NULL = msgspec.Raw(b"null")


class _RecordsBody(msgspec.Struct, gc=False):
    Records: list[msgspec.Raw] | None = None
    NextShardIterator: str | None = None


class _Part(msgspec.Struct, gc=False):
    Keys: msgspec.Raw
    SequenceNumber: str
    ApproximateCreationDateTime: float = 0.0


class _Record(msgspec.Struct, gc=False):
    dynamodb: _Part
    identity: msgspec.Raw = msgspec.field(default=_NULL, name="userIdentity")


class _PartsBody(msgspec.Struct, gc=False):
    Records: list[_Record] | None = None


class _Capacity(msgspec.Struct, gc=False):
    CapacityUnits: float = 0.0


class _ScanBody(msgspec.Struct, gc=False):
    Items: list[msgspec.Raw] | None = None
    LastEvaluatedKey: msgspec.Raw = _NULL
    ConsumedCapacity: _Capacity | None = None


_decode_records = msgspec.json.Decoder(_RecordsBody).decode
_decode_parts = msgspec.json.Decoder(_PartsBody).decode
_decode_record = msgspec.json.Decoder(_Record).decode
_decode_scan = msgspec.json.Decoder(_ScanBody).decode
_decode_item = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_keys = msgspec.json.Decoder(dict[str, dict[str, str]]).decode


class HashKey:
    """Canonical keys of one table's items, from `Keys` as DynamoDB writes them.

    A lone string key without escapes, which most tables have, is canonical already. Of a composite
    key the hash part is cut out where it stands first or last and both are such strings or numbers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lone_all = LoneKey(name).of_all
        plain = rb'[^"\\\x00-\x1f]+'
        part = b"%b:" % re.escape(orjson.dumps(name)) + rb'\{"S":"' + plain + rb'"\}'
        # The range key's attribute has another name: DynamoDB gives each name once.
        other = rb'"' + plain + rb'":\{"[SNB]":"' + plain + rb'"\}'
        self._lone = re.compile(rb"\{" + part + rb"\}").fullmatch
        self._first = re.compile(rb"(\{" + part + rb")," + other + rb"\}").fullmatch
        self._last = re.compile(rb"\{" + other + rb",(" + part + rb"\})").fullmatch

    def of(self, keys: bytes) -> bytes:
        """The Kafka key.

        Raises:
            WireError, KeyError, msgspec.DecodeError, msgspec.ValidationError: there is none.
        """
        if self._lone(keys):
            return keys
        if found := self._first(keys):
            return found[1] + b"}"
        if found := self._last(keys):
            return b"{" + found[1]
        return canonical_key({self.name: _decode_keys(keys)[self.name]})

    def of_all(self, keys: Sequence[bytes | msgspec.Raw]) -> list[bytes]:
        """The Kafka keys of all records of an answer; raises what `of` does."""
        return self._lone_all(keys) or list(map(self.of, map(bytes, keys)))


@dataclass(slots=True)
class RecordsPage:
    """One answer of GetRecords.

    `last` is the last sequence number, None on an empty page; `repeated` how many records the
    service gave a second time, `backwards` whether numbers fell; `newest_s` the creation time of
    the last record, seconds since 1970.
    """

    records: Sequence[Keyed] = field(default_factory=list)
    next_iterator: str | None = None
    last: str | None = None
    newest_s: float = 0.0
    size_bytes: int = 0
    repeated: int = 0
    backwards: bool = False


@dataclass(slots=True)
class ScanPage:
    """One answer of Scan: `next_start` is the LastEvaluatedKey as JSON text, None at the end."""

    records: list[Keyed] = field(default_factory=list)
    next_start: str | None = None
    consumed_units: float = 0.0
    size_bytes: int = 0


def _order(sequence: str) -> tuple[int, str]:
    """Numbers without leading zeros compare like this, at a tenth of the cost of parsing them."""
    return len(sequence), sequence


def _rising(numbers: list[str]) -> bool:
    """Whether each number is greater than the one before; those of one shard mostly are as long."""
    if len(set(map(len, numbers))) == 1:
        return all(map(lt, numbers, islice(numbers, 1, None)))
    orders = list(map(_order, numbers))
    return all(map(lt, orders, islice(orders, 1, None)))


def decode_records(body: bytes, hash_key: HashKey, after: str | None) -> RecordsPage:
    """A GetRecords body.

    Args:
        body: the answer.
        hash_key: makes the table's Kafka keys.
        after: the last sequence number read from this shard before. A record with that very number
            is left out: it was handed over already.

    Raises:
        WireError: the body is not what GetRecords answers.
    """
    found = cut(body)
    if found is not None and (page := _take_cut(found, len(body), hash_key, after)) is not None:
        return page
    try:
        answer = _decode_records(body)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise WireError("an answer of GetRecords that is not its JSON") from None
    page = RecordsPage(next_iterator=answer.NextShardIterator or None, size_bytes=len(body))
    records = [bytes(raw) for raw in answer.Records or ()]
    if b'"userIdentity"' in body:
        records = [_standard_identity(record) for record in records]
    if not _take_orderly(page, body, records, hash_key, after):
        _take_each(page, records, hash_key, after)
    return page


def _take_cut(
    found: Cut, size_bytes: int, hash_key: HashKey, after: str | None
) -> RecordsPage | None:
    """The page, if every record can be keyed and is new."""
    numbers = found.numbers
    if "" in numbers or not _rising(numbers if after is None else [after, *numbers]):
        return None
    try:
        keys = hash_key.of_all(found.keys)
    except (msgspec.DecodeError, msgspec.ValidationError, WireError, KeyError):
        return None
    records = Pieces(found.lead, keys, found.pieces)
    for place in found.identified:
        records.replace(place, _standard_identity(records[place].record))
    return RecordsPage(
        records=records,
        next_iterator=found.next_iterator,
        last=numbers[-1],
        newest_s=found.newest_s,
        size_bytes=size_bytes,
    )


def _take_orderly(
    page: RecordsPage, body: bytes, records: list[bytes], hash_key: HashKey, after: str | None
) -> bool:
    """Fill the page in one go if every record is as it should be and new; else leave it alone."""
    try:
        parts = [record.dynamodb for record in _decode_parts(body).Records or ()]
        numbers = [part.SequenceNumber for part in parts]
        if "" in numbers or not _rising(numbers if after is None else [after, *numbers]):
            return False
        keys = (hash_key.of(bytes(part.Keys)) for part in parts)
        page.records = list(starmap(Keyed, zip(keys, records, strict=True)))
    except (msgspec.DecodeError, msgspec.ValidationError, WireError, KeyError):
        return False
    if parts:
        page.last = numbers[-1]
        times = (part.ApproximateCreationDateTime for part in reversed(parts))
        page.newest_s = next(filter(None, times), 0.0)
    return True


def _take_each(
    page: RecordsPage, records: list[bytes], hash_key: HashKey, after: str | None
) -> None:
    """Fill the page record by record: each may be malformed, repeated or out of order."""
    last = _order(after) if after is not None else None
    page.records = taken = list[Keyed]()
    for record in records:
        try:
            part = _decode_record(record).dynamodb
            sequence, creation_s = part.SequenceNumber, part.ApproximateCreationDateTime
            keyed = Keyed(hash_key.of(bytes(part.Keys)), record)
        except (msgspec.DecodeError, msgspec.ValidationError, WireError, KeyError):
            keyed, sequence, creation_s = _decode_slowly(record, hash_key.name)
        if sequence != "":
            order = _order(sequence)
            if last is not None and order <= last:
                if order == last:
                    page.repeated += 1
                    continue
                page.backwards = True
            else:
                last, page.last = order, sequence
        page.newest_s = creation_s or page.newest_s
        taken.append(keyed)


def _standard_identity(record: bytes) -> bytes:
    """The record with who changed it, time to live for one, spelled as in the standard format.

    The Streams API writes `PrincipalId` and `Type`, Lambda's events `principalId` and `type`. The
    same bytes can't be part of an image, where a member is never plain text.
    Source: Identity in both the Amazon DynamoDB Streams API Reference and AWS Lambda's event.
    """
    try:
        identity = bytes(_decode_record(record).identity)
        found = orjson.loads(identity)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError):
        return record  # told of where its key is looked for
    if not isinstance(found, dict) or not found:
        return record
    small = {name[:1].lower() + name[1:]: value for name, value in found.items()}
    order = {name: small[name] for name in ("type", "principalId") if name in small}
    return record.replace(identity, orjson.dumps(order | small))


def _decode_slowly(record: bytes, hash_name: str) -> tuple[Keyed, str, float]:
    """A record of an unexpected form: as much of it as can be used."""
    try:
        part: Any = orjson.loads(record)["dynamodb"]
        sequence = part.get("SequenceNumber")
        created = part.get("ApproximateCreationDateTime")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Keyed(None, record, "no 'dynamodb' part"), "", 0.0
    number = str(sequence) if str(sequence).isdecimal() else ""
    created_s = float(created) if isinstance(created, int | float) else 0.0
    try:
        key = canonical_key({hash_name: part["Keys"][hash_name]})
    except (KeyError, TypeError):
        return Keyed(None, record, f"no key attribute {hash_name!r}"), number, created_s
    except WireError as error:
        return Keyed(None, record, str(error)), number, created_s
    return Keyed(key, record), number, created_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanIdentity:
    """What the records of a scan have in common; `key_names` hash first."""

    arn: str
    region: str
    epoch: int
    key_names: tuple[str, ...]


def decode_scan(body: bytes, identity: ScanIdentity, scanned_at_s: int) -> ScanPage:
    """A Scan body as READ records.

    Raises:
        WireError: the body is not what Scan answers.
    """
    try:
        answer = _decode_scan(body)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise WireError("an answer of Scan that is not its JSON") from None
    page = ScanPage(size_bytes=len(body))
    if answer.ConsumedCapacity is not None:
        page.consumed_units = answer.ConsumedCapacity.CapacityUnits
    start = bytes(answer.LastEvaluatedKey)
    page.next_start = None if start in (b"null", b"{}") else start.decode()
    for raw in answer.Items or ():
        page.records.append(_scanned(bytes(raw), identity, scanned_at_s))
    return page


def _scanned(image: bytes, identity: ScanIdentity, scanned_at_s: int) -> Keyed:
    try:
        item = _decode_item(image)
        typed = {name: orjson.loads(bytes(item[name])) for name in identity.key_names}
        key = canonical_key({identity.key_names[0]: typed[identity.key_names[0]]})
        keys = canonical_key(typed)
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, ValueError):
        return Keyed(None, image, "a scanned item without its key attributes")
    except WireError as error:
        return Keyed(None, image, str(error))
    record = read_record(
        keys=keys,
        image=image,
        arn=identity.arn,
        region=identity.region,
        epoch=identity.epoch,
        scanned_at_s=scanned_at_s,
    )
    return Keyed(key, record)
