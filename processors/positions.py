"""Where a processor goes on in its partitions, and whether that is still possible.

A consumer of our own asks the group's coordinator and the partitions' leaders; it never joins the
group. Positions are always given explicitly, and the client is told to fail rather than to reset
one by itself: a log that lost what was not read yet is a GAP at every moment, not only at start.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.gap import check_position
from bridge.wire.kafka import (
    REQUEST_TIMEOUT_S,
    KafkaConfig,
    committed_ends,
    unreachable,
    written_bounds,
)
from bridge.wire.topics import admin

_MOVING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    }
)
# Longer than a transaction can stay open on the broker.
_DECIDED_TIMEOUT_S = 60.0


class Positions:
    """A group's positions, asked from outside the group; to be used in a `with`.

    Args:
        kafka: where.
        group: which.
        certain: wait for positions that a transaction carries; else the last ones before it.
    """

    def __init__(self, kafka: KafkaConfig, group: str, *, certain: bool = True) -> None:
        self._group = group
        isolation = "read_committed" if certain else "read_uncommitted"
        self._committed = Consumer({**kafka.reader(group=group), "isolation.level": isolation})
        self._admin = admin(kafka)

    def __enter__(self) -> Positions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._committed.close()

    def committed(self, topic: str, partitions: Iterable[int]) -> dict[int, int | None]:
        """The group's next offset per partition, None where it never committed one.

        Raises:
            BrokerUnreachableError: the coordinator does not answer.
        """
        try:
            found = self._ask(topic, partitions, REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise unreachable(error, f"positions of group {self._group}") from error
        for place in found:
            if place.error is not None:
                raise unreachable(KafkaException(place.error), f"positions of {self._group}")
        return {p.partition: p.offset if p.offset >= 0 else None for p in found}

    def told(self, topic: str, partitions: Iterable[int], timeout_s: float) -> bool:
        """Whether the positions are told within `timeout_s`.

        Raises:
            BrokerUnreachableError: they are refused.
        """
        try:
            found = self._ask(topic, partitions, timeout_s)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:  # noqa: SLF001 (the binding's name)
                raise unreachable(error, f"positions of group {self._group}") from error
            return False
        return all(place.error is None for place in found)

    def _ask(self, topic: str, partitions: Iterable[int], timeout_s: float) -> list[TopicPartition]:
        asked = [TopicPartition(topic, partition) for partition in partitions]
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                found: list[TopicPartition] = self._committed.committed(asked, timeout=timeout_s)
            except KafkaException as error:
                # A coordinator that moves or loads is asked again, as a member would.
                if error.args[0].code() not in _MOVING or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return found

    def starts(
        self,
        topic: str,
        partitions: Iterable[int],
        *,
        remedy: str,
        accepted: Mapping[int, int],
        limits: Mapping[int, int],
    ) -> dict[int, int]:
        """The offset to go on from, per partition.

        Args:
            topic: which.
            partitions: of it.
            remedy: what repairs a gap.
            accepted: log starts up to which a person gave up what is gone.
            limits: up to there a scan covers what is gone, where nothing was read yet.

        Raises:
            GapError: what was not read yet is gone.
            BrokerUnreachableError: Kafka does not answer.
        """
        stored = self.committed(topic, partitions)
        bounds = written_bounds(self._admin, topic, stored)
        return {
            partition: check_position(
                position,
                bounds[partition],
                where=f"{topic} partition {partition}",
                remedy=remedy,
                accepted_start=(accepted if position is not None else {**limits, **accepted}).get(
                    partition
                ),
            )
            for partition, position in stored.items()
        }

    def await_decided(
        self, topic: str, partition: int, timeout_s: float = _DECIDED_TIMEOUT_S
    ) -> None:
        """Wait until no transaction is open in the partition.

        A former owner's transaction may be committed already while its marker is still on its way:
        recovering up to the end of what is decided would then miss the last state it wrote.

        Raises:
            BrokerUnreachableError: it was still open after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        end = written_bounds(self._admin, topic, [partition])[partition].end
        while committed_ends(self._admin, topic, [partition])[partition] < end:
            if time.monotonic() > deadline:
                raise BrokerUnreachableError(
                    f"a transaction is still undecided after {timeout_s:.0f} s",
                    where=f"{topic} partition {partition}",
                    remedy="Check that no other process runs under the same TAILRACE_REPLICA",
                )
            time.sleep(0.1)
