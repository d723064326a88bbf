"""Leases: Kafka's group coordinator hands out buckets, so there is no lease table to pay for.

A member subscribes to a topic for the assignment only and never reads it: owning partition i is
owning bucket i. Every assignment starts as a new owner. Before a bucket is given up its holder is
asked to finish or abort what it is doing; when it was lost, to drop it.

Safety never rests on this alone: a holder that does not know yet that it lost its bucket is stopped
by its transactional id (connector) or by the table's version (sink).
"""

from __future__ import annotations

import logging
import threading
import zlib
from typing import Protocol

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from bridge.wire.errors import TailraceError
from bridge.wire.kafka import KafkaConfig, unreachable
from bridge.wire.member import MemberConsumer
from bridge.wire.pulse import Pulse

logger = logging.getLogger(__name__)


def bucket_of(buckets: int, *parts: str) -> int:
    """The bucket of a shard, segment or dataset: the same in every process and release."""
    return zlib.crc32("\x1f".join(parts).encode()) % buckets


class Holder(Protocol):
    """Who holds buckets. All three are called from the lease's own thread."""

    def acquired(self, buckets: frozenset[int]) -> None:
        """These are ours now; start as a new owner."""

    def revoked(self, buckets: frozenset[int]) -> None:
        """Finish or abort what runs for them, then return; the next owner waits for it."""

    def lost(self, buckets: frozenset[int]) -> None:
        """Somebody else may own them already: drop everything."""


class Lease:
    """A member of the group, polled by a thread of its own so that slow work can't lose it.

    Args:
        kafka: where and who.
        topic: the topic whose partitions are the buckets.
        group: the consumer group; its committed offsets are never used.
        stage: names the static member id.
        holder: told about every change.
    """

    def __init__(
        self, kafka: KafkaConfig, *, topic: str, group: str, stage: str, holder: Holder
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._group = group
        self._stage = stage
        self._holder = holder
        self._stop = threading.Event()
        self._rejoin = threading.Event()
        self._failure: BaseException | None = None
        self._owned: frozenset[int] = frozenset()
        self._pulse = Pulse()
        self._thread = threading.Thread(target=self._run, name=f"{stage}-lease", daemon=True)

    @property
    def owned(self) -> frozenset[int]:
        """Buckets held now."""
        return self._owned

    @property
    def problem(self) -> str | None:
        """None while Kafka answers the member, else one line that says for how long not."""
        return self._pulse.problem

    def start(self) -> None:
        """Join the group in the background."""
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Leave the group, giving every bucket back first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def rejoin(self) -> None:
        """Give everything up and come back as a new member: what a fenced worker must do."""
        self._rejoin.set()

    def check(self) -> None:
        """Raise what stopped the lease's thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        backoff_s = 0.5
        while not self._stop.is_set():
            self._rejoin.clear()
            try:
                self._be_member()
                backoff_s = 0.5
            except TailraceError as error:
                if not error.retryable:
                    self._failure = error
                    return
                logger.warning("lease interrupted", extra={"cause": str(error)})
            except BaseException as error:
                self._failure = error
                return
            self._stop.wait(backoff_s)
            backoff_s = min(backoff_s * 2, 8.0)

    def _settings(self) -> dict[str, object]:
        settings = self._kafka.consumer(group=self._group)
        settings["auto.offset.reset"] = "latest"  # nothing is read here
        settings |= self._pulse.settings()
        if self._kafka.static_membership:
            member = f"{self._kafka.namespace}.{self._stage}.{self._kafka.replica}"
            settings["group.instance.id"] = member
        return settings

    def _be_member(self) -> None:
        consumer = MemberConsumer(self._settings())
        try:
            consumer.subscribe(
                [self._topic],
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._lost,
            )
            while not (self._stop.is_set() or self._rejoin.is_set()):
                message = consumer.poll(0.2)
                if message is not None and (error := message.error()) is not None:
                    raise unreachable(KafkaException(error), self._topic)
        finally:
            self._give_up()
            consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = [TopicPartition(p.topic, p.partition, OFFSET_END) for p in partitions]
        consumer.assign(places)
        consumer.pause(places)
        self._owned = frozenset(p.partition for p in partitions)
        logger.info("lease acquired", extra={"stage": self._stage, "buckets": sorted(self._owned)})
        self._holder.acquired(self._owned)

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._give_up()

    def _lost(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        buckets, self._owned = self._owned, frozenset()
        if buckets:
            logger.warning("lease lost", extra={"stage": self._stage, "buckets": sorted(buckets)})
            self._holder.lost(buckets)

    def _give_up(self) -> None:
        buckets, self._owned = self._owned, frozenset()
        if buckets:
            logger.info("lease given up", extra={"stage": self._stage, "buckets": sorted(buckets)})
            self._holder.revoked(buckets)
