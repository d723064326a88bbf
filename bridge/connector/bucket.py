"""One owned bucket: a transactional producer and the thread that commits what was read.

A transaction is open only while its messages are handed to Kafka: everything was fetched before, so
no AWS call and no waiting lies inside one. After an abort the same work is produced again from
memory, which is where the last commit left it. When another owner has fenced us, all of it is
dropped and the worker rejoins the group as a new member: nothing is retried as the old owner.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Producer

from bridge.connector import metrics
from bridge.connector.backlog import Backlog
from bridge.connector.backoff import Backoff
from bridge.connector.fetch import Budget
from bridge.connector.keyed import count_keyed
from bridge.connector.work import (
    Composer,
    Marks,
    Message,
    Run,
    SegmentPage,
    ShardPage,
    Work,
    size_of,
    table_of,
)
from bridge.wire.errors import BrokerUnreachableError, FencedError, TailraceError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import admin, existing_topics
from bridge.wire.turns import Turns
from bridge.wire.undecided import hanging

logger = logging.getLogger(__name__)

Failpoint = Callable[[str], None]

_CALL_TIMEOUT_S = 5.0
# Above what any record can be before compression; the topic's own limit counts compressed batches.
_MESSAGE_BYTES_MAX = 16 * 1024 * 1024
_QUEUE_KBYTES = 32 * 1024
# A partition's part of a transaction is one request, sent by the commit: librdkafka spins while
# messages wait behind five. Less than `MESSAGE_BYTES_MAX`, which every topic takes.
_LINGER_MS = 200
_BATCH_BYTES = 3 * 1024 * 1024
_PURGED = KafkaError._PURGE_QUEUE  # noqa: SLF001 (that is how the binding spells it)
_RETRY = Backoff(first_s=0.2, cap_s=5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPolicy:
    """When to commit: at most once per `interval_s`, earlier when `bytes_max` are waiting."""

    interval_s: float = 1.0
    bytes_max: int = 16 * 1024 * 1024
    finish_timeout_s: float = 5.0


def producer_settings(kafka: KafkaConfig, transactional_id: str) -> dict[str, object]:
    """librdkafka's settings for a bucket's producer.

    No delivery reports of what arrived: nobody reads them, and a thousand cost as much as producing
    the messages. A message that can't be delivered makes the transaction abortable all the same.
    """
    settings = kafka.producer(transactional_id=transactional_id)
    settings["delivery.report.only.error"] = True
    settings["message.max.bytes"] = _MESSAGE_BYTES_MAX
    settings["queue.buffering.max.kbytes"] = _QUEUE_KBYTES
    settings["linger.ms"] = _LINGER_MS
    settings["batch.size"] = _BATCH_BYTES
    return settings


class Bucket:
    """A bucket from its acquisition until it is given up or lost.

    Args:
        kafka: where and who.
        composer: turns work into messages; its epochs are this bucket's.
        policy: when to commit.
        budget: bytes of work in memory, given back when they are committed or dropped.
        fenced: told, from the bucket's thread, that the bucket must be dropped, and why.
        failpoint: called at named moments, for tests that kill.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        composer: Composer,
        *,
        policy: CommitPolicy,
        budget: Budget,
        fenced: Callable[[Bucket, BaseException], None],
        failpoint: Failpoint = lambda _point: None,
    ) -> None:
        self.number = composer.bucket
        self.composer = composer
        self.backlog = Backlog(composer)
        self.committed_at = time.monotonic()
        self.turns = Turns()
        self._transactional_id = f"{kafka.namespace}.connector.{self.number}"
        self._kafka = kafka
        self._policy = policy
        self._budget = budget
        self._fenced = fenced
        self._failpoint = failpoint
        self._changed = threading.Condition()
        self._initialised = threading.Event()
        self._stopping = False
        self._dropped = False
        self._thread = threading.Thread(
            target=self._run, name=f"connector-bucket-{self.number}", daemon=True
        )

    def start(self) -> None:
        """Fence the owner before us, in the background; then commit what is put."""
        self._thread.start()

    @property
    def initialised(self) -> bool:
        """Whether the owner before us is fenced: from now on the bucket's partition is ours."""
        return self._initialised.is_set()

    @property
    def closed(self) -> bool:
        """Whether nothing put from now on will be committed."""
        return self._stopping or self._dropped

    def put(self, work: Work, *, urgent: bool = False) -> None:
        """Have work committed, in the order it is put; dropped when the bucket is closed."""
        with self._changed:
            if self.closed:
                return
            self._budget.take(size_of(work))
            self.backlog.put(work, urgent=urgent)
            self._changed.notify()

    def mark(self, messages: Sequence[Message]) -> None:
        """Commit records without changes at once, and remember their keys as pending."""
        self.backlog.expect(messages)
        self.put(Marks(tuple(messages)), urgent=True)

    def finish(self) -> None:
        """Take nothing more; what was handed over is committed if that goes quickly."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def drop(self) -> None:
        """Forget everything that is not committed."""
        with self._changed:
            self._stopping = self._dropped = True
            self._changed.notify()

    def join(self) -> bool:
        """After `finish` or `drop`: wait until the producer is gone; whether it is."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(self._policy.finish_timeout_s + _CALL_TIMEOUT_S * 2)
        return not self._thread.is_alive()

    def _run(self) -> None:
        producer: Producer | None = None
        try:
            producer = self._initialise()
            while producer is not None and (batch := self._next_batch()):
                self.turns.turn("a transaction")
                self._transact(producer, batch)
                self._settled(batch)
        except BaseException as error:
            given_up = self._stopping
            self._dropped = True
            if not given_up:
                self._fenced(self, error)
        finally:
            self.turns.rest()
            self._clear()
            if producer is not None:
                producer.purge()

    def _initialise(self) -> Producer | None:
        self.turns.turn("fencing the owner before")
        producer = Producer(producer_settings(self._kafka, self._transactional_id))
        failures = 0
        while not self.closed:
            try:
                producer.init_transactions(_CALL_TIMEOUT_S)
            except KafkaException as error:
                failures += 1
                self._note_failure("init", error)
                if error.args[0].fatal():
                    raise _fenced_error(self._transactional_id, error.args[0]) from None
                self._pause(failures)
                continue
            self._settle(producer)
            self.turns.rest()
            self._initialised.set()
            return producer
        return None

    def _settle(self, producer: Producer) -> None:
        """End what an owner before committed and Kafka never marked; see `bridge.wire.undecided`.

        All of it: positions that came to light while their changes stay undecided would be as good
        as a loss once a later transaction in the changes' partition is aborted.
        """
        client = admin(self._kafka)
        own = {self.composer.checkpoints: [self.number]}
        while not self.closed:
            try:
                if not hanging(client, own):
                    return
                topics = existing_topics(client)
            except BrokerUnreachableError as error:
                logger.warning(
                    "looking for undecided transactions failed",
                    extra={"bucket": self.number, "cause": str(error)},
                )
                self._pause(1)
                continue
            self._transact(producer, [Marks(tuple(self.composer.settling(topics)))])
            logger.warning("ended transactions Kafka left open", extra={"bucket": self.number})
            return

    def _next_batch(self) -> list[Work]:
        """What goes into the next transaction; [] when the bucket is closed and nothing is left."""
        with self._changed:
            while not self._due():
                if self.closed and not self.backlog:
                    return []
                self._changed.wait(self._wait_s())
            return [] if self._dropped else self.backlog.take(self._policy.bytes_max)

    def _due(self) -> bool:
        if self._dropped:
            return True
        if not self.backlog:
            return False
        return (
            self._stopping
            or self.backlog.urgent
            or self.backlog.size_bytes >= self._policy.bytes_max
            or time.monotonic() - self.committed_at >= self._policy.interval_s
        )

    def _wait_s(self) -> float:
        if not self.backlog:
            return 1.0
        return max(0.001, self.committed_at + self._policy.interval_s - time.monotonic())

    def _settled(self, batch: list[Work]) -> None:
        self.committed_at = time.monotonic()
        self.turns.rest()
        self._budget.give(sum(map(size_of, batch)))
        self.backlog.settle(batch)
        for work in batch:
            _count(work)
        for table in filter(None, set(map(table_of, batch))):
            metrics.TRANSACTIONS.labels(table).inc()

    def _clear(self) -> None:
        with self._changed:
            self._stopping = True
            held = self.backlog.clear()
        self._budget.give(held)

    def _transact(self, producer: Producer, batch: list[Work]) -> None:
        """Commit the batch, however often it takes.

        Raises:
            FencedError: another owner has the bucket, or it was taken from us meanwhile.
        """
        failures = 0
        gives_up_at = float("inf")
        while True:
            if self._stopping:
                gives_up_at = min(gives_up_at, time.monotonic() + self._policy.finish_timeout_s)
            if self._dropped or time.monotonic() > gives_up_at:
                self._budget.give(sum(map(size_of, batch)))
                raise FencedError("given up before it was committed", where=self._transactional_id)
            try:
                producer.begin_transaction()
                self._produce(producer, batch)
                self._failpoint("connector.before_commit")
                self._commit(producer)
            except KafkaException as error:
                failures += 1
                self._recover(producer, error, batch)
                self._pause(failures)
            else:
                self._failpoint("connector.after_commit")
                return

    def _produce(self, producer: Producer, batch: list[Work]) -> None:
        for piece in self.composer.runs(batch, time.time()):
            if isinstance(piece, Run):
                self._produce_run(producer, piece)
                continue
            while True:
                try:
                    _produce_one(producer, piece)
                    break
                except BufferError:
                    self._await_room(producer)
        self._failpoint("connector.produced")

    def _produce_run(self, producer: Producer, run: Run) -> None:
        produce, topic = producer.produce, run.topic
        for key, value in run.stamped():
            while True:
                try:
                    produce(topic, value, key)
                    break
                except BufferError:
                    self._await_room(producer)

    def _await_room(self, producer: Producer) -> None:
        """The producer's queue is full."""
        if self._dropped:
            raise KafkaException(KafkaError(_PURGED))
        producer.poll(0.1)

    def _commit(self, producer: Producer) -> None:
        """Commit; a retriable failure leaves the outcome open, so only committing again will do."""
        failures = 0
        while True:
            try:
                producer.commit_transaction(_CALL_TIMEOUT_S)
            except KafkaException as error:
                reason = error.args[0]
                if not reason.retriable() or reason.txn_requires_abort() or self._dropped:
                    raise
                failures += 1
                self._note_failure("commit", error)
                self._pause(failures)
            else:
                return

    def _recover(self, producer: Producer, error: KafkaException, batch: list[Work]) -> None:
        """Abort, so that the batch can be produced again.

        Raises:
            FencedError: there is nothing left to abort, the producer is dead.
        """
        self._note_failure("transaction", error)
        reason: KafkaError = error.args[0]
        failures = 0
        while not (reason.fatal() or self._dropped):
            try:
                producer.purge()
                producer.abort_transaction(_CALL_TIMEOUT_S)
            except KafkaException as abort_error:
                reason = abort_error.args[0]
                if not reason.retriable() and not reason.txn_requires_abort():
                    break
                failures += 1
                self._pause(failures)
            else:
                metrics.ABORTS.inc()
                return
        self._budget.give(sum(map(size_of, batch)))
        raise _fenced_error(self._transactional_id, reason)

    def _note_failure(self, what: str, error: KafkaException) -> None:
        logger.warning(
            "kafka call failed",
            extra={"bucket": self.number, "call": what, "cause": error.args[0].str()},
        )

    def _pause(self, failures: int) -> None:
        with self._changed:
            if not self._dropped:
                self._changed.wait(_RETRY.delay_s(failures, 0.5))


def _produce_one(producer: Producer, message: Message) -> None:
    place = {} if message.partition is None else {"partition": message.partition}
    producer.produce(message.topic, message.value, message.key, headers=message.headers, **place)


def _fenced_error(where: str, reason: KafkaError) -> TailraceError:
    return FencedError(f"the producer can't go on: {reason.str()}", where=where)


def _count(work: Work) -> None:
    match work:
        case ShardPage():
            keyed = count_keyed(work.records)
            metrics.CHANGES.labels(work.table).inc(keyed)
            metrics.BYTES.labels(work.table).inc(work.size_bytes)
            metrics.DEAD_LETTERS.labels(work.table).inc(len(work.records) - keyed)
        case SegmentPage():
            metrics.SNAPSHOT_ITEMS.labels(work.segment.table).inc(len(work.records))
            metrics.BYTES.labels(work.segment.table).inc(work.size_bytes)
