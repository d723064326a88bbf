"""Verification over both sides, with the table's side and the pipeline as small stand-ins."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.control import verify
from bridge.control.compared import ComparedColumns
from bridge.control.comparison import TableRow
from bridge.control.plan import Feed, load_plan
from bridge.control.verdict import Verdict, summed
from bridge.control.verify import Manner, Verification
from bridge.wire.attributes import canonical_key
from bridge.wire.generations import Generations
from bridge.wire.kafka import KafkaConfig
from bridge.wire.version import encode_version

ROOT = Path(__file__).parents[3]
KAFKA = KafkaConfig(brokers="nowhere:1")
Item = dict[str, Any]


def order(number: int, status: str = "PAID", **more: Any) -> Item:
    return {"orderId": {"S": f"o-{number}"}, "status": {"S": status}, **more}


def key(item: Item) -> str:
    return canonical_key({"orderId": item["orderId"]}).decode()


class World:
    """Source and table in memory; `each_look` runs before every later look at them."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.dead_letters: dict[str, str] = {}
        self.each_look: Callable[[int], object] = lambda _look: None
        self.stalls: str | None = None
        self.looks = 0
        self.loading = False
        self.read, self.cut_at, self.drawn = 0, 0, 0

    def put(self, *items: Item) -> None:
        self.items.update({key(item): item for item in items})

    def arrive(self, feed: Feed) -> None:
        """The table becomes what the items are now."""
        self.rows = {
            row_key: [row]
            for item in self.items.values()
            for row_key, row in feed.flow.expected(item, ["orderId"])
        }

    # The source's side.
    key_names = ("orderId",)

    items_about = 0

    def scan(self) -> Iterator[Item]:
        yield from list(self.items.values())

    def pages(self, after: Item | None) -> Iterator[tuple[list[Item], Item | None]]:
        """Ten items each; `cut_at` pages later the reader is killed."""
        names = sorted(self.items)
        begin = names.index(key(after)) + 1 if after else 0
        for start in range(begin, max(len(names), 1), 10):
            self.read += 1
            if self.read == self.cut_at:
                raise KeyboardInterrupt
            page = [self.items[name] for name in names[start : start + 10]]
            last = page[-1] if start + 10 < len(names) else None
            yield page, last and {"orderId": last["orderId"]}

    def some(self, count: int, choice: random.Random) -> Any:
        """Of the source items, of the table keys, as each side is asked."""
        self.drawn += 1
        if self.drawn % 2:
            return choice.sample(list(self.items.values()), min(count, len(self.items)))
        return set(choice.sample(list(self.rows), min(count, len(self.rows))))

    def get(self, keys: Iterable[str]) -> Iterator[Item]:
        yield from [self.items[k] for k in keys if k in self.items]

    def item_key(self, item: Item) -> str:
        return key(item)

    # The table's side.
    def all(self, columns: ComparedColumns) -> Iterator[TableRow]:
        for row_key, copies in self.rows.items():
            for row in copies:
                yield TableRow(row_key, encode_version(7, 5), columns.spell_found((), row))

    def count(self) -> int:
        return sum(map(len, self.rows.values()))

    def again(self, columns: ComparedColumns, keys: Collection[str]) -> dict[str, list[TableRow]]:
        found: dict[str, list[TableRow]] = {}
        for row in self.all(columns):
            if row.row_key in keys:
                found.setdefault(row.row_key, []).append(row)
        return found

    # The pipeline.
    def wait(self, _deadline_s: float) -> str | None:
        self.looks += 1
        self.each_look(self.looks)
        return self.stalls


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(verify, "SourceTable", lambda _source, _table, **_: made)
    monkeypatch.setattr(verify, "Passing", lambda _kafka, **_names: made)
    monkeypatch.setattr(verify, "newest_dead_letters", lambda _kafka, _name: made.dead_letters)
    monkeypatch.setattr(verify, "read_generations", lambda _kafka: Generations())
    return made


def feed(name: str = "orders") -> Feed:
    (found,) = load_plan(str(ROOT / f"processors/examples/{name}.py")).feeds
    return found


def verdict(
    world: World,
    of: Feed,
    kafka: KafkaConfig | None = KAFKA,
    timeout_s: float = 30,
    kept: Path | None = None,
    **options: Any,
) -> Verdict:
    rows: Any = world
    manner = Manner(timeout_s, **options)
    return Verification(of, rows, kafka, manner, settle_s=0, kept=kept).run()


def test_equal_sides_are_verified(world: World) -> None:
    world.put(*(order(n) for n in range(50)))
    world.arrive(feed())

    found = verdict(world, feed())

    assert found.clean
    assert (found.source_items, found.delta_rows, world.looks) == (50, 50, 0)
    assert found.line().startswith("verified: orders 50 items, processed_orders 50 rows")
    assert found.left_out == ("eventID", "eventName")


def test_every_difference_is_counted_after_standing_still(world: World) -> None:
    world.put(order(1), order(2), order(3))
    world.arrive(feed())
    world.put(order(4), order(2, "LOST"))
    del world.items[key(order(3))]

    found = verdict(world, feed())

    assert (found.missing, found.extra, found.different) == (1, 1, 1)
    assert not found.clean
    assert world.looks == 2
    assert any("different" in line and "status" in line for line in found.details())
    assert "LOST" not in "".join(found.details())


