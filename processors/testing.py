"""Run a transform without a broker: the real compiled function, Quix application and RocksDB.

    def test_removed_orders_leave(tmp_path):
        changes = Changes(key=["orderId"])
        with TransformDriver(my_transform) as driver:
            driver.send(changes.insert({"orderId": "o-1", "total": 5}))
            driver.send(changes.remove({"orderId": "o-1"}))
            assert driver.table() == {}

Only the broker is made up: the consumer hands over what was sent, the producer keeps what was
written. Transactions, recovery and rebalances need a broker and are not covered here.
"""

# ruff: noqa: SLF001 (Quix has no driver of its own: this one turns its real parts by hand)
from __future__ import annotations

import os
import tempfile
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from bridge.wire.attributes import canonical_key
from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import ROW_FIELDS, Headers, Sealed, header, stamp, stamp_record
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import TopicNames
from processors.application import ApplicationSettings, ProcessorApplication
from processors.compiled import CompiledTransform, compile_transform
from processors.events import typed
from processors.pipeline import Pipeline
from processors.quix import Topic, TopicConfig, TopicManager
from processors.transform import Transform

_NAMES = TopicNames("test")
_NEVER_S = 1e9
_MEMORY = "/dev/shm"  # noqa: S108 (the folder inside gets a name of its own)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message for a changes topic: Kafka key, value, headers."""

    key: bytes
    value: bytes
    headers: Headers | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A message the transform wrote."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None
    partition: int | None

    @property
    def row(self) -> dict[str, Any]:
        """The value, decoded."""
        decoded: dict[str, Any] = orjson.loads(self.value or b"null")
        return decoded


