"""Stages killed at random moments, together with their state: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from tests.integration.conftest import COPY_COLUMNS
from tests.integration.test_product import LINE_COLUMNS, example
from tests.product.oracle import check_changes, check_rows, expected_copies, expected_lines
from tests.product.pipeline import STAGES

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(600)]
SMALL = pytest.param(6, 600, marks=pytest.mark.small)
SEED = int(os.environ.get("PRODUCT_SEED", random.randrange(10**6)))


def under_kills(made, *, kills: int, writes: int, wipe_state: bool) -> None:
    """Write while stages are killed, at least `kills` times in all, each restarted at once."""
    print(f"replay with PRODUCT_SEED={SEED}")
    chance = random.Random(SEED)
    every = max(1, writes // 25 // kills)
    done = 0
    for number, _ in enumerate(made.workload.batches(writes)):
        if number % every == 0 and done < kills:
            name = STAGES[done % 3]
            made.pipeline.kill(name)
            if wipe_state and name == "processor" and chance.random() < 0.5:
                shutil.rmtree(made.pipeline.state_folder, ignore_errors=True)
            made.pipeline.start(name)
            done += 1
            # Let what follows happen at any point of the stage's start or work.
            made.pipeline.pause_ms(chance.randrange(1500))
        made.pipeline.restart_dead()
    assert done >= kills


def judge(made, expected_of, columns, kills: int) -> None:
    made.await_equal(expected_of, columns, timeout_s=240)
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report
    check_changes(made.kafka, made.workload)
    rows = check_rows(made.kafka, made.dataset)
    print(f"{kills} kills, {made.workload.writes} writes, {rows} rows with versions of their own")


@pytest.mark.real
def test_a_copy_survives_kills_of_every_stage(product):
    kills, writes = 21, 3_000
    made = product(existing=100, keys=150, seed=SEED)
    made.pipeline.start()
    under_kills(made, kills=kills, writes=writes, wipe_state=False)
    judge(made, expected_copies, COPY_COLUMNS, kills)


@pytest.mark.parametrize(
    ("kills", "writes"),
    [SMALL, pytest.param(12, 1_800, marks=pytest.mark.real)],
)
def test_exploded_rows_survive_kills_with_their_state_deleted(product, kills, writes):
    made = product(
        text=example("order_lines.py", "{table}"),
        dataset="order_lines",
        existing=60,
        keys=80,
        seed=SEED,
    )
    made.pipeline.start()
    under_kills(made, kills=kills, writes=writes, wipe_state=True)
    judge(made, expected_lines, LINE_COLUMNS, kills)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_copy_survives_two_hundred_kills(product):
    made = product(existing=1_000, keys=2_000, seed=SEED)
    made.pipeline.start()
    under_kills(made, kills=200, writes=60_000, wipe_state=False)
    judge(made, expected_copies, COPY_COLUMNS, 200)
