"""When a batch is closed: the controller that follows lag, load and memory. Pure.

It is told what is pending and how each commit went, and answers: wait, close, or pause. In twenty
lines:

 1. A commit costs a fixed part and a part per row, `seconds = fixed + rows * per_row`. Both are
    learned from the last dozen commits, and lean on a guess where batches are too alike to tell.
 2. A dataset is behind while more than a tenth of a full batch still waits in Kafka.
 3. Caught up, a batch is closed by age, small and fresh: after a fifth of the freshness target, or
    as long as a commit takes if that is more. A row may have waited for the commit before and waits
    for its own: so never later than the target less two commits, where there is that much.
 4. Commits take two thirds of the time at most (age >= half a commit): a table whose merge is
    slower than the target gets less fresh, not a process that does nothing else.
 5. Behind, a batch grows until it is full: the rows that a commit takes in half the target, or in
    four times its fixed part if that is more, for then four fifths of the time go into rows.
 6. "Full" at most doubles or halves from one commit to the next: a spike moves it little.
 7. Behind or not, a batch is closed when it was read for as long as its commit may take: what
    trickles in slowly is not held back by a backlog that somebody else's load keeps from us.
 8. Memory comes first: a batch is closed when its rows in memory reach the dataset's share, or the
    process nears its ceiling; a process that is at its ceiling pauses its partitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

ROWS_MIN = 500
ROWS_FIRST = 50_000
ROWS_MAX = 500_000
# Memory of a row from decoding to Arrow, measured: for every byte of its message, and besides.
BYTES_PER_BYTE = 5
BYTES_PER_ROW = 3_500
# Of the process's memory: below this much left batches are closed, below half of it they pause.
RESERVE = 0.15
BEHIND_PART = 0.1
INTERVAL_PART = 0.2
LEAST_INTERVAL_S = 0.05
POLL_S = 0.2
PAUSE_S = 0.5
FETCH_ROWS = 2_000
FIRST_FETCH_ROWS = 200


@dataclass(frozen=True, slots=True)
class Pending:
    """The open batch, and what presses on it.

    `rows`, `bytes` of their messages, `age_s` since its first one was read; `backlog`: messages
    that still wait in Kafka; `free`: part of the process's memory ceiling that is left, 0 to 1.
    """

    rows: int
    bytes: int
    age_s: float
    backlog: int = 0
    free: float = 1.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave it open: wait up to `timeout_s` for at most `rows` more messages."""

    timeout_s: float
    rows: int


@dataclass(frozen=True, slots=True)
class Close:
    """Commit it now; `reason` is shown in metrics: freshness, rows, age or memory."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Read nothing for `seconds`: there is no memory for it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CommitReport:
    """How a commit went: rows and bytes of its batch, seconds it took, files it rewrote."""

    rows: int
    bytes: int
    seconds: float
    files_rewritten: int = 0


@dataclass(frozen=True, slots=True)
class Slow:
    """Why a single commit takes longer than the target; `cause`: rewrite, storage or rows."""

    cause: str
    reason: str


SLOW_CAUSES = ("rewrite", "storage", "rows")


class BatchController(Protocol):
    """Decides batch sizes."""

    def decide(self, pending: Pending) -> Wait | Close | Pause:
        """What to do with the open batch."""

    def committed(self, report: CommitReport) -> None:
        """Learn from a commit."""

    @property
    def rows_full(self) -> int:
        """Rows at which a batch is full now."""

    @property
    def interval_s(self) -> float:
        """Age at which a batch is closed while the dataset is caught up."""

    @property
    def slow(self) -> Slow | None:
        """Why the freshness target can't be held by a single commit; None where it can."""


class CommitCost:
    """`seconds = fixed + rows * per_row`, learned from commits by a decaying regression."""

    DECAY = 0.85
    GUESS_S, GUESS_PER_ROW_S = 0.05, 20e-6
    # Commits whose sizes differ by less than this, or by less than this part, say nothing about the
    # cost of a row: how long they take differs by more than their rows explain.
    SPREAD_ROWS, SPREAD_PART = 1_000.0, 0.25

    def __init__(self) -> None:
        self._weight, self._rows, self._seconds = 1.0, 0.0, self.GUESS_S
        self._rows_rows = self._rows_seconds = 0.0
        self.fixed_s, self.per_row_s = self.GUESS_S, self.GUESS_PER_ROW_S

    def learn(self, rows: int, seconds: float) -> None:
        """Take one commit into account."""
        decay = self.DECAY
        self._weight = self._weight * decay + 1.0
        self._rows = self._rows * decay + rows
        self._seconds = self._seconds * decay + seconds
        self._rows_rows = self._rows_rows * decay + rows * rows
        self._rows_seconds = self._rows_seconds * decay + rows * seconds
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        variance = max(self._rows_rows / self._weight - mean_rows**2, 0.0)
        together = self._rows_seconds / self._weight - mean_rows * mean_seconds
        doubt = max(self.SPREAD_ROWS, mean_rows * self.SPREAD_PART) ** 2
        slope = (together + doubt * self.GUESS_PER_ROW_S) / (variance + doubt)
        # No row is free, and none costs more than all of it.
        most = mean_seconds / mean_rows if mean_rows else slope
        self.per_row_s = max(min(slope, most), 1e-6)
        self.fixed_s = max(mean_seconds - mean_rows * self.per_row_s, 0.0)

    def seconds(self, rows: float) -> float:
        """What a commit of so many rows takes."""
        return self.fixed_s + rows * self.per_row_s

    def rows_within(self, seconds: float) -> int:
        """How many rows a commit takes in so many seconds."""
        return int(max(seconds - self.fixed_s, 0.0) / self.per_row_s)