def test_what_arrives_at_a_later_look_is_no_difference(world: World) -> None:
    of = feed()
    world.put(order(1), order(2))
    world.each_look = lambda _look: world.arrive(of)

    found = verdict(world, of)

    assert found.clean
    assert found.in_flight == 0


def test_what_the_source_keeps_changing_is_in_flight(world: World) -> None:
    world.put(order(1), order(2))
    world.arrive(feed())
    world.put(order(1, "0"))
    world.each_look = lambda look: world.put(order(1, str(look)))

    found = verdict(world, feed(), timeout_s=0.3)

    assert (found.in_flight, found.different) == (1, 0)
    assert found.clean
    assert "1 in flight" in found.line()


def test_a_pipeline_that_does_not_pass_is_not_clean(world: World) -> None:
    world.put(order(1))
    world.stalls = "the sink has not passed tailrace.rows.processed_orders"

    found = verdict(world, feed())

    assert not found.clean
    assert found.missing == 1
    assert any("the sink has not passed" in line for line in found.details())


@pytest.mark.parametrize(("kafka", "timeout_s"), [(None, 30), (KAFKA, -1)])
def test_without_a_second_look_each_difference_counts(
    world: World, kafka: KafkaConfig | None, timeout_s: float
) -> None:
    world.put(order(1))

    found = verdict(world, feed(), kafka, timeout_s)

    assert (found.missing, found.in_flight, world.looks) == (1, 0, 0)
    assert not found.clean


def test_dead_letters_newer_than_the_row_are_told_apart(world: World) -> None:
    world.put(order(1), order(2))
    world.arrive(feed())
    world.put(order(1, "X"), order(2, "Y"))
    world.dead_letters = {
        key(order(1)): encode_version(7, 6),
        key(order(2)): encode_version(7, 4),
    }

    found = verdict(world, feed())

    assert (found.dead_lettered, found.different) == (1, 1)
    assert not found.clean


def test_an_item_the_transform_can_not_take_is_not_passed_over(world: World) -> None:
    world.put(order(1, orderTotal={"N": "1e60"}))

    found = verdict(world, feed())

    assert (found.missing, found.expected_rows) == (1, 1)


def test_too_many_differences_are_counted_without_looking_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SUSPECTS_MAX", 3)
    world.put(*(order(n) for n in range(10)))

    found = verdict(world, feed())

    assert (found.missing, world.looks) == (10, 0)


def lines(*numbers: int) -> dict[str, Any]:
    return {"lines": {"L": [{"M": {"line_no": {"N": str(n)}, "sku": {"S": "s"}}} for n in numbers]}}


def test_rows_that_arrive_between_two_looks_are_counted(world: World) -> None:
    of = feed("orders")
    world.put(*(order(n) for n in range(5)))
    world.each_look = lambda _number: world.arrive(of)

    found = verdict(world, of)

    assert found.clean
    assert (found.source_items, found.delta_rows, world.looks) == (5, 5, 1)


def test_exploded_rows_are_verified_too(world: World) -> None:
    of = feed("order_lines")
    world.put(order(1, **lines(1, 2)), order(2, **lines(1)), order(3))
    world.arrive(of)

    found = verdict(world, of)

    assert found.clean
    assert (found.source_items, found.expected_rows, found.delta_rows) == (3, 3, 3)


def test_a_line_that_should_have_vanished_is_extra(world: World) -> None:
    of = feed("order_lines")
    world.put(order(1, **lines(1, 2)), order(2, **lines(1)))
    world.arrive(of)
    world.put(order(1, **lines(1)))

    found = verdict(world, of)

    assert (found.extra, found.missing) == (1, 0)


def test_a_vanished_line_that_is_retracted_later_is_no_difference(world: World) -> None:
    of = feed("order_lines")
    world.put(order(1, **lines(1, 2)))
    world.arrive(of)
    world.put(order(1, **lines(2)))
    world.each_look = lambda _look: world.arrive(of)

    assert verdict(world, of).clean


def test_a_loading_snapshot_is_said(world: World) -> None:
    world.loading = True

    assert any("snapshot" in line for line in verdict(world, feed()).details())


def test_several_verdicts_add_up() -> None:
    one = Verdict(table="a", dataset="x", source_items=2, expected_rows=2, delta_rows=2)
    two = Verdict(table="b", dataset="y", source_items=3, expected_rows=3, delta_rows=2, missing=1)

    both = summed([one, two])

    assert (both["verified"], both["source_items"], both["missing"]) == (False, 5, 1)
    assert [each["verified"] for each in both["datasets"]] == [True, False]


def test_a_snapshot_is_verified_only_while_nothing_differs_from_the_source_of_now(
    world: World,
) -> None:
    world.put(order(1), order(2))
    whole = feed()
    world.arrive(whole)
    of = replace(whole, source=replace(whole.source, snapshot="only"))
    assert verdict(world, of).clean
    world.put(order(3))

    found = verdict(world, of)

    assert (found.missing, found.extra, found.different, found.since_snapshot) == (0, 0, 0, 1)
    assert not found.clean, "a later change, or a row that never arrived: nobody can tell"
    assert found.line().startswith("NOT verified: a snapshot: ")
    assert "differ from the source of now" in found.line()
    assert any("as it was when it was read" in line for line in found.details())
    assert verdict(world, whole).missing == 1
