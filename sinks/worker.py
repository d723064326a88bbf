"""One dataset, while its bucket is ours: waits for its topic, then reads, commits, maintains.

Everything it knows it reads from the table and from Kafka when a session begins, and forgets when
something is odd: a session that fails begins anew, one that finds another owner in its table ends,
and the process rejoins its group as a new member. Only a GAP or a message of a newer release stops
a dataset for good.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

from bridge.wire.errors import TailraceError
from bridge.wire.turns import Turns
from sinks import failpoints, metrics
from sinks.controller import CommitReport
from sinks.maintenance import Caretaker
from sinks.protocol import Committed, PositionsMovedError
from sinks.rebuilding import Rebuilding
from sinks.rows import Batch
from sinks.session import Session, SessionOpener
from sinks.upkeep import FileFacts

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
# A generation is put in its table's place when it is at most so far behind.
LEVEL_S = 15.0
# Shorter hiccups are not worth an alarm.
STALL_S = 10.0
REST_LOOK_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One dataset as seen from outside; `stalled` is None while all is well.

    `building` is the generation that is being built beside the table, None if none is; `slow` says
    why a single commit takes longer than the freshness target, None while none does.
    """

    dataset: str
    phase: str
    version: int
    loading: bool
    stalled: str | None
    generation: int = 1
    building: int | None = None
    slow: str | None = None