class AdaptiveBatches:
    """The controller of one dataset; see the module.

    Args:
        freshness_s: the target: seconds from a row's arrival in Kafka to its commit.
        memory_bytes: this dataset's share of the process's memory for its open batch.
        rows_max: no batch is larger, whatever was learned.
    """

    def __init__(self, *, freshness_s: float, memory_bytes: int, rows_max: int = ROWS_MAX) -> None:
        self._freshness_s = freshness_s
        self._memory_bytes = memory_bytes
        self._rows_max = rows_max
        self._rows_full = min(ROWS_FIRST, rows_max)
        self._cost = CommitCost()
        self._usual_rows = 0.0
        self._usual_seconds = 0.0
        self._usual_rewritten = 0.0

    @property
    def rows_full(self) -> int:
        """See `BatchController`."""
        return self._rows_full

    @property
    def interval_s(self) -> float:
        """See `BatchController`."""
        commit_s = self._cost.seconds(self._usual_rows)
        wanted = max(self._freshness_s * INTERVAL_PART, commit_s)
        at_most = self._freshness_s - 2 * commit_s
        return max(min(wanted, at_most), commit_s / 2, LEAST_INTERVAL_S)

    @property
    def slow(self) -> Slow | None:
        """See `BatchController`."""
        seconds, target = self._usual_seconds, self._freshness_s
        if seconds <= target:
            return None
        says = f"a commit takes {seconds:.1f} s, longer than the freshness target of {target:g} s: "
        if self._cost.fixed_s < seconds / 2:
            return Slow("rows", f"{says}{self._usual_rows:,.0f} rows at a time take that long")
        if self._usual_rewritten >= 1:
            return Slow(
                "rewrite",
                f"{says}the keys of a batch lie in {self._usual_rewritten:.0f} files, which it "
                "rewrites whole",
            )
        return Slow("storage", f"{says}the lake takes that long for {self._usual_rows:,.0f} rows")

    def decide(self, pending: Pending) -> Wait | Close | Pause:
        """See `BatchController`."""
        if not pending.rows:
            if pending.free < RESERVE / 2:
                return Pause(PAUSE_S)
            return Wait(POLL_S, min(FIRST_FETCH_ROWS, self._rows_max))
        if in_memory(pending.rows, pending.bytes) >= self._memory_bytes or pending.free < RESERVE:
            return Close("memory")
        if pending.rows >= self._rows_full:
            return Close("rows")
        if pending.backlog <= self._rows_full * BEHIND_PART:
            left_s = self.interval_s - pending.age_s
            reason = "freshness"
        else:
            left_s = max(self._budget_s, self.interval_s) - pending.age_s
            reason = "age"
        return Close(reason) if left_s <= 0 else Wait(min(POLL_S, left_s), self._room(pending))

    def committed(self, report: CommitReport) -> None:
        """See `BatchController`."""
        if not report.rows:
            return
        self._cost.learn(report.rows, report.seconds)
        self._usual_rows = _towards(self._usual_rows, report.rows)
        self._usual_seconds = _towards(self._usual_seconds, report.seconds)
        self._usual_rewritten = _towards(self._usual_rewritten, report.files_rewritten)
        wanted = self._cost.rows_within(self._budget_s)
        full = max(min(wanted, self._rows_full * 2), self._rows_full // 2, ROWS_MIN)
        self._rows_full = min(full, self._rows_max)

    @property
    def _budget_s(self) -> float:
        """What a commit of a full batch may take."""
        fixed_s = self._cost.fixed_s
        return max(self._freshness_s / 2, fixed_s + 4 * fixed_s)

    def _room(self, pending: Pending) -> int:
        """Few at a time when messages are big, so that the share of memory is hardly overrun."""
        each = max(in_memory(pending.rows, pending.bytes) // pending.rows, 1)
        left = self._memory_bytes - in_memory(pending.rows, pending.bytes)
        room = min(FETCH_ROWS, self._rows_full - pending.rows, left // each + 1)
        return max(room, 1)


def in_memory(rows: int, size: int) -> int:
    """Bytes a batch takes in memory, from the bytes of its messages."""
    return size * BYTES_PER_BYTE + rows * BYTES_PER_ROW


def _towards(usual: float, now: float) -> float:
    return now if not usual else usual * 0.7 + now * 0.3
