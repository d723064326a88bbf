"""Dead letters as a person sees them: where each lies, why, and what became of it.

A letter's address is `partition:offset` in its dead-letter topic. What was decided about it lies in
the compacted topic `_letters`, written in the same transaction as a replay: a letter is open until
it was replayed or dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from confluent_kafka import Message

from bridge.wire.deadletter import DeadLetter
from bridge.wire.errors import ConfigurationError
from bridge.wire.kafka import KafkaConfig, read_to_end
from bridge.wire.namespace import decode_key, decode_value, encode_key, encode_value
from bridge.wire.topics import TopicNames, admin, existing_topics

State = Literal["open", "replayed", "dropped"]
Address = tuple[int, int]

_KIND = "letter"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    `at` is when it was set aside. Key, value and headers are the original message's.
    """

    address: Address
    cause: DeadLetter
    at: datetime
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @classmethod
    def read(cls, message: Message) -> Letter:
        """From a message of a dead-letter topic."""
        headers = tuple(
            (name, value.encode() if isinstance(value, str) else value or b"")
            for name, value in message.headers() or ()
        )
        _, stamp_ms = message.timestamp()
        key, value = message.key(), message.value()
        return cls(
            (message.partition() or 0, message.offset() or 0),
            DeadLetter.from_headers(list(headers)),
            datetime.fromtimestamp(stamp_ms / 1000, UTC),
            key.encode() if isinstance(key, str) else key,
            value.encode() if isinstance(value, str) else value,
            tuple((name, value) for name, value in headers if not name.startswith("dlq.")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters of an owner are meant; by default none, so that nothing happens by accident.

    `addresses`, `error` and `since` narrow each other; `everything` is for the case without any.
    """

    addresses: frozenset[Address] = frozenset()
    error: str | None = None
    since: datetime | None = None
    everything: bool = False

    def check(self, where: str) -> None:
        """Raises: ConfigurationError: it names nothing."""
        if not (self.addresses or self.error or self.since or self.everything):
            raise ConfigurationError(
                "no letter is selected",
                where=where,
                remedy="Name addresses as `tailrace dlq ls` shows them (PARTITION:OFFSET), "
                "--error, --since or --all",
            )

    def holds(self, letter: Letter) -> bool:
        """Whether the letter is meant."""
        return (
            (not self.addresses or letter.address in self.addresses)
            and (self.error is None or letter.cause.error == self.error)
            and (self.since is None or letter.at >= self.since)
        )


@dataclass(slots=True)
class Group:
    """Letters of one cause."""

    stage: str
    topic: str
    error: str
    first: datetime
    last: datetime
    example: Address
    reason: str
    open: int = 0
    replayed: int = 0
    dropped: int = 0

    def add(self, letter: Letter, state: State) -> None:
        """Count a letter; the newest open one is the example."""
        self.first = min(self.first, letter.at)
        if letter.at >= self.last:
            self.last, self.example = letter.at, letter.address
            self.reason = letter.cause.reason
        setattr(self, state, getattr(self, state) + 1)


def parse_address(text: str, where: str) -> Address:
    """`"2:118"` -> (2, 118).

    Raises:
        ConfigurationError: not an address.
    """
    partition, _, offset = text.partition(":")
    if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise ConfigurationError(
            f"{text[:60]!r} is not the address of a dead letter",
            where=where,
            remedy="Write PARTITION:OFFSET, as `tailrace dlq ls` shows it",
        )
    return int(partition), int(offset)


def spell(address: Address) -> str:
    """(2, 118) -> `"2:118"`."""
    return f"{address[0]}:{address[1]}"


def owners(kafka: KafkaConfig) -> dict[str, int]:
    """Everybody who has a dead-letter topic, with its number of partitions.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    prefix = TopicNames(kafka.namespace).dead_letters("")
    topics = existing_topics(admin(kafka))
    return {name.removeprefix(prefix): n for name, n in topics.items() if name.startswith(prefix)}


def partitions_of(kafka: KafkaConfig, owner: str) -> int:
    """How many partitions the owner's dead-letter topic has.

    Raises:
        ConfigurationError: it has none.
        BrokerUnreachableError: Kafka does not answer.
    """
    known = owners(kafka)
    if owner not in known:
        raise ConfigurationError(
            f"{owner!r} has no dead letters",
            where=f"namespace {kafka.namespace}",
            remedy=f"It has: {', '.join(sorted(known)) or 'none at all'}",
        )
    return known[owner]


def read_letters(kafka: KafkaConfig, owner: str, partitions: int) -> Iterator[Letter]:
    """Every letter that is still kept, as it lies in the topic.

    Raises:
        BrokerUnreachableError: the topic's end was not reached.
    """
    topic = TopicNames(kafka.namespace).dead_letters(owner)
    for message in read_to_end(kafka, topic, range(partitions)):
        yield Letter.read(message)


def mark(owner: str, address: Address, state: State, at: datetime) -> tuple[bytes, bytes]:
    """Key and value of the record that says what became of a letter."""
    return (
        encode_key(_KIND, owner, *address),
        encode_value({"state": state, "at": at.isoformat(timespec="seconds")}),
    )


def read_marks(kafka: KafkaConfig, owner: str) -> dict[Address, State]:
    """What became of the owner's letters; an absent one is open.

    Raises:
        BrokerUnreachableError: the topic's end was not reached.
    """
    topic = TopicNames(kafka.namespace).letters
    if topic not in existing_topics(admin(kafka)):
        return {}
    found: dict[Address, State] = {}
    for message in read_to_end(kafka, topic, [0]):
        key, value = message.key(), message.value()
        if not (isinstance(key, bytes) and isinstance(value, bytes)):
            continue
        kind, *parts = decode_key(key)
        if kind == _KIND and parts[0] == owner:
            found[int(parts[1]), int(parts[2])] = decode_value(value, "letter")["state"]
    return found


def grouped(letters: Iterable[Letter], marks: Mapping[Address, State]) -> Sequence[Group]:
    """Letters by stage, topic and error, the most open ones first."""
    found: dict[tuple[str, str, str], Group] = {}
    for letter in letters:
        cause = letter.cause
        place = (cause.stage, cause.topic, cause.error)
        group = found.get(place)
        if group is None:
            group = Group(*place, letter.at, letter.at, letter.address, cause.reason)
            found[place] = group
        group.add(letter, marks.get(letter.address, "open"))
    return sorted(found.values(), key=lambda group: (-group.open, group.stage, group.error))
