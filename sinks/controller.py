"""When a batch is closed: the seam for controllers that follow lag, load and memory.

A controller is pure. It is told what is pending and how the last commit went, and answers whether
to close the batch or how long to wait for more. This one knows fixed bounds: rows and bytes keep
memory in check, the freshness target closes a batch that is old enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Pending:
    """The open batch: rows, bytes of their messages, and its age since its first message."""

    rows: int
    bytes: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave it open: wait up to `timeout_s` for at most `rows` more messages."""

    timeout_s: float
    rows: int


@dataclass(frozen=True, slots=True)
class Close:
    """Commit it now; `reason` is shown in metrics: rows, bytes or freshness."""

    reason: str


@dataclass(frozen=True, slots=True)
class CommitReport:
    """How a commit went: rows and bytes of its batch, seconds it took."""

    rows: int
    bytes: int
    seconds: float


class BatchController(Protocol):
    """Decides batch sizes."""

    def decide(self, pending: Pending) -> Wait | Close:
        """What to do with the open batch."""

    def committed(self, report: CommitReport) -> None:
        """Learn from a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBounds:
    """Closes at the first bound that is reached.

    Args:
        rows_max: messages in a batch.
        bytes_max: bytes of messages in a batch; in memory a row takes some five times that.
        freshness_s: age at which a batch is closed however small it is.
        fetch_rows: messages taken from Kafka's client at a time.
    """

    rows_max: int = 50_000
    bytes_max: int = 64 * 1024 * 1024
    freshness_s: float = 1.0
    fetch_rows: int = 2_000

    def decide(self, pending: Pending) -> Wait | Close:
        if pending.rows >= self.rows_max:
            return Close("rows")
        if pending.bytes >= self.bytes_max:
            return Close("bytes")
        if not pending.rows:
            return Wait(0.2, self._room(pending))
        if pending.age_s >= self.freshness_s:
            return Close("freshness")
        return Wait(min(0.2, self.freshness_s - pending.age_s), self._room(pending))

    def committed(self, report: CommitReport) -> None:
        """Fixed bounds learn nothing."""

    def _room(self, pending: Pending) -> int:
        """Few at a time when messages are big, so that the bound on bytes is not overrun by far."""
        fetch = min(self.fetch_rows, self.rows_max - pending.rows)
        if pending.rows:
            mean_bytes = max(pending.bytes // pending.rows, 1)
            fetch = min(fetch, (self.bytes_max - pending.bytes) // mean_bytes + 1)
        else:
            fetch = min(fetch, 200)
        return max(fetch, 1)
