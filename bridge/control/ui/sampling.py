"""Looks at the pipeline again and again, in a thread of its own, and writes it on the board."""

from __future__ import annotations

import contextlib
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
    from bridge.control.status.facts import Route
    from bridge.control.ui.board import Board
    from sinks.commits import CommitLog

logger = logging.getLogger(__name__)

LOOK_S = 2.0
_AGAIN_S = 1.0
# Tables found by tags, and files that changed, are looked up again.
_FILES_S = 60.0


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
        flows = Flows()
        while not self._stop.is_set():
            try:
                self._look_for_a_while(flows)
            except TailraceError as error:
                self._board.fail(str(error))
            except Exception as error:  # whatever it is, the page says it and goes on looking
                logger.debug("page", exc_info=error)
                self._board.fail(f"unexpected {type(error).__name__}: {error}")
            self._stop.wait(_AGAIN_S)

    def _look_for_a_while(self, flows: Flows) -> None:
        from bridge.control.status.assess import assess
        from bridge.control.status.command import collector

        with collector(self._settings, self._targets) as source:
            for began_s in self._looks():
                facts = source.collect()
                status = assess(facts)
                self._routes = facts.routes
                self._addresses = addresses(status.workers)
                if not self._stop.is_set():
                    self._board.observe(status, flows.observe(facts))
                self._stop.wait(max(0.2, LOOK_S - (time.monotonic() - began_s)))

    def _looks(self) -> Iterator[float]:
        until_s = time.monotonic() + _FILES_S
        while not self._stop.is_set() and time.monotonic() < until_s:
            yield time.monotonic()

    def _probe(self) -> None:
        probes = Probes()
        while not self._stop.wait(LOOK_S):
            with contextlib.suppress(RuntimeError):  # the interpreter is on its way out
                self._board.refuses(probes.probe(self._addresses))
