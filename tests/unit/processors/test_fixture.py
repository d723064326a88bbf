"""The fixture users test their transforms with: the one that pytest finds by itself."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from bridge import DynamoDBSource
from bridge.wire.errors import ConfigurationError
from processors import Input, Output, Stream, transform
from processors.examples.order_lines import explode_order_lines
from processors.examples.orders import process_orders_stream
from sinks import Dataset
from tests.unit.processors.build import declare


def declared(function, *tables):
    sources = {t: Input(Stream(source=DynamoDBSource(table_name=t))) for t in tables}
    return transform(input_mapping=sources, output_mapping={"out": Output(Dataset(id="out"))})(
        function
    )


def test_a_removed_order_leaves(transform_driver) -> None:
    orders = transform_driver(process_orders_stream, key=["orderId"])
    step = orders.insert({"orderId": "o-1", "orderTotal": Decimal("9.50")})
    assert [row["order_total"] for row in step.rows] == ["9.50"]
    assert orders.rows()[0]["order_id"] == "o-1"

    orders.remove({"orderId": "o-1"})
    assert orders.rows() == []


def test_each_event_says_why_nothing_comes_of_it(transform_driver) -> None:
    def paid(orders):
        kept = orders.filter("eventName <> 'MODIFY' and dynamodb.NewImage.status.S = 'paid'")
        return kept.select("dynamodb.NewImage.orderId.S as id")

    orders = transform_driver(declared(paid, "orders"), key=["orderId"])

    assert (
        orders.insert({"orderId": "1", "status": "new"}).dropped
        == "the filter does not let it through"
    )
    assert (
        orders.modify({"orderId": "1", "status": "paid"}).dropped
        == "a condition on the event leaves it out"
    )
    assert orders.insert({"orderId": "1", "status": "paid"}).dropped is None


def test_state_is_kept_between_events_and_an_old_one_changes_nothing(transform_driver) -> None:
    lines = transform_driver(explode_order_lines, key=["orderId"])
    line = {"line_no": 1, "sku": "a", "quantity": 2, "price": 3}
    event = {"insert": {"orderId": "o-1", "lines": [line]}}
    first = lines.send(event)
    stale = lines.read(event["insert"])

    assert [row["line_no"] for row in first.rows] == ["1"]
    assert stale.dropped == "not newer than what is known of the item"
    assert len(lines.rows()) == 1


def test_what_cannot_be_processed_is_a_dead_letter(transform_driver) -> None:
    orders = transform_driver(process_orders_stream, key=["orderId"])

    step = orders.insert({"orderId": {"S": "o"}, "orderTotal": {"N": "1E60"}})

    assert step.dead_letter is not None
    assert step.dead_letter.error == "UnfitValueError"
    assert [letter.error for letter in orders.dead_letters()] == ["UnfitValueError"]


def test_it_takes_milliseconds(transform_driver) -> None:
    transform_driver(process_orders_stream, key=["orderId"])  # the imports
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        orders = transform_driver(process_orders_stream, key=["orderId"])
        orders.insert({"orderId": "o-1", "orderTotal": 5})
        taken.append(time.perf_counter() - begun)

    assert min(taken) < 0.05


def test_several_tables_are_told_apart_by_name(transform_driver) -> None:
    driver = transform_driver(_both(), key=["id"])
    driver.insert({"id": "1"}, table="aaa")
    driver.insert({"id": "1"}, table="bbb")

    assert [row["id"] for row in driver.rows()] == ["1", "1"]
    with pytest.raises(Exception, match="names no table"):
        driver.insert({"id": "1"})


def _both():
    @transform(
        input_mapping={
            "a": Input(Stream(source=DynamoDBSource(table_name="aaa"))),
            "b": Input(Stream(source=DynamoDBSource(table_name="bbb"))),
        },
        output_mapping={"out": Output(Dataset(id="out"))},
    )
    def both(a, b):
        return a.select("dynamodb.NewImage.id.S as id").union(
            b.select("dynamodb.NewImage.id.S as id")
        )

    return both


@pytest.mark.parametrize(
    ("chain", "key", "why"),
    [
        (
            lambda s: s.select("dynamodb.NewImage.mail.S").key_by("mail"),
            (),
            "a filter or a NULL in its key leaves it out",
        ),
        (
            lambda s: s.explode("dynamodb.NewImage.lines.L as line").select(
                "dynamodb.NewImage.id.S", "line.S as sku"
            ),
            ("id", "sku"),
            "a filter or an empty list leaves it out",
        ),
    ],
)
def test_an_item_that_gives_no_row_was_not_taken_out(transform_driver, chain, key, why) -> None:
    rows = transform_driver(declare(chain, key=key), key=["id"])
    assert rows.insert({"id": "1"}).dropped == why
    assert rows.remove({"id": "1"}).dropped == "nothing of the item was in the dataset"


def test_an_event_of_several_tables_says_how_to_name_one(transform_driver) -> None:
    def merged(orders, returns):
        return orders.union(returns)

    both = transform_driver(declared(merged, "orders", "returns"), key=["id"])
    with pytest.raises(ConfigurationError) as caught:
        both.insert({"id": "1"})
    assert '{"table": "orders", "insert": {…}}' in str(caught.value)


def test_a_dead_letter_nobody_asks_for_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from processors.examples.orders import process_orders_stream

        POISON = {"orderId": {"S": "o"}, "orderTotal": {"N": "1E60"}}

        def test_silent(transform_driver):
            transform_driver(process_orders_stream, key=["orderId"]).insert(POISON)

        def test_asks(transform_driver):
            orders = transform_driver(process_orders_stream, key=["orderId"])
            orders.insert(POISON)
            assert orders.dead_letters()
        """
    )

    outcome = pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:xdist")

    outcome.assert_outcomes(passed=2, errors=1)
    outcome.stdout.fnmatch_lines(["*a change was set aside: UnfitValueError*"])
