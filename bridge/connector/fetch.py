"""Driving the readers: a bounded pool of threads asks AWS for whoever is due, when there is room.

Nothing here runs inside a transaction. What was read and is not committed yet is counted in bytes;
above the limit nobody asks for more, so memory stays bounded however long Kafka is away.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

logger = logging.getLogger(__name__)


class Task(Protocol):
    """Something that asks AWS again and again."""

    def step(self) -> float | None:
        """Ask once; seconds until the next time, None when it is over."""


@dataclass(slots=True)
class Budget:
    """Bytes read and not committed yet, of at most about `limit_bytes`."""

    limit_bytes: int
    used_bytes: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, size_bytes: int) -> None:
        """Count bytes that were read."""
        with self._changed:
            self.used_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """Bytes were committed or dropped."""
        with self._changed:
            self.used_bytes -= size_bytes
            self._changed.notify_all()

    def await_room(self, stopped: Callable[[], bool]) -> None:
        """Wait until less than the limit is in use, or `stopped`."""
        with self._changed:
            while self.used_bytes >= self.limit_bytes and not stopped():
                self._changed.wait(0.5)


class Pool:
    """Runs tasks when they are due, each in one thread at a time.

    Args:
        threads: how many calls may be under way at once.
        budget: nobody asks while it is used up.
        crashed: told about an exception no task may raise.
        leave: called in each thread at its end, to close what belongs to it.
    """

    def __init__(
        self,
        threads: int,
        budget: Budget,
        *,
        crashed: Callable[[BaseException], None],
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        self._budget = budget
        self._crashed = crashed
        self._leave = leave
        self._due: list[tuple[float, int, Task]] = []
        self._order = itertools.count()
        # One thread watches the clock for whoever is due next, the others rest without one: with
        # sixteen of them watching, each call of an idle shard woke fifteen for nothing, and that
        # cost five times the call.
        lock = threading.Lock()
        self._watch = threading.Condition(lock)
        self._rest = threading.Condition(lock)
        self.watched = False
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._run, name=f"connector-fetch-{n}", daemon=True)
            for n in range(threads)
        ]

    def start(self) -> None:
        """Begin to run tasks."""
        for thread in self._threads:
            thread.start()

    def add(self, task: Task, delay_s: float = 0.0) -> None:
        """Run a task from now on, until it says that it is over."""
        with self._watch:
            entry = (time.monotonic() + delay_s, next(self._order), task)
            heapq.heappush(self._due, entry)
            if self._due[0] is entry:
                self._watch.notify()  # it waits for a later one

    def stop(self, timeout_s: float = 5.0) -> None:
        """Run nothing more; calls under way are waited for so long, their threads are daemons."""
        with self._watch:
            self._stopped = True
            self._watch.notify_all()
            self._rest.notify_all()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                delay_s = task.step()
            except BaseException as error:
                self._crashed(error)
                break
            if delay_s is not None:
                self.add(task, delay_s)
        self._leave()

    def _next(self) -> Task | None:
        self._budget.await_room(lambda: self._stopped)
        with self._watch:
            while not self._stopped:
                wait_s = self._due[0][0] - time.monotonic() if self._due else 1.0
                if self._due and wait_s <= 0:
                    task = heapq.heappop(self._due)[2]
                    if not self.watched:
                        self._rest.notify()  # somebody else watches while we ask
                    return task
                if self.watched:
                    self._rest.wait()
                    continue
                self.watched = True
                self._watch.wait(min(wait_s, 1.0))
                self.watched = False
        return None
