"""Runs that are gone on with, samples, and both sides of a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.source_items import ExpectedRows, Mark
from bridge.control.verdict import Verdict, summed
from tests.unit.control.test_verify import World, feed, key, order, verdict, world

__all__ = ["world"]  # a fixture


def test_an_interrupted_run_goes_on_where_it_was_and_says_the_same(
    world: World, tmp_path: Path
) -> None:
    of, kept = feed(), tmp_path / "v" / "kept.db"
    world.put(*(order(n) for n in range(100)))
    world.arrive(of)
    world.put(order(12, "LOST"), order(77, "LOST"))
    whole = verdict(world, of)
    assert (whole.different, world.read) == (2, 10)

    world.read, world.cut_at = 0, 6
    with pytest.raises(KeyboardInterrupt):
        verdict(world, of, kept=kept)
    assert kept.exists()
    world.read, world.cut_at = 0, 0
    world.put(order(3, "NEWER"))  # read before the interruption, and changed since
    world.rows[key(order(3))] = [row for _, row in of.flow.expected(order(3, "NEWER"), ["orderId"])]
    again = verdict(world, of, kept=kept)
    assert world.read == 5, "pages that were read are not read again"
    assert again.as_dict() == whole.as_dict()
    assert list(kept.parent.iterdir()) == [], "a run that came to its end leaves nothing"


def test_a_run_without_interruption_keeps_nothing(world: World, tmp_path: Path) -> None:
    world.put(order(1))
    world.arrive(feed())
    assert verdict(world, feed(), kept=tmp_path / "kept.db").clean
    assert list(tmp_path.iterdir()) == []


def test_a_sample_looks_at_items_and_at_rows(world: World) -> None:
    of = feed()
    world.put(*(order(n) for n in range(100)))
    world.arrive(of)
    found = verdict(world, of, sample=10)
    assert found.clean
    assert found.source_items == 10
    assert 10 <= found.delta_rows <= 20
    assert "verified: a sample: " in found.line()
    assert found.as_dict()["sample"] == 10

    world.items = {name: item for name, item in world.items.items() if name == key(order(0))}
    found = verdict(world, of, sample=10)
    assert found.extra >= 9, "rows whose items are gone are drawn too"


def test_a_sample_is_summed_beside_a_dataset_that_can_not_be_checked(world: World) -> None:
    world.put(*(order(n) for n in range(20)))
    world.arrive(feed())
    unchecked = Verdict(
        table="t", dataset="d", source_items=0, expected_rows=0, delta_rows=7, unchecked="a log"
    )
    found = summed([verdict(world, feed(), sample=5), unchecked])
    assert (found["source_items"], [one.get("sample") for one in found["datasets"]]) == (
        5,
        [5, None],
    )
    assert "sample" not in found


def test_a_sample_of_everything_finds_what_a_whole_run_does(world: World) -> None:
    of = feed()
    world.put(*(order(n) for n in range(30)))
    world.arrive(of)
    world.put(order(4, "LOST"), order(31))
    del world.items[key(order(9))]
    whole, sampled = verdict(world, of), verdict(world, of, sample=1_000)
    for figure in ("missing", "extra", "different"):
        assert getattr(sampled, figure) == getattr(whole, figure) == 1


def test_both_sides_are_shown_only_when_asked_for(world: World) -> None:
    of = feed()
    world.put(order(1, "OLD"))
    world.arrive(of)
    world.put(order(1, "NEW"))
    assert not any("OLD" in line for line in verdict(world, of).details())
    (line,) = verdict(world, of, values=True).examples
    assert 'status: source "NEW", table "OLD"' in line


def test_a_mark_is_where_the_next_page_begins(world: World) -> None:
    world.put(*(order(n) for n in range(25)))
    marks = [mark for _, mark in ExpectedRows(feed(), world).steps()]  # type: ignore[arg-type]
    assert [mark.part for mark in marks] == [0, 0, 1]
    assert marks[-1] == Mark(1, None, 25)
    (rest,) = ExpectedRows(feed(), world).steps(marks[1])  # type: ignore[arg-type]
    assert len(rest[0]) == 5
