"""Which differing keys lie in the dead letters: set aside with their cause, not lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson
from confluent_kafka import Message

from bridge.control.comparison import Candidate
from bridge.wire.envelope import change_key, change_origin, change_version
from bridge.wire.errors import TailraceError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.topics import TopicNames, admin, existing_topics

# Of a message whose version can't be read it is assumed that it is the newest.
_NEWEST = "\uffff"


def newest_dead_letters(kafka: KafkaConfig, transform: str) -> dict[str, str]:
    """The newest version per key, item's or row's, in the transform's dead letters.

    Raises:
        BrokerUnreachableError: the topic's end was not reached.
    """
    topic = TopicNames(kafka.namespace).dead_letters(transform)
    partitions = existing_topics(admin(kafka)).get(topic, 0)
    newest: dict[str, str] = {}
    for message in read_to_end(kafka, topic, range(partitions)) if partitions else ():
        key, version = identity(message)
        newest[key] = max(version, newest.get(key, ""))
    return newest


def identity(message: Message) -> tuple[str, str]:
    """Key and version of the change or row in a dead letter."""
    raw, value = message.key(), message.value()
    fallback = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")
    try:
        body = orjson.loads(value or b"")
        if "_key" in body:
            return str(body["_key"]), str(body["_version"])
        key = change_key(body)
        return key, change_version(body, change_origin(body))
    except (TailraceError, ValueError, TypeError, KeyError):
        return fallback, _NEWEST


def dead_lettered(candidates: Iterable[Candidate], newest: Mapping[str, str]) -> set[str]:
    """Row keys of the candidates with a dead letter newer than their row."""
    return {
        candidate.row_key
        for candidate in candidates
        if any(
            newest.get(key, "") > (candidate.version or "")
            for key in (candidate.row_key, candidate.item_key)
            if key is not None
        )
    }