class Changes:
    """Writes changes of one table as the connector does, sequence numbers rising.

    Items are plain Python (str, int, Decimal, bool, bytes, None, list, dict, set) or typed JSON
    where `typed` says so.

    Args:
        key: names of the table's key attributes.
        epoch: the generation of the feed.
        typed: items come as DynamoDB JSON.
    """

    def __init__(self, key: Sequence[str], *, epoch: int = 1_000, typed: bool = False) -> None:
        self.epoch = epoch
        self._key = tuple(key)
        self._typed = typed
        self._sequence = 100

    def insert(self, item: Mapping[str, Any]) -> Sent:
        """An item that was not there."""
        return self._change("INSERT", item, None)

    def modify(self, item: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> Sent:
        """An item as it is now, and as it was if the stream has old images."""
        return self._change("MODIFY", item, old)

    def remove(self, item: Mapping[str, Any]) -> Sent:
        """An item as it was; its key is enough."""
        return self._change("REMOVE", None, item)

    def read(self, item: Mapping[str, Any]) -> Sent:
        """An item met by a scan."""
        return self._change("READ", item, None, sequence=0)

    def sealed(self, table: str, partition: int = 0, of: int = 1) -> Sent:
        """The end of a scan."""
        record = Sealed(table, self.epoch, partition, of)
        return Sent(b'{"tailrace":"control"}', record.encode(), Sealed.headers())

    def _change(
        self,
        name: str,
        new: Mapping[str, Any] | None,
        old: Mapping[str, Any] | None,
        sequence: int | None = None,
    ) -> Sent:
        if sequence is None:
            self._sequence += 1
            sequence = self._sequence
        images = {"NewImage": self._image(new), "OldImage": self._image(old)}
        image = images["NewImage"] or images["OldImage"] or {}
        keys = {attribute: image[attribute] for attribute in self._key}
        record = {
            "eventID": f"event-{self.epoch}-{sequence}",
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-west-2",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_763_907_404,
                "Keys": keys,
                **{title: found for title, found in images.items() if found is not None},
                "SequenceNumber": str(sequence),
                "SizeBytes": 100,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }
        tail = stamp(self.epoch, "shard-1", "arn:aws:dynamodb:test")
        kafka_key = canonical_key({self._key[0]: keys[self._key[0]]})
        return Sent(kafka_key, stamp_record(orjson.dumps(record), tail))

    def _image(self, item: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if item is None:
            return None
        return dict(item) if self._typed else {name: typed(v) for name, v in item.items()}


class TransformDriver:
    """A transform with everything but a broker; to be used in a `with`.

    Args:
        transform: what is tested.
        state_dir: keep state here to look at a restart; a temporary folder otherwise.
    """

    def __init__(self, transform: Transform, *, state_dir: Path | None = None) -> None:
        self.compiled: CompiledTransform = compile_transform(transform)
        self.written: list[Written] = []
        self._offset = self._read_back = 0
        # RocksDB waits for the disk when it opens and closes: memory makes a scenario quick.
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(dir=memory) if state_dir is None else None
        folder = state_dir or Path(self._folder.name if self._folder else "")
        self._consumer = _Consumer()
        self._application = ProcessorApplication(
            _settings(folder),
            topic_manager=_Topics(None, "test"),
            processing_guarantee="at-least-once",
            use_changelog_topics=False,
            commit_every=0,
        )
        self._open()

    def _open(self) -> None:
        application, context = self._application, self._application._processing_context
        application._producer = context.producer = _Producer(self.written)
        application._consumer = context.consumer = self._consumer
        application.connect(Pipeline(self.compiled, _NAMES))
        registry = application._dataframe_registry
        self._consumer.topics = {topic.name: topic for topic in registry.consumer_topics}
        application._state_manager.init()
        context.init_checkpoint()
        for topic in self._consumer.topics:
            for stream_id in registry.get_stream_ids(topic):
                application._state_manager.on_partition_assign(
                    stream_id=stream_id, partition=0, committed_offsets={}
                )
        self._composed = registry.compose_all()

    def __enter__(self) -> TransformDriver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, *messages: Sent, table: str | None = None) -> None:
        """Process messages of a table, the transform's only one by default."""
        topic = _NAMES.changes(table or self.compiled.tables()[0])
        for message in messages:
            self._consumer.waiting.append(_Message(topic, self._offset, message))
            self._offset += 1
            self._application._process_message(self._composed)
            self._hand_back()

    def _hand_back(self) -> None:
        """Process what the transform wrote for its own second step, as the broker would."""
        while self._read_back < len(self.written):
            message = self.written[self._read_back]
            self._read_back += 1
            if message.topic in self._consumer.topics:
                sent = Sent(message.key or b"", message.value or b"", message.headers)
                self._consumer.waiting.append(_Message(message.topic, self._read_back, sent))
                self._application._process_message(self._composed)

    def commit(self) -> None:
        """A checkpoint, as every second in production."""
        self._application._processing_context.commit_checkpoint(force=True)

    def rows(self, dataset: str | None = None) -> list[dict[str, Any]]:
        """Rows written so far, decoded, in order; seals left out."""
        topic = _NAMES.rows(dataset or self.compiled.flows[0].dataset.id)
        return [
            message.row
            for message in self.written
            if message.topic == topic and header(message.headers, "control") is None
        ]

    def table(self, dataset: str | None = None) -> dict[str, dict[str, Any]]:
        """The dataset these rows make: by `_key`, the newest version's columns."""
        newest: dict[str, dict[str, Any]] = {}
        for row in self.rows(dataset):
            known = newest.get(row["_key"])
            if known is None or row["_version"] > known["_version"]:
                newest[row["_key"]] = row
        return {
            key: {name: value for name, value in row.items() if name not in ROW_FIELDS}
            for key, row in newest.items()
            if row["_op"] != "delete"
        }

    def dead_letters(self) -> list[DeadLetter]:
        """What was set aside so far."""
        topic = _NAMES.dead_letters(self.compiled.name)
        found = [message for message in self.written if message.topic == topic]
        return [DeadLetter.from_headers(message.headers) for message in found]

    def committed(self, table: str | None = None) -> int:
        """The next offset the group would read of a table."""
        return self._consumer.committed[_NAMES.changes(table or self.compiled.tables()[0]), 0]

    def close(self) -> None:
        """Commit nothing more; close the state."""
        self._application._state_manager.close()
        if self._folder is not None:
            self._folder.cleanup()


def run(transform: Transform, messages: Iterable[Sent]) -> TransformDriver:
    """A closed driver that has processed the messages: ask it for rows, table, dead letters."""
    with TransformDriver(transform) as driver:
        driver.send(*messages)
        driver.commit()
    return driver


def _settings(folder: Path) -> ApplicationSettings:
    return ApplicationSettings(
        kafka=KafkaConfig(brokers="none:1", namespace="test"),
        group="test",
        member="test",
        state_dir=folder,
        commit_interval_s=_NEVER_S,
        place=lambda _topic, _partitions: {},
        await_decided=lambda _topic, _partition: None,
        failpoint=lambda _point: None,
        read=lambda _timestamp: None,
        beat=lambda _behind: None,
    )


class _Topics(TopicManager):  # type: ignore[misc]
    """Every topic exists, with one partition."""

    def _fetch_topic(self, topic: Any) -> Any:
        found = Topic(name=topic.name)
        endless = {"retention.ms": "-1", "retention.bytes": "-1"}
        found.broker_config = TopicConfig(
            num_partitions=1, replication_factor=1, extra_config=endless
        )
        return found


class _Message:
    """What a consumer hands over."""

    def __init__(self, topic: str, offset: int, sent: Sent) -> None:
        self._topic, self._offset, self._sent = topic, offset, sent

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._sent.key

    def value(self) -> bytes:
        return self._sent.value

    def headers(self) -> Headers | None:
        return self._sent.headers

    def timestamp(self) -> tuple[int, int]:
        return (2, 0)

    def error(self) -> None: ...

    def __len__(self) -> int:
        return len(self._sent.value)


class _Consumer:
    """Hands over what was sent; remembers what was committed."""

    def __init__(self) -> None:
        self.waiting: deque[_Message] = deque()
        self.topics: dict[str, Any] = {}
        self.committed: dict[tuple[str, int], int] = defaultdict(int)

    def consume(self, num_messages: int, _timeout: float) -> list[_Message]:
        return [self.waiting.popleft() for _ in range(min(num_messages, len(self.waiting)))]

    def seek(self, partition: Any) -> None: ...

    def commit(self, offsets: Iterable[Any], **_: Any) -> None:
        for place in offsets:
            self.committed[place.topic, place.partition] = place.offset

    def assignment(self) -> list[Any]:
        return []

    def _broker_available(self) -> None: ...


class _Producer:
    """Keeps what was written."""

    def __init__(self, written: list[Written]) -> None:
        self._written = written
        self.offsets: dict[tuple[str, int], int] = {}

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        self._written.append(Written(topic, key, value, headers, partition))

    def flush(self) -> int:
        return 0

    def poll(self, timeout: float = 0) -> None: ...

    def _broker_available(self) -> None: ...
