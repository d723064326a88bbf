"""Looks at the pipeline again and again, in a thread of its own, and writes it on the board."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bridge.control.ui.details import DetailReader
from bridge.control.ui.flows import Flows
from bridge.control.ui.probing import Probes, addresses
from bridge.wire.errors import TailraceError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.control.status.facts import Facts, Route
    from bridge.control.status.model import Status
    from bridge.control.ui.board import Board
    from sinks.commits import CommitLog

logger = logging.getLogger(__name__)

LOOK_S = 2.0
_AGAIN_S = 1.0
# Tables found by tags, and files that changed, are looked up again.
_FILES_S = 60.0
# A look that takes longer is given company, by so many at most.
_HANGS_S = 12.0
_LOOKERS = 3


class Sampler:
    """Fills a board from Kafka and the lake, until closed.

    Args:
        board: what to fill.
        settings: with brokers.
        targets: the transform files.
    """

    def __init__(self, board: Board, settings: Settings, targets: Sequence[str]) -> None:
        self._board = board
        self._settings = settings
        self._targets = tuple(targets)
        self._stop = threading.Event()
        self._routes: Sequence[Route] = ()
        self._flows = Flows()
        self._lock = threading.Lock()
        self._turn = self._seen_by = 0
        self._answered_s = self._seen_at_s = 0.0
        self._details = DetailReader(
            settings.kafka_config(),
            lambda: self._routes,
            self._open_log if settings.lake else None,
        )
        self._threads = [
            threading.Thread(target=self._run, name="page-status", daemon=True),
            threading.Thread(
                target=self._details.run, args=(self._stop,), name="page-details", daemon=True
            ),
            threading.Thread(target=self._probe, name="page-probes", daemon=True),
        ]
        self._addresses: Sequence[str] = ()

    def start(self) -> None:
        """Begin looking."""
        self._board.begin()
        self._board.details = self._details.get
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Look no more: the board stays as it is."""
        self._stop.set()
        self._details.wake()

    def close(self) -> None:
        """End looking; a request that hangs is not waited for long."""
        self.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(2)

    def _open_log(self, dataset: str) -> CommitLog:
        from sinks.commits import CommitLog

        options = self._settings.storage_options()
        return CommitLog(self._settings.lake_uri(), dataset, options)

    def _run(self) -> None:
        """Have one thread look; where it hangs, another one, with clients of its own.

        What answers late is as good: whoever has seen something last goes on alone.
        """
        _load()
        self._board.begin()
        lookers: dict[int, threading.Thread] = {}
        turns = itertools.count(1)
        while not self._stop.is_set():
            lookers = {turn: thread for turn, thread in lookers.items() if thread.is_alive()}
            with self._lock:
                hangs = time.monotonic() - self._answered_s > _HANGS_S
                wanted = hangs or self._turn not in lookers
                if wanted and len(lookers) < _LOOKERS:
                    self._turn, self._answered_s = next(turns), time.monotonic()
                    lookers[self._turn] = self._looker(self._turn)
            self._stop.wait(_AGAIN_S)

    def _looker(self, turn: int) -> threading.Thread:
        name = f"page-look-{turn}"
        thread = threading.Thread(target=self._look, args=(turn,), name=name, daemon=True)
        thread.start()
        return thread

    def _look(self, turn: int) -> None:
        """Look until the files are to be read again, until it fails, or until another one does."""
        try:
            self._look_for_a_while(turn)
        except TailraceError as error:
            self._failed(turn, str(error))
        except Exception as error:  # whatever it is, the page says it and goes on looking
            logger.debug("page", exc_info=error)
            self._failed(turn, f"unexpected {type(error).__name__}: {error}")

    def _look_for_a_while(self, turn: int) -> None:
        from bridge.control.status.assess import assess
        from bridge.control.status.command import collector

        with collector(self._settings, self._targets) as source:
            for began_s in self._looks():
                facts = source.collect()
                if not self._seen(turn, facts, assess(facts)):
                    return
                self._stop.wait(max(0.2, LOOK_S - (time.monotonic() - began_s)))

    def _seen(self, turn: int, facts: Facts, status: Status) -> bool:
        """Write it on the board; whether this is the one to look on."""
        with self._lock:
            if self._stop.is_set() or facts.at_s < self._seen_at_s:
                return False
            if turn != self._turn and self._seen_by == self._turn:
                return False  # the later one is through as well
            self._seen_by = self._turn = turn
            self._seen_at_s, self._answered_s = facts.at_s, time.monotonic()
            self._routes = facts.routes
            self._addresses = addresses(status.workers)
            self._board.observe(status, self._flows.observe(facts))
            return True

    def _failed(self, turn: int, problem: str) -> None:
        with self._lock:
            if turn == self._turn and not self._stop.is_set():
                self._answered_s = time.monotonic()
                self._board.fail(problem)

    def _looks(self) -> Iterator[float]:
        until_s = time.monotonic() + _FILES_S
        while not self._stop.is_set() and time.monotonic() < until_s:
            yield time.monotonic()

    def _probe(self) -> None:
        probes = Probes()
        while not self._stop.wait(LOOK_S):
            with contextlib.suppress(RuntimeError):  # the interpreter is on its way out
                self._board.refuses(probes.probe(self._addresses))


def _load() -> None:
    """Load the packages first: where nothing is compiled yet it takes seconds of processor time."""
    with contextlib.suppress(ImportError):  # the first look says what is missing
        importlib.import_module("bridge.control.status.assess")
        importlib.import_module("bridge.control.status.collect")
        importlib.import_module("sinks.table")
