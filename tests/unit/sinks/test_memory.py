"""The memory of a process: shares, turns, and nobody starved."""

from __future__ import annotations

import threading

import pytest

from sinks.memory import GIGABYTE, PREFETCH_LEAST, Memory, resident_bytes
from tests.parts.waiting import wait_until

MEGABYTE = 1024**2


def test_shares_and_what_clients_hold_fit_under_the_ceiling_together():
    for datasets in (1, 2, 8, 100):
        memory = Memory(2 * GIGABYTE, datasets)
        full = min(datasets, 8)
        assert full * memory.batch_bytes + memory.expected(0, 100 * GIGABYTE) < 2 * GIGABYTE
        assert datasets * memory.prefetch_bytes <= max(GIGABYTE / 8, datasets * PREFETCH_LEAST)


@pytest.mark.parametrize(("resident", "free"), [(0, 1.0), (GIGABYTE, 0.5), (3 * GIGABYTE, 0.0)])
def test_what_is_free_is_measured(resident, free):
    assert Memory(2 * GIGABYTE, resident=lambda: resident).free == free


def test_this_process_takes_something():
    assert resident_bytes() > 10 * MEGABYTE


def hold(memory, wanted, log, name, until):
    def run():
        with memory.reserved(wanted, lambda: False) as granted:
            assert granted
            log.append(name)
            until.wait(30)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_huge_commit_leaves_room_for_small_ones():
    memory, log, end = Memory(2 * GIGABYTE), [], threading.Event()
    huge = memory.expected(0, 1_000 * GIGABYTE)
    threads = [hold(memory, huge, log, "huge", end)]
    wait_until(lambda: log == ["huge"], timeout_s=10, what="the huge one")
    threads += [hold(memory, memory.expected(1, 1), log, "small", end) for _ in range(5)]
    wait_until(lambda: log.count("small") == 5, timeout_s=10, what="the small ones")
    end.set()
    [thread.join(10) for thread in threads]


def test_nobody_overtakes_so_the_huge_one_gets_its_turn():
    memory, log = Memory(2 * GIGABYTE), []
    huge = memory.expected(0, 1_000 * GIGABYTE)
    one, other, later = threading.Event(), threading.Event(), threading.Event()
    holders = [hold(memory, huge, log, "first", one), hold(memory, huge, log, "first", other)]
    wait_until(lambda: len(log) == 2, timeout_s=10, what="both halves taken")
    waiting = hold(memory, huge, log, "huge", later)
    wait_until(lambda: len(memory._turns) == 1, timeout_s=10, what="the third to ask")
    small = hold(memory, 24 * MEGABYTE, log, "small", later)
    wait_until(lambda: len(memory._turns) == 2, timeout_s=10, what="the small one to ask")
    one.set()
    wait_until(lambda: len(log) == 3, timeout_s=10, what="a turn")
    assert log[2] == "huge"
    other.set()
    wait_until(lambda: len(log) == 4, timeout_s=10, what="the next turn")
    later.set()
    [thread.join(10) for thread in (*holders, waiting, small)]


def test_who_gives_up_leaves_the_queue():
    memory, log, end = Memory(2 * GIGABYTE), [], threading.Event()
    huge = memory.expected(0, 1_000 * GIGABYTE)
    threads = [hold(memory, huge, log, "huge", end) for _ in range(2)]
    wait_until(lambda: len(log) == 2, timeout_s=10, what="both halves taken")
    with memory.reserved(huge, lambda: True) as granted:
        assert not granted
    assert not memory._turns
    end.set()
    [thread.join(10) for thread in threads]


def test_one_that_wants_more_than_there_is_still_runs_alone():
    memory = Memory(GIGABYTE // 2)
    with memory.reserved(10 * GIGABYTE, lambda: False) as granted:
        assert granted
