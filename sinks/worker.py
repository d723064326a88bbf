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
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bridge.wire.errors import TailraceError
from sinks import failpoints, metrics
from sinks.controller import CommitReport
from sinks.maintenance import Caretaker
from sinks.protocol import Committed, PositionsMovedError
from sinks.rows import Batch
from sinks.session import Session, SessionOpener

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
# Shorter hiccups are not worth an alarm.
STALL_S = 10.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One dataset as seen from outside; `stalled` is None while all is well."""

    dataset: str
    phase: str
    version: int
    loading: bool
    stalled: str | None


class DatasetWorker:
    """Runs one dataset in a thread of its own.

    Args:
        opener: begins sessions.
        still_ours: whether the lease says that the dataset's bucket is ours.
        fenced: called when another owner was found in the table.
    """

    def __init__(
        self,
        opener: SessionOpener,
        *,
        still_ours: Callable[[], bool],
        fenced: Callable[[], None],
    ) -> None:
        self.dataset = opener.target.dataset.id
        self.failure: TailraceError | None = None
        self._opener = opener
        self._failpoint = opener.failpoint
        self._still_ours = still_ours
        self._fenced = fenced
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink-{self.dataset}", daemon=True)
        self._phase = "starting"
        self._trouble: tuple[str, float] | None = None
        self._session: Session | None = None
        self._backoff_s = BACKOFF_FIRST_S

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
        )

    def _stalled(self, session: Session | None) -> str | None:
        if self.failure is not None:
            return str(self.failure)
        if self._trouble is not None:
            cause, since_s = self._trouble
            for_s = time.monotonic() - since_s
            if for_s >= STALL_S:
                return f"dataset {self.dataset} makes no progress for {for_s:.0f} s: {cause}"
        trouble = session.intake.trouble if session else None
        return f"dataset {self.dataset}: {trouble}" if trouble else None

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._run_session():
                return
            self._stop.wait(self._backoff_s)
            self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)

    def _run_session(self) -> bool:
        """One session to its end; whether it was the last one."""
        try:
            self._one_session()
        except PositionsMovedError as error:
            logger.warning("fenced", extra={"dataset": self.dataset, "cause": str(error)})
            self._fenced()
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

    def _one_session(self) -> None:
        self._phase = "waiting"
        session = self._opener.open(self._stop, self._note)
        if session is None:
            return
        self._session = session
        self._phase = "running"
        self._trouble = None
        self._backoff_s = BACKOFF_FIRST_S
        caretaker = Caretaker(session.writer.fresh, time.monotonic, self._failpoint)
        try:
            session.show()
            while self._still_ours():
                self._until_done(session.writer.seal_what_is_due)
                if self._stop.is_set():
                    break
                self._step(session, caretaker)
            session.intake.recorded(session.writer.ledger.offsets)
        finally:
            self._session = None
            session.close()

    def _step(self, session: Session, caretaker: Caretaker) -> None:
        batch = session.intake.fill(self._stop)
        if batch is None:
            metrics.LAG_SECONDS.labels(self.dataset).set(0)
            return
        started_s = time.monotonic()
        done = self._commit(session, batch)
        if done is None:
            return
        seconds = time.monotonic() - started_s
        session.controller.committed(CommitReport(len(batch.rows), batch.bytes, seconds))
        session.count(batch, done, seconds)
        self._failpoint(failpoints.BEFORE_OFFSETS)
        session.intake.recorded(session.writer.ledger.offsets)
        self._failpoint(failpoints.AFTER_OFFSETS)
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
        facts = self._until_done(lambda: caretaker.look_after(session.writer.version))
        if facts is not None:
            metrics.TABLE_FILES.labels(self.dataset).set(facts.files)
            metrics.TABLE_BYTES.labels(self.dataset).set(facts.bytes)
            session.tend_tombstones()

    def _note(self, cause: str) -> None:
        since_s = self._trouble[1] if self._trouble else time.monotonic()
        self._trouble = (cause, since_s)
