"""The controller against a simulated sink: load steps, spikes, stalls, slow merges, big items."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, pstdev

import pytest

from sinks.controller import (
    RESERVE,
    ROWS_MIN,
    AdaptiveBatches,
    Close,
    CommitReport,
    Pause,
    Pending,
    Wait,
    in_memory,
)

TARGET_S = 5.0
MEGABYTE = 1024**2


@dataclass
class Batch:
    at_s: float
    rows: int
    bytes: int
    seconds: float
    fresh_s: float
    reason: str


@dataclass
class Simulation:
    """Rows arrive at `rate(t)` a second; a commit takes `cost(rows, t)` seconds."""

    rate: Callable[[float], float]
    cost: Callable[[int, float], float]
    row_bytes: int = 300
    memory_bytes: int = 700 * MEGABYTE
    read_rate: float = 60_000.0
    noise: float = 0.15
    free: Callable[[float], float] = lambda _t: 1.0
    files_rewritten: int = 0
    batches: list[Batch] = field(default_factory=list)

    def run(self, seconds: float, seed: int = 1) -> AdaptiveBatches:
        dice = random.Random(seed)
        controller = AdaptiveBatches(freshness_s=TARGET_S, memory_bytes=self.memory_bytes)
        now = counted = arrived = read = 0.0
        waiting: list[tuple[float, float]] = []  # (arrival, rows) not committed, oldest first
        opened, rows = 0.0, 0

        def pass_time(until: float) -> None:
            nonlocal counted, arrived
            while counted < until:
                step = min(0.1, until - counted)
                came = self.rate(counted) * step
                if came:
                    waiting.append((counted, came))
                    arrived += came
                counted += step

        while now < seconds:
            pass_time(now)
            backlog = int(arrived - read)
            pending = Pending(
                rows, rows * self.row_bytes, now - opened if rows else 0.0, backlog, self.free(now)
            )
            decision = controller.decide(pending)
            if isinstance(decision, Close):
                took = self.cost(rows, now) * dice.uniform(1 - self.noise, 1 + self.noise)
                report = CommitReport(rows, pending.bytes, took, self.files_rewritten)
                now += took
                oldest = self._take(waiting, rows)
                self.batches.append(
                    Batch(now, rows, pending.bytes, took, now - oldest, decision.reason)
                )
                controller.committed(report)
                rows = 0
            elif isinstance(decision, Pause):
                now += decision.seconds
            else:
                assert decision.timeout_s > 0 or decision.rows > 0
                take = min(decision.rows, backlog)
                if take:
                    opened = now if not rows else opened
                    rows, read = rows + take, read + take
                    now += max(take / self.read_rate, 0.001)
                else:
                    now += max(decision.timeout_s, 0.001)
        return controller

    @staticmethod
    def _take(waiting, rows) -> float:
        oldest, left = waiting[0][0], float(rows)
        while waiting and left >= waiting[0][1]:
            left -= waiting.pop(0)[1]
        if waiting and left > 0:
            waiting[0] = (waiting[0][0], waiting[0][1] - left)
        return oldest

    def after(self, start_s: float, end_s: float = float("inf")) -> list[Batch]:
        return [batch for batch in self.batches if start_s <= batch.at_s < end_s]


def quick(rows: int, _t: float) -> float:
    return 0.03 + rows * 25e-6


def rewriting(fixed_s: float, per_row_s: float = 15e-6):
    return lambda rows, _t: fixed_s + rows * per_row_s


@pytest.mark.parametrize("rate", [3, 100, 2_000, 15_000])
def test_calm_load_is_committed_small_fresh_and_not_all_the_time(rate):
    world = Simulation(lambda _t: rate, quick)
    world.run(60)
    settled = world.after(20)
    assert max(batch.fresh_s for batch in settled) < TARGET_S
    assert mean(batch.fresh_s for batch in settled) < TARGET_S / 2
    assert len(settled) < 40 * 2, "a commit each second is often enough"
    assert {batch.reason for batch in settled} == {"freshness"}


@pytest.mark.parametrize("fixed_s", [0.5, 1.5, 2.0])
def test_freshness_is_held_where_it_can_be(fixed_s):
    world = Simulation(lambda _t: 1_000, rewriting(fixed_s), noise=0.05)
    world.run(100)
    assert max(batch.fresh_s for batch in world.after(40)) < TARGET_S * 1.15


def test_a_merge_slower_than_the_target_leaves_a_third_of_the_time_and_says_why():
    world = Simulation(lambda _t: 1_000, rewriting(8.0), files_rewritten=40)
    controller = world.run(300)
    settled = world.after(60)
    assert sum(batch.seconds for batch in settled) < 240 * 0.75
    assert max(batch.fresh_s for batch in settled) < 8.0 * 1.15 * 2.6
    slow = controller.slow
    assert slow is not None and slow.cause == "rewrite"
    assert "40 files" in slow.reason and "target of 5 s" in slow.reason


@pytest.mark.parametrize(
    ("cost", "cause"), [(rewriting(9.0), "storage"), (rewriting(0.1, 9e-3), "rows")]
)
def test_other_causes_have_names_too(cost, cause):
    controller = Simulation(lambda _t: 2_000, cost).run(200)
    assert controller.slow is not None and controller.slow.cause == cause


def test_nothing_is_said_while_commits_are_quick():
    assert Simulation(lambda _t: 100, quick).run(60).slow is None


def test_a_load_above_what_small_batches_carry_is_carried_by_large_ones():
    """2 s for a rewrite and 10k rows/s: batches of 10k would lag for ever."""
    world = Simulation(lambda _t: 10_000, rewriting(2.0))
    world.run(120)
    late = world.after(80)
    assert min(batch.rows for batch in late) > 20_000
    assert max(batch.fresh_s for batch in late) < 3 * TARGET_S
    committed = sum(batch.rows for batch in world.batches)
    assert committed > 0.95 * 10_000 * 114


def test_sizes_settle_and_do_not_swing():
    """Under an even overload sizes stay within a few per cent from commit to commit."""
    world = Simulation(lambda _t: 200_000, rewriting(1.0), noise=0.1)
    world.run(150)
    sizes = [batch.rows for batch in world.after(60)]
    assert len(sizes) > 10
    assert pstdev(sizes) < 0.15 * mean(sizes)


def test_a_backlog_is_worked_off_at_near_the_best_rate_and_then_it_is_calm_again():
    world = Simulation(lambda t: 60_000 if t < 60 else 500, rewriting(1.0))
    world.run(260)
    behind = [b for b in world.after(20, 60) if b.reason in ("rows", "age", "memory")]
    assert behind and mean(batch.rows for batch in behind) > 50_000
    calm = world.after(200)
    assert {batch.reason for batch in calm} == {"freshness"}
    assert max(batch.fresh_s for batch in calm) < TARGET_S
    assert max(batch.rows for batch in calm) < 5_000


def test_a_spike_does_not_move_the_size_by_more_than_a_double():
    controller = AdaptiveBatches(freshness_s=TARGET_S, memory_bytes=200 * MEGABYTE)
    for _ in range(20):
        controller.committed(CommitReport(5_000, 5_000 * 300, quick(5_000, 0)))
    before = controller.rows_full
    controller.committed(CommitReport(5_000, 5_000 * 300, 60.0))
    assert before / 2 <= controller.rows_full <= before * 2
    for _ in range(40):
        controller.committed(CommitReport(5_000, 5_000 * 300, quick(5_000, 0)))
    assert controller.rows_full >= before / 2


def test_a_lake_that_stalls_for_a_minute_is_forgotten():
    def stalling(rows: int, t: float) -> float:
        return 60.0 if 100 < t < 101.5 else quick(rows, t)

    world = Simulation(lambda _t: 2_000, stalling)
    world.run(260)
    assert max(batch.fresh_s for batch in world.after(220)) < TARGET_S


@pytest.mark.parametrize("row_bytes", [300, 4_000, 400_000])
@pytest.mark.parametrize("rate", [100, 5_000, 60_000])
def test_the_share_of_memory_is_never_overrun(row_bytes, rate):
    """By more than one message beside what was asked for."""
    share = 200 * MEGABYTE
    world = Simulation(lambda _t: rate, rewriting(1.0), row_bytes=row_bytes, memory_bytes=share)
    world.run(30)
    largest = max(in_memory(batch.rows, batch.bytes) for batch in world.batches)
    first = 200 * (row_bytes * 5 + 3_500)  # nothing is known of the first messages
    assert largest <= max(share + in_memory(1, row_bytes), first + in_memory(1, row_bytes))
    assert all(batch.rows for batch in world.batches)


def test_a_full_process_closes_batches_and_pauses():
    controller = AdaptiveBatches(freshness_s=TARGET_S, memory_bytes=200 * MEGABYTE)
    assert controller.decide(Pending(10, 1_000, 0.0, 0, RESERVE - 0.01)) == Close("memory")
    assert isinstance(controller.decide(Pending(0, 0, 0.0, 10, RESERVE / 3)), Pause)
    assert isinstance(controller.decide(Pending(0, 0, 0.0, 10, RESERVE)), Wait)


def test_under_pressure_it_goes_on_in_small_batches_and_recovers():
    world = Simulation(lambda _t: 1_000, quick, free=lambda t: 0.1 if 20 < t < 40 else 0.6)
    world.run(100)
    assert {batch.reason for batch in world.after(25, 40)} == {"memory"}
    assert {batch.reason for batch in world.after(70)} == {"freshness"}


def test_an_empty_batch_waits_however_old():
    controller = AdaptiveBatches(freshness_s=1.0, memory_bytes=MEGABYTE)
    assert isinstance(controller.decide(Pending(0, 0, 99.0)), Wait)


def test_what_is_fetched_fits_into_the_batch():
    controller = AdaptiveBatches(freshness_s=5.0, memory_bytes=30 * MEGABYTE, rows_max=1_000)
    assert controller.decide(Pending(900, 90_000, 0.0)).rows == 100
    big = controller.decide(Pending(10, 10 * 400_000, 0.0))
    assert in_memory(10 + big.rows, (10 + big.rows) * 400_000) <= 30 * MEGABYTE + in_memory(
        1, 400_000
    )


def test_a_full_batch_never_falls_below_the_least():
    controller = AdaptiveBatches(freshness_s=1.0, memory_bytes=MEGABYTE)
    for _ in range(50):
        controller.committed(CommitReport(100, 1_000, 30.0))
    assert controller.rows_full >= ROWS_MIN
