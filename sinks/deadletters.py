"""The sink's dead letters: rows that can't become part of the table, kept whole with their cause.

They go to the topic of the transform that made them and are acknowledged before the commit that
passes them by, so a crash in between can only write one twice, never lose it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import KafkaException, Producer

from bridge.wire.deadletter import DeadLetter
from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.kafka import REQUEST_TIMEOUT_S, KafkaConfig, unreachable
from bridge.wire.schemas import Schema
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from sinks.rows import Unfit

logger = logging.getLogger(__name__)


class DeadLetterWriter:
    """Writes dead letters of one dataset.

    Args:
        kafka: where.
        dataset: its id.
        topic: the rows topic the messages came from.
        schema_of: the schema of a fingerprint, None if it is not known.
        known: all schemas of the dataset, for messages that name none.
        spec: how a dead-letter topic that is missing is created.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        *,
        dataset: str,
        topic: str,
        schema_of: Callable[[str], Schema | None],
        known: Callable[[], Iterable[Schema]],
        spec: Callable[[str], TopicSpec],
    ) -> None:
        self._kafka = kafka
        self._dataset = dataset
        self._topic = topic
        self._schema_of = schema_of
        self._known = known
        self._spec = spec
        self._producer: Producer | None = None
        self._ensured: set[str] = set()

    def write(self, unfit: Sequence[Unfit]) -> None:
        """Write them and wait until Kafka has them.

        Raises:
            BrokerUnreachableError: not acknowledged in time; write them again.
        """
        failures: list[str] = []
        producer = self._started()

        def delivered(error: object, _message: object) -> None:
            if error is not None:
                failures.append(str(error))

        for letter in unfit:
            self._produce(producer, letter, delivered)
        left = producer.flush(REQUEST_TIMEOUT_S)
        if left or failures:
            self._producer = None  # what is still queued in it must not come later by surprise
            producer.purge()
            raise BrokerUnreachableError(
                failures[0] if failures else "dead letters not acknowledged in time",
                where=f"dataset {self._dataset}",
            )
        logger.warning(
            "rows set aside as dead letters",
            extra={"dataset": self._dataset, "rows": len(unfit), "first": unfit[0].reason},
        )

    def _started(self) -> Producer:
        if self._producer is None:
            settings = self._kafka.producer(delivery_timeout_ms=int(REQUEST_TIMEOUT_S * 900))
            self._producer = Producer(settings)
        return self._producer

    def _produce(
        self, producer: Producer, unfit: Unfit, delivered: Callable[[object, object], None]
    ) -> None:
        partition, offset = unfit.place
        letter = DeadLetter(
            stage="sink",
            owner=self._dataset,
            topic=self._topic,
            partition=partition,
            offset=offset,
            error=unfit.error,
            reason=unfit.reason,
        )
        message = unfit.message
        topic = self._dead_letter_topic(unfit.fingerprint)
        while True:
            try:
                producer.produce(
                    topic,
                    key=message.key(),
                    value=message.value(),
                    headers=letter.headers(message.headers()),
                    on_delivery=delivered,
                )
            except BufferError:
                producer.poll(0.5)
                continue
            except KafkaException as error:
                raise unreachable(error, topic) from error
            return

    def _dead_letter_topic(self, fingerprint: str) -> str:
        schema = self._schema_of(fingerprint) or next(iter(self._known()), None)
        transform = schema.transform if schema else f"sink.{self._dataset}"
        topic = TopicNames(self._kafka.namespace).dead_letters(transform)
        if topic not in self._ensured:
            ensure_topics(admin(self._kafka), [self._spec(topic)])
            self._ensured.add(topic)
        return topic
