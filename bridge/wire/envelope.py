"""Changes, rows and control records: the messages on the two data topics.

**Change** (`changes.<table>`): key = canonical typed hash key. Value = the record in the standard
DynamoDB Streams JSON as AWS Lambda hands it over, images untouched byte for byte, plus
`"tailrace": {"v", "epoch", "shard"}` and, on an addressed scan, `"for"`. Snapshot rows have
eventName `READ`.

**Row** (`rows.<dataset>`): same key. Value = flat JSON: `_key`, `_version`, `_op`, `_event_time`,
then the columns (decimals as text, bytes as base64). Headers: `v`, `schema` = fingerprint,
`offset` = the change's offset.

**Sealed** (both topics, every partition): all segments of an epoch's scan lie before this record.
Header `control` = `sealed`.

**Settled** (any of them): says nothing; it is there for its transaction's marker (see
`bridge.wire.undecided`). Header `control` = `settled`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.wire import WIRE_VERSION
from bridge.wire.attributes import canonical_key_text
from bridge.wire.errors import UnknownVersionError, WireError
from bridge.wire.version import encode_version

Headers = list[tuple[str, bytes]]

EVENT_NAMES = frozenset({"INSERT", "MODIFY", "REMOVE", "READ"})
OPERATIONS = frozenset({"upsert", "delete", "read"})
ROW_FIELDS = ("_key", "_version", "_op", "_event_time")
RESERVED_COLUMNS = frozenset(ROW_FIELDS)
CONTROL_KEY = b'{"tailrace":"control"}'
SETTLED = "settled"


def stamp(epoch: int, shard: str, arn: str, addressed_to: str | None = None) -> bytes:
    """What every change of one shard (or scan segment) and epoch ends with.

    The bytes are the same for all records of a shard, so a reader makes them once; see
    `stamp_record`.
    """
    origin: dict[str, object] = {"v": WIRE_VERSION, "epoch": epoch, "shard": shard}
    if addressed_to is not None:
        origin["for"] = addressed_to
    tail = orjson.dumps({"eventSourceARN": arn, "tailrace": origin})
    return b"," + tail[1:]


def stamp_record(record: bytes, stamp_tail: bytes) -> bytes:
    """The change: AWS's own bytes of the record, with the stamp spliced in before the last brace.

    `record` is a non-empty JSON object exactly as GetRecords returned it.
    """
    if record[-1] == 0x7D and record[-2] > 0x20:  # a brace, and no space before it
        return record[:-1] + stamp_tail
    end = record.rindex(b"}")
    return record[:end].rstrip() + stamp_tail


def read_record(
    *, keys: bytes, image: bytes, arn: str, region: str, epoch: int, scanned_at_s: int
) -> bytes:
    """A scanned item as a record (eventName READ), to be stamped like any other.

    `keys` and `image` are DynamoDB JSON; `keys` canonical. The eventID depends on stream, epoch and
    key alone, so a page that is read again after a crash gives the same identity.
    """
    identity = hashlib.md5(b"%b\n%d\n%b" % (arn.encode(), epoch, keys), usedforsecurity=False)
    return (
        b'{"eventID":"%b","eventName":"READ","eventVersion":"1.1","eventSource":"aws:dynamodb",'
        b'"awsRegion":"%b","dynamodb":{"ApproximateCreationDateTime":%d,"Keys":%b,"NewImage":%b,'
        b'"SequenceNumber":"0","SizeBytes":%d,"StreamViewType":"NEW_AND_OLD_IMAGES"}}'
        % (
            identity.hexdigest().encode(),
            region.encode(),
            scanned_at_s,
            keys,
            image,
            len(keys) + len(image),
        )
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from: the epoch of its feed, its shard or segment, its addressee."""

    epoch: int
    shard: str
    addressed_to: str | None = None


def check_wire_version(version: object, where: str) -> None:
    """Raises: UnknownVersionError: `version` is not the one this release reads."""
    if version != WIRE_VERSION:
        raise UnknownVersionError(
            f"wire version {str(version)[:20]!r}, this release reads {WIRE_VERSION}",
            where=where,
            remedy="Upgrade this stage to the release that wrote the message",
        )


def change_origin(change: Mapping[str, Any]) -> Origin:
    """The `tailrace` part of a decoded change.

    Raises:
        WireError: it is missing or malformed.
        UnknownVersionError: a newer release wrote it.
    """
    part = change.get("tailrace")
    if not isinstance(part, dict):
        raise WireError("a change without its 'tailrace' part")
    get = part.get
    if get("v") != WIRE_VERSION:
        check_wire_version(get("v"), "change")
    epoch, shard, addressee = get("epoch"), get("shard"), get("for")
    if not (isinstance(epoch, int) and isinstance(shard, str)):
        raise WireError("a change whose 'tailrace' part lacks epoch or shard")
    return _origin(epoch, shard, addressee if isinstance(addressee, str) else None)


_origin = functools.lru_cache(maxsize=4096)(Origin)  # all changes of a shard have the same


