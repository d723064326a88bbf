"""Which messages of its inputs a transform takes, and what a seal means to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.wire.envelope import Origin, Sealed


@dataclass(frozen=True, slots=True)
class Admission:
    """One transform's.

    Args:
        transform: its name.
        limits: by topic and partition the offset below which it takes records of the stream alone
            and nothing of a scan; see `beginning`.
        spread: how many partitions each rows topic has, where that may be others than a changes
            topic's.
        instance: its generation's name, to which scans for it alone are addressed; "" for its own.
        epochs: by topic the epoch whose scan may have begun below the limits: of its items some are
            not taken, so its seal says nothing here.
    """

    transform: str
    limits: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    spread: Mapping[str, int] = field(default_factory=dict)
    instance: str = ""
    epochs: Mapping[str, int] = field(default_factory=dict)

    def takes(
        self, record: Mapping[str, Any], origin: Origin, topic: str, place: tuple[int, int]
    ) -> bool:
        """Whether a decoded change at `(partition, offset)` is for this transform."""
        if origin.addressed_to is None and not self.limits:
            return True
        # Under the plain name also come dead letters that are replayed, to every generation.
        if origin.addressed_to not in (None, self.transform, self._instance):
            return False
        scanned = record.get("eventName") == "READ" or origin.addressed_to is not None
        return not (scanned and self._is_below_limit(topic, place))

    def seal(self, value: bytes, topic: str, place: tuple[int, int]) -> tuple[Sealed, bytes] | None:
        """A seal as this transform's datasets get it, None where it is not for them.

        That of a scan for this transform alone says to them what a generation's says.

        Raises:
            WireError, UnknownVersionError: as `Sealed.decode`.
        """
        sealed = Sealed.decode(value)
        if sealed.addressed_to not in (None, self._instance) or self._is_below_limit(topic, place):
            return None
        if sealed.addressed_to is None and sealed.epoch <= self.epochs.get(topic, 0):
            return None
        if sealed.addressed_to is not None:
            sealed = replace(sealed, addressed_to=None)
            return sealed, sealed.encode()
        return sealed, value

    def places(
        self, rows_topic: str, partition: int, sealed: Sealed, value: bytes
    ) -> Iterable[tuple[int, bytes]]:
        """Where a seal goes: behind every row of its partition, so wherever these can lie."""
        partitions = self.spread.get(rows_topic)
        if partitions is None or partitions == sealed.of:
            return [(partition, value)]
        return [
            (number, sealed.spread(number, partitions).encode()) for number in range(partitions)
        ]

    @property
    def _instance(self) -> str:
        return self.instance or self.transform

    def _is_below_limit(self, topic: str, place: tuple[int, int]) -> bool:
        partition, offset = place
        limits = self.limits.get(topic)
        return limits is not None and offset < limits.get(partition, 0)
