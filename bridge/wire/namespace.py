"""The namespace's identity, its feeds' generations and a person's requests, all in `_checkpoints`.

The id is written once by the owner of bucket 0 after it read its partition to the end, so topics
that were wiped and re-created are another namespace to every stage that kept something: the sink's
offsets in a Delta table, a processor's state directory. Records of this module live in partition 0
under keys of their own kind and never touch a position.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.wire import WIRE_VERSION
from bridge.wire.envelope import check_wire_version
from bridge.wire.errors import WireError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.topics import TopicNames

NAMESPACE_PARTITION = 0


def namespace_key() -> bytes:
    """Checkpoint key of the namespace's id."""
    return encode_key("namespace")


def new_namespace_id() -> str:
    """A fresh id, 32 hex digits."""
    return uuid.uuid4().hex


def encode_key(kind: str, *parts: str | int) -> bytes:
    """A checkpoint key: canonical JSON array whose first member is the kind of record."""
    return orjson.dumps([kind, *parts])


def decode_key(key: bytes) -> list[Any]:
    """Raises: WireError: not a checkpoint key."""
    try:
        parts = orjson.loads(key)
    except ValueError:
        parts = None
    if not (isinstance(parts, list) and parts and isinstance(parts[0], str)):
        raise WireError("malformed checkpoint key")
    return parts


def encode_value(fields: Mapping[str, Any]) -> bytes:
    """A checkpoint value, versioned."""
    return orjson.dumps({"v": WIRE_VERSION, **fields}, option=orjson.OPT_SORT_KEYS)


def decode_value(value: bytes, where: str) -> dict[str, Any]:
    """Raises: WireError: malformed. UnknownVersionError: a newer release wrote it."""
    try:
        fields = orjson.loads(value)
        check_wire_version(fields.pop("v"), where)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise WireError("malformed checkpoint value", where=where) from None
    return dict(fields)


@dataclass(frozen=True, slots=True)
class GapAcceptance:
    """A person accepted that `topic` lost data to retention, after asking for a new snapshot.

    `offsets` are the log ends by partition at that moment: a log start up to there is no gap any
    more, because everything below it was written before the snapshot of `epoch` began.
    """

    consumer: str
    topic: str
    offsets: Mapping[int, int]

    def encode(self) -> tuple[bytes, bytes]:
        """Checkpoint key and value."""
        offsets = {str(partition): offset for partition, offset in self.offsets.items()}
        return encode_key("accept", self.consumer, self.topic), encode_value({"offsets": offsets})


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """What the other stages may know of the namespace: its id, accepted gaps, and the epoch of each
    table's feed."""

    namespace_id: str | None
    accepted: Mapping[tuple[str, str], Mapping[int, int]]
    epochs: Mapping[str, int] = field(default_factory=dict)


def read_namespace(kafka: KafkaConfig) -> NamespaceState:
    """The namespace as committed now; an id of None means that no connector has started yet.

    Raises:
        BrokerUnreachableError: the partition's end was not reached in time.
    """
    topic = TopicNames(kafka.namespace).checkpoints
    namespace_id: str | None = None
    accepted: dict[tuple[str, str], dict[int, int]] = {}
    epochs: dict[str, int] = {}
    for message in read_to_end(kafka, topic, [NAMESPACE_PARTITION]):
        key, value = message.key(), message.value()
        if not (isinstance(key, bytes) and isinstance(value, bytes)):
            continue
        kind, *parts = decode_key(key)
        if kind == "namespace":
            namespace_id = str(decode_value(value, "namespace")["id"])
        elif kind == "accept":
            offsets = decode_value(value, "acceptance")["offsets"]
            accepted[parts[0], parts[1]] = {int(p): int(o) for p, o in offsets.items()}
        elif kind == "generation":
            epochs[parts[0]] = int(decode_value(value, "generation")["epoch"])
    return NamespaceState(namespace_id, accepted, epochs)