def change_version(change: Mapping[str, Any], origin: Origin) -> str:
    """`_version` of a decoded change.

    Raises:
        WireError: the sequence number is missing or malformed.
    """
    try:
        return encode_version(origin.epoch, change["dynamodb"]["SequenceNumber"])
    except (KeyError, TypeError, ValueError):
        raise WireError("a change without a usable dynamodb.SequenceNumber") from None


def change_key(change: Mapping[str, Any]) -> str:
    """`_key` of a decoded change: canonical JSON of the item's typed primary key.

    Raises:
        WireError: Keys are missing or malformed.
    """
    try:
        return canonical_key_text(change["dynamodb"]["Keys"])
    except (KeyError, TypeError, AttributeError):
        raise WireError("a change without usable dynamodb.Keys") from None


def change_event_time(change: Mapping[str, Any]) -> str | None:
    """`_event_time`: ApproximateCreationDateTime (seconds since 1970) as ISO 8601 UTC.

    DynamoDB floors it to the second: for people, never an order.
    """
    seconds = change.get("dynamodb", {}).get("ApproximateCreationDateTime")
    if seconds.__class__ is not int and seconds.__class__ is not float:
        return None
    return _utc_text(seconds)


@functools.lru_cache(maxsize=4096)  # thousands of changes fall into one second
def _utc_text(seconds: float) -> str | None:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat().replace("+00:00", "Z")


def encode_row(
    *,
    key: str,
    version: str,
    operation: str,
    event_time: str | None,
    columns: Mapping[str, Any],
) -> bytes:
    """A row's value. A delete carries no columns."""
    return orjson.dumps(
        {
            "_key": key,
            "_version": version,
            "_op": operation,
            "_event_time": event_time,
            **columns,
        }
    )


def encode_delete(key: str, version: str, event_time: str | None) -> bytes:
    """The value of a row that is no more."""
    return orjson.dumps(
        {"_key": key, "_version": version, "_op": "delete", "_event_time": event_time}
    )


def row_headers(fingerprint: str, change_offset: int) -> Headers:
    """A row's headers."""
    return [_VERSION_HEADER, _schema_header(fingerprint), ("offset", b"%d" % change_offset)]


_VERSION_HEADER = ("v", b"%d" % WIRE_VERSION)


@functools.lru_cache(maxsize=256)
def _schema_header(fingerprint: str) -> tuple[str, bytes]:
    return ("schema", fingerprint.encode())


def header(headers: Sequence[tuple[str, bytes | str | None]] | None, name: str) -> str | None:
    """The last value of a header as text, None if absent."""
    for candidate, value in reversed(headers or ()):
        if candidate == name and value is not None:
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return None


@dataclass(frozen=True, slots=True)
class Sealed:
    """Everything of `table`'s scan of `epoch` lies before this record in this partition.

    Written once to each of the `of` partitions; whoever has seen all of them may remove what older
    epochs left behind. `scanned` False: the feed began at `epoch` without a scan, so no row of a
    snapshot is on its way, and nothing may be removed.
    """

    table: str
    epoch: int
    partition: int
    of: int
    scanned: bool = True
    addressed_to: str | None = None

    def encode(self) -> bytes:
        """The record's value."""
        return orjson.dumps(
            {
                "tailrace": {
                    "v": WIRE_VERSION,
                    "control": "sealed",
                    "table": self.table,
                    "epoch": self.epoch,
                    "partition": self.partition,
                    "of": self.of,
                    **({} if self.scanned else {"scanned": False}),
                    **({} if self.addressed_to is None else {"for": self.addressed_to}),
                }
            }
        )

    def spread(self, number: int, partitions: int) -> Sealed:
        """The seal for partition `number` of a topic whose `partitions` all hold what it ends.

        Where the partitions of a topic are not those of the one it was made from, every one of them
        must be passed for every one of the source's.
        """
        return replace(
            self, partition=self.partition * partitions + number, of=self.of * partitions
        )

    @staticmethod
    def headers() -> Headers:
        """The record's headers, by which readers tell it from data without parsing it."""
        return [("v", b"%d" % WIRE_VERSION), ("control", b"sealed")]

    @classmethod
    def decode(cls, value: bytes) -> Sealed:
        """The record's value -> Sealed.

        Raises:
            WireError: malformed, or another control record than this release knows.
            UnknownVersionError: a newer release wrote it.
        """
        try:
            part = orjson.loads(value)["tailrace"]
            check_wire_version(part["v"], "control record")
            if part["control"] != "sealed":
                raise WireError(f"unknown control record {str(part['control'])[:40]!r}")
            addressee = part.get("for")
            return cls(
                str(part["table"]),
                int(part["epoch"]),
                int(part["partition"]),
                int(part["of"]),
                bool(part.get("scanned", True)),
                None if addressee is None else str(addressee),
            )
        except (KeyError, TypeError, ValueError):
            raise WireError("malformed control record") from None


def settled_value() -> bytes:
    """Value of the control record that says nothing."""
    return orjson.dumps({"tailrace": {"v": WIRE_VERSION, "control": SETTLED}})


def settled_headers() -> Headers:
    """Its headers, by which readers pass over it."""
    return [_VERSION_HEADER, ("control", SETTLED.encode())]
