"""The poison of the demo is poison for the example as it ships, and fine for its revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.demo import example_file
from bridge.control.demo_revision import poison, write_revision
from bridge.control.plan import load_plan
from bridge.wire.errors import ConfigurationError
from processors.testing import Changes, TransformDriver, run


def ran(path: Path, items: list[dict[str, dict[str, str]]]) -> TransformDriver:
    changes = Changes(["orderId"], typed=True)
    return run(load_plan(str(path)).only, [changes.insert(item) for item in items])


def test_the_example_sets_every_poison_order_aside() -> None:
    done = ran(example_file(), poison())

    assert not done.rows()
    assert len(done.dead_letters()) == 3
    assert all("orderTotal" in letter.reason for letter in done.dead_letters())


def test_its_revision_takes_them_and_has_a_column_more(tmp_path: Path) -> None:
    revision = write_revision(example_file(), tmp_path)
    done = ran(revision, [{**item, "couponCode": {"S": "X"}} for item in poison()])

    assert not done.dead_letters()
    assert {row["coupon_code"] for row in done.rows()} == {"X"}
    assert sorted(row["order_total"] for row in done.rows())[-1].startswith("19.99")


def test_an_example_that_reads_otherwise_is_not_revised(tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("pass")
    with pytest.raises(ConfigurationError, match="order_total"):
        write_revision(other, tmp_path)
