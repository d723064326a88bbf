"""Rows as they come from the topic: decoded once, collapsed to the newest of each key.

A message is a row, a seal, or unreadable; unreadable ones become dead letters, they never stop a
dataset. A message of a newer wire version does stop it: guessing would be worse.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from bridge.wire import WIRE_VERSION
from bridge.wire.envelope import SETTLED, Sealed, check_wire_version, header
from bridge.wire.errors import WireError
from bridge.wire.version import EPOCH_DIGITS, SEQUENCE_DIGITS

_VERSION_HEADER = ("v", b"%d" % WIRE_VERSION)
_is_version = re.compile(rf"[0-9]{{{EPOCH_DIGITS}}}\.[0-9]{{{SEQUENCE_DIGITS}}}").fullmatch
_SCANNED = "." + "0" * SEQUENCE_DIGITS
OFFSET_UNKNOWN = 2**62


class RawMessage(Protocol):
    """What of a Kafka message is used here; `confluent_kafka.Message` has it."""

    def value(self) -> bytes | None: ...
    def key(self) -> bytes | None: ...
    def headers(self) -> list[tuple[str, bytes]] | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...


class Row(NamedTuple):
    """One row of the topic.

    `fields` is the decoded value, reserved fields included; `origin_offset` the offset of the
    change it comes from; `message` the original, kept until the row is in the table.
    """

    key: str
    version: str
    deleted: bool
    fingerprint: str
    fields: Mapping[str, Any]
    origin_offset: int
    message: RawMessage

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset."""
        return place_of(self.message)

    @property
    def operation(self) -> str:
        """As a log shows it; what a scan met has the sequence 0, and nothing else has."""
        if self.deleted:
            return "delete"
        return "read" if self.version.endswith(_SCANNED) else "upsert"


@dataclass(frozen=True, slots=True)
class Unfit:
    """A message that can't become part of the table, with its cause; `fingerprint` may be ""."""

    message: RawMessage
    fingerprint: str
    error: str
    reason: str

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset."""
        return place_of(self.message)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit takes from the topic.

    `next_offsets` are the positions after everything in it, for every partition that is read;
    `reason` says why it was closed, `bytes` is the size of the messages.
    """

    rows: Sequence[Row] = ()
    seals: Sequence[Sealed] = ()
    unfit: Sequence[Unfit] = ()
    next_offsets: Mapping[int, int] = ()  # type: ignore[assignment]
    bytes: int = 0
    reason: str = ""
    oldest_ms: int | None = None


def place_of(message: RawMessage) -> tuple[int, int]:
    """Partition and offset of a message that came from a broker."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def decode(message: RawMessage) -> Row | Sealed | Unfit | None:
    """A message of a rows topic; None where it says nothing.

    Raises:
        UnknownVersionError: a newer release wrote it.
    """
    headers = message.headers() or []
    if len(headers) == 3 and headers[0] == _VERSION_HEADER:
        (name, fingerprint), (last, offset) = headers[1], headers[2]
        if name == "schema" and last == "offset" and offset.isdigit():
            return _row(message, _text(fingerprint), int(offset))
    return _decode_carefully(message, headers)


@functools.lru_cache(maxsize=256)
def _text(fingerprint: bytes) -> str:
    """A fingerprint; one text for all of its rows."""
    return fingerprint.decode("utf-8", "replace")


def _decode_carefully(
    message: RawMessage, headers: list[tuple[str, bytes]]
) -> Row | Sealed | Unfit | None:
    """The same for headers in any order, of any number."""
    fingerprint = header(headers, "schema") or ""
    try:
        wire_version = header(headers, "v")
        if wire_version is None:
            raise WireError("a message without the header 'v'")
        version = int(wire_version) if wire_version.isdecimal() else wire_version
        check_wire_version(version, f"row at partition, offset {place_of(message)}")
        control = header(headers, "control")
        if control == SETTLED:
            return None
        if control is not None:
            return Sealed.decode(message.value() or b"")
        if not fingerprint:
            raise WireError("a row without the header 'schema'")
    except WireError as error:
        if type(error) is not WireError:
            raise
        return Unfit(message, fingerprint, "WireError", str(error))
    origin = header(headers, "offset") or ""
    return _row(message, fingerprint, int(origin) if origin.isdecimal() else OFFSET_UNKNOWN)


def _row(message: RawMessage, fingerprint: str, origin_offset: int) -> Row | Unfit:
    try:
        fields = orjson.loads(message.value() or b"")
        key, version, operation = fields["_key"], fields["_version"], fields["_op"]
    except (KeyError, TypeError, ValueError):
        reason = "not a JSON object with _key, _version and _op"
        return Unfit(message, fingerprint, "WireError", reason)
    if not (type(key) is str and key and type(version) is str):
        return Unfit(message, fingerprint, "WireError", "_key or _version is not a text")
    if _is_version(version) is None:
        return Unfit(message, fingerprint, "WireError", "_version is not epoch.sequence")
    if operation in ("upsert", "read"):
        return Row(key, version, False, fingerprint, fields, origin_offset, message)
    if operation == "delete":
        return Row(key, version, True, fingerprint, fields, origin_offset, message)
    return Unfit(message, fingerprint, "WireError", "_op is neither upsert, delete nor read")


def is_version(text: str) -> bool:
    """Whether `text` is a version; a malformed one could sort above every other for ever."""
    return _is_version(text) is not None


def newest_of_each_key(rows: Iterable[Row]) -> dict[str, Row]:
    """The newest row by key, whatever their order; an upsert beats a delete of equal version."""
    newest: dict[str, Row] = {}
    for row in rows:
        other = newest.get(row.key)
        if (
            other is None
            or row.version > other.version
            or (row.version == other.version and other.deleted and not row.deleted)
        ):
            newest[row.key] = row
    return newest


def entries_of(rows: Iterable[Row]) -> list[Row]:
    """One row for each key and version; an upsert beats a delete."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        other = found.get((row.key, row.version))
        if other is None or (other.deleted and not row.deleted):
            found[row.key, row.version] = row
    return list(found.values())