class DatasetWorker:
    """Runs one dataset in a thread of its own.

    Args:
        opener: begins sessions.
        still_ours: whether the lease says that the dataset's bucket is ours.
        fenced: called when another owner was found in the table.
        resting: whether a person paused the dataset; then it has no session, and reads nothing.
    """

    def __init__(
        self,
        opener: SessionOpener,
        *,
        still_ours: Callable[[], bool],
        fenced: Callable[[], None],
        resting: Callable[[], bool] = lambda: False,
    ) -> None:
        self.dataset = opener.label
        self.failure: TailraceError | None = None
        self._opener = opener
        self._failpoint = opener.failpoint
        self._still_ours = still_ours
        self._fenced = fenced
        self._resting = resting
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink-{self.dataset}", daemon=True)
        self._phase = "starting"
        self._trouble: tuple[str, float] | None = None
        self._session: Session | None = None
        self._backoff_s = BACKOFF_FIRST_S
        self._passed: Mapping[int, int] = {}
        self._lag_s = float("inf")
        self._oldest_ms: int | None = None
        self._turns = Turns()
        self._table_bytes = 0
        self._rebuilding = self._new_rebuilding() if opener.building is None else None

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Commit what is in hand and end."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Whether it has ended within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> WorkerStatus:
        """How it is doing."""
        session = self._session
        return WorkerStatus(
            dataset=self.dataset,
            phase=self._phase,
            version=session.writer.version if session else -1,
            loading=session is not None and session.loading,
            stalled=self._stalled(session),
            generation=session.generation if session else 1,
            building=self._rebuilding.number if self._rebuilding else None,
            slow=session.controller.slow.reason if session and session.controller.slow else None,
        )

    @property
    def failed(self) -> str | None:
        """Why it has stopped for good."""
        return str(self.failure) if self.failure is not None else None

    @property
    def level(self) -> bool:
        """Whether its table has all items of the source and follows closely."""
        session = self._session
        complete = session is not None and session.writer.ledger.complete
        return complete and self._lag_s < LEVEL_S

    @property
    def passed(self) -> Mapping[int, int]:
        """Offsets up to which all rows are in the table, as last seen."""
        return self._passed

    def _new_rebuilding(self) -> Rebuilding:
        opener = self._opener

        def builder(generation: int) -> DatasetWorker:
            hidden = replace(opener, building=generation)
            return DatasetWorker(
                hidden,
                still_ours=self._still_ours,
                fenced=lambda: None,
                resting=self._resting,
            )

        return Rebuilding(
            opener.kafka,
            dataset=opener.target.dataset.id,
            tables=opener.target.tables,
            follower=opener.follower,
            new_builder=builder,
            holds=lambda: self._still_ours() and not self._stop.is_set(),
        )

    def _stalled(self, session: Session | None) -> str | None:
        if self.failure is not None:
            return str(self.failure)
        if self._trouble is not None:
            cause, since_s = self._trouble
            for_s = time.monotonic() - since_s
            if for_s >= STALL_S:
                return f"dataset {self.dataset} makes no progress for {for_s:.0f} s: {cause}"
        trouble = (session.intake.trouble if session else None) or self._turns.problem
        return f"dataset {self.dataset}: {trouble}" if trouble else None

    def _shown_lag_s(self) -> float:
        """For the gauge: it grows while a batch is in hand, however long its commit takes."""
        if self._oldest_ms is not None:
            return max(time.time() - self._oldest_ms / 1000, 0.0)
        return self._lag_s if self._lag_s < float("inf") else 0.0

    def _run(self) -> None:
        metrics.LAG_SECONDS.labels(self.dataset).set_function(self._shown_lag_s)
        try:
            while not self._stop.is_set():
                if self._run_session():
                    return
                self._stop.wait(self._backoff_s)
                self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)
        finally:
            self._turns.rest()
            if self._rebuilding is not None:
                self._rebuilding.stop()

    def _run_session(self) -> bool:
        """One session to its end; whether it was the last one."""
        try:
            return not self._one_session()
        except PositionsMovedError as error:
            logger.warning("fenced", extra={"dataset": self.dataset, "cause": str(error)})
            self._fenced()
            return self._opener.building is None  # a builder's fate is its table's owner's
        except TailraceError as error:
            if error.retryable:
                self._note(str(error))
                logger.warning("session ended", extra={"cause": str(error)})
                return False
            self.failure = error
            logger.error("dataset stopped", extra={"cause": str(error)})  # noqa: TRY400
        except Exception as error:  # a defect of ours must show, not hide in a dead thread
            logger.exception("dataset stopped", extra={"dataset": self.dataset})
            self.failure = TailraceError(
                f"unexpected {type(error).__name__}", where=f"dataset {self.dataset}"
            )
        return True

    def _one_session(self) -> bool:
        """Whether another one is to follow: the table has changed over, or is to rest."""
        if not self._rest():
            return False
        self._phase = "waiting"
        self._turns.turn("beginning")
        session = self._opener.open(self._stop, self._note)
        if session is None:
            return False
        self._session = session
        self._phase = "running"
        self._trouble = None
        self._backoff_s = BACKOFF_FIRST_S
        caretaker = self._caretaker(session)
        try:
            session.show()
            self._show_files(caretaker, self._until_done(caretaker.look))
            while self._still_ours():
                self._turns.turn("a look at the table")
                self._until_done(session.writer.seal_what_is_due)
                if self._stop.is_set():
                    break
                if self._resting():
                    session.intake.recorded(session.writer.ledger.offsets)
                    return True
                self._step(session, caretaker)
                if self._changed_over(session):
                    return True
            session.intake.recorded(session.writer.ledger.offsets)
        finally:
            self._session = None
            session.close()
        return False

    def _rest(self) -> bool:
        """Wait while the dataset is paused; whether it is still ours to go on with."""
        while self._resting():
            self._phase, self._trouble = "paused", None
            self._turns.turn("a pause")
            if self._stop.wait(REST_LOOK_S) or not self._still_ours():
                return False
        return True

    def _changed_over(self, session: Session) -> bool:
        """Whether the table is at another generation now than the session."""
        if self._rebuilding is None:
            return False
        generation = self._rebuilding.ready(session.generation)
        if generation is None:
            return False
        self._until_done(lambda: self._opener.change_over(session, generation))
        return True

    def _step(self, session: Session, caretaker: Caretaker) -> None:
        batch = session.intake.fill(self._stop, lambda: self._turns.turn("reading"))
        if batch is None:
            metrics.LAG_ROWS.labels(self.dataset).set(session.intake.backlog)
            self._passed, self._lag_s = session.intake.passed(), 0.0
            return
        self._oldest_ms = batch.oldest_ms
        try:
            self._take_in(session, caretaker, batch)
        finally:
            self._oldest_ms = None

    def _take_in(self, session: Session, caretaker: Caretaker, batch: Batch) -> None:
        asked_s = time.monotonic()
        self._turns.turn("waiting for memory to commit")
        memory = self._opener.memory
        wanted = memory.expected(batch.bytes, self._table_bytes)
        with memory.reserved(wanted, lambda: not self._still_ours()) as ready:
            if not ready:
                return  # the next owner reads it again
            started_s = time.monotonic()
            self._turns.turn("a commit")
            metrics.WAITED_SECONDS.labels(self.dataset).inc(started_s - asked_s)
            done = self._commit(session, batch)
        if done is None:
            return
        seconds = time.monotonic() - started_s
        report = CommitReport(len(batch.rows), batch.bytes, seconds, done.files_rewritten)
        session.controller.committed(report)
        caretaker.merged((row.key for row in batch.rows), len(batch.rows), done.files_rewritten)
        session.count(batch, done, seconds)
        self._failpoint(failpoints.BEFORE_OFFSETS)
        session.intake.recorded(session.writer.ledger.offsets)
        self._failpoint(failpoints.AFTER_OFFSETS)
        self._passed = dict(session.writer.ledger.offsets)
        self._lag_s = max(time.time() - batch.oldest_ms / 1000, 0.0) if batch.oldest_ms else 0.0
        self._oldest_ms = None
        self._maintain(session, caretaker)

    def _commit(self, session: Session, batch: Batch) -> Committed | None:
        """Commit the batch; None if it was dropped because a commit of ours had landed."""
        writer, intake = session.writer, session.intake
        try:
            known = session.schemas.known
            return self._until_done(lambda: writer.commit(batch, known))
        except PositionsMovedError as error:
            if not error.by_us:
                raise
            logger.info("an answer was lost, the commit was not", extra={"cause": str(error)})
            writer.drop()
            intake.read_from({**session.start, **error.offsets})
            intake.recorded(error.offsets)
            return None

    def _until_done(self, attempt: Callable[[], T]) -> T:
        """Try until it works; the outside sees how long it has not."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                result = attempt()
            except TailraceError as error:
                if not error.retryable or isinstance(error, PositionsMovedError):
                    raise
                metrics.COMMIT_RETRIES.labels(self.dataset).inc()
                self._note(str(error))
                logger.warning("commit failed", extra={"cause": str(error)})
                if self._stop.wait(backoff_s) or not self._still_ours():
                    raise
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
            else:
                self._trouble = None
                return result

    def _maintain(self, session: Session, caretaker: Caretaker) -> None:
        if not self._still_ours():
            return
        self._turns.turn("maintenance")
        started_s = time.monotonic()
        facts = self._until_done(lambda: caretaker.look_after(session.writer.version))
        if facts is not None:
            seconds = time.monotonic() - started_s
            metrics.MAINTENANCE_SECONDS.labels(self.dataset).inc(seconds)
            self._show_files(caretaker, facts)
            session.tend_tombstones()

    def _caretaker(self, session: Session) -> Caretaker:
        memory = self._opener.memory

        def admitted(size: int) -> AbstractContextManager[bool]:
            return memory.reserved(memory.expected(size, 0), lambda: not self._still_ours())

        return Caretaker(
            session.writer.fresh,
            time.time,
            self._failpoint,
            admitted=admitted,
            goes_on=self._sorts_on,
        )

    def _sorts_on(self) -> bool:
        self._turns.turn("maintenance")
        return self._still_ours() and not self._stop.is_set()

    def _show_files(self, caretaker: Caretaker, facts: FileFacts | None) -> None:
        if facts is None:
            return
        metrics.TABLE_FILES.labels(self.dataset).set(facts.files)
        metrics.TABLE_BYTES.labels(self.dataset).set(facts.bytes)
        metrics.TABLE_LOOKUP_FILES.labels(self.dataset).set(facts.lookup_files)
        if caretaker.optimized_at_s is not None:
            metrics.LAST_OPTIMIZE.labels(self.dataset).set(caretaker.optimized_at_s)
        self._table_bytes = facts.bytes

    def _note(self, cause: str) -> None:
        self._turns.turn("another attempt")
        since_s = self._trouble[1] if self._trouble else time.monotonic()
        self._trouble = (cause, since_s)
