"""Following the sets of found tables while a stage runs."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from bridge.wire.found import Declared, read_found
from bridge.wire.kafka import KafkaConfig
from bridge.wire.namespace import NAMESPACE_PARTITION
from bridge.wire.topics import TopicNames

logger = logging.getLogger(__name__)

_BATCH = 2000
_AGAIN_S = 2.0


class FoundTail:
    """Reads the partition that holds them from its start, and on; for a `with`.

    `complete` once its end was reached. What goes wrong is tried again: the stage itself says what
    is wrong with Kafka.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._topic = TopicNames(kafka.namespace).checkpoints
        self._consumer: Consumer | None = None
        self._again_at = 0.0
        self.found: dict[Declared, tuple[str, ...]] = {}
        self.complete = False

    def poll(self, timeout_s: float) -> None:
        """Take what has come, waiting for it no longer than `timeout_s`.

        Raises:
            WireError: a malformed record. UnknownVersionError: a newer release wrote it.
        """
        if self._consumer is None:
            time.sleep(min(timeout_s, max(0.0, self._again_at - time.monotonic())))
            if time.monotonic() < self._again_at:
                return
            self._consumer = self._begin()
        try:
            messages = self._consumer.consume(_BATCH, timeout_s)
        except KafkaException as refused:
            self._fail(str(refused))
            return
        for message in messages:
            error = message.error()
            if error is None:
                self._take(message.key(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (the binding's spelling)
                self.complete = True
            else:
                self._fail(error.str())
                return

    def _begin(self) -> Consumer:
        self.found, self.complete = {}, False
        group = f"{self._kafka.namespace}.found-tail"  # never commits, never joins
        consumer = Consumer(self._kafka.reader(group=group, enable_partition_eof=True))
        consumer.assign([TopicPartition(self._topic, NAMESPACE_PARTITION, OFFSET_BEGINNING)])
        return consumer

    def _take(self, key: object, value: object) -> None:
        if isinstance(key, bytes) and isinstance(value, bytes):
            record = read_found(key, value)
            if record is not None:
                self.found[record.of] = record.tables

    def _fail(self, cause: str) -> None:
        logger.info("found tables can't be read yet", extra={"cause": cause})
        self.close()
        self._again_at = time.monotonic() + _AGAIN_S

    def close(self) -> None:
        """Leave."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
