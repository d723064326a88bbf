"""The pool: who is due is asked, in one thread at a time, and nobody while memory is full."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bridge.connector.fetch import Budget, Pool
from tests.parts.waiting import wait_until


class Counting:
    """Steps so many times."""

    def __init__(self, steps: int, act: Callable[[], None] = lambda: None) -> None:
        self.left = steps
        self.over = threading.Event()
        self._act = act
        self._busy = threading.Lock()

    def step(self) -> float | None:
        assert self._busy.acquire(blocking=False), "two threads run one task"
        try:
            self._act()
            self.left -= 1
            if self.left > 0:
                return 0.0
            self.over.set()
            return None
        finally:
            self._busy.release()


def pool(budget: Budget, crashes: list[BaseException]) -> Pool:
    started = Pool(4, budget, crashed=crashes.append)
    started.start()
    return started


def test_every_task_is_run_to_its_end() -> None:
    crashes: list[BaseException] = []
    running = pool(Budget(100), crashes)
    tasks = [Counting(50) for _ in range(20)]
    for task in tasks:
        running.add(task)
    for task in tasks:
        assert task.over.wait(10)
    running.stop()
    assert crashes == []


def test_nobody_asks_while_the_budget_is_used_up() -> None:
    budget = Budget(100)
    budget.take(100)
    running = pool(budget, [])
    task = Counting(1)
    running.add(task)
    assert not task.over.wait(0.3)
    budget.give(1)
    assert task.over.wait(5)
    running.stop()


def test_what_no_task_may_raise_is_reported() -> None:
    crashes: list[BaseException] = []
    running = pool(Budget(100), crashes)

    def fail() -> None:
        raise KeyError("a mistake of ours")

    running.add(Counting(1, fail))
    wait_until(lambda: crashes, timeout_s=5, what="the crash")
    running.stop()


def test_it_stops_while_tasks_wait() -> None:
    budget = Budget(1)
    budget.take(1)
    running = pool(budget, [])
    running.add(Counting(1))
    running.stop(timeout_s=5)
    assert not any(thread.name.startswith("connector-fetch") for thread in threading.enumerate())


def test_who_is_due_sooner_is_not_kept_by_who_is_due_later() -> None:
    running = pool(Budget(100), [])
    running.add(Counting(1), 30.0)
    wait_until(lambda: running.watched, timeout_s=5, what="somebody to watch")
    soon = [Counting(1) for _ in range(20)]
    for place, task in enumerate(soon):
        running.add(task, place * 0.01)
    for task in soon:
        assert task.over.wait(5)
    running.stop()


def test_one_thread_watches_while_all_others_ask() -> None:
    running = pool(Budget(100), [])
    together = threading.Barrier(4)
    tasks = [Counting(3, lambda: together.wait(5) and None) for _ in range(4)]
    for task in tasks:
        running.add(task, 0.05)
    for task in tasks:
        assert task.over.wait(10)
    wait_until(lambda: running.watched, timeout_s=5, what="somebody to watch again")
    running.stop()
