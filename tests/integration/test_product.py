"""The whole way, three processes: what is in the table is what is in DynamoDB."""

from __future__ import annotations

import pytest

from tests.integration.conftest import COPY_COLUMNS
from tests.product.oracle import check_changes, check_rows, expected_copies, expected_lines
from tests.product.workload import KEY_SHAPES

FAST = "binary_range"
pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(240)]
# The fast lane has one shape, with two keys; the real lane has all of them.
SHAPES = [
    pytest.param(shape, id=shape.name, marks=[] if shape.name == FAST else [pytest.mark.real])
    for shape in KEY_SHAPES
]
LINE_COLUMNS = ("order_id", "line_no", "sku", "quantity", "price", "order_status")


def example(name: str, table: str) -> str:
    """A shipped example, unchanged but for its table's name."""
    from pathlib import Path

    text = (Path(__file__).parents[2] / "processors" / "examples" / name).read_text()
    assert 'table_name="orders"' in text
    text = text.replace("{", "{{").replace("}", "}}")
    return text.replace('table_name="orders"', f'table_name="{table}"')


@pytest.mark.parametrize("shape", SHAPES)
def test_existing_items_and_changes_of_any_key_arrive(product, dynamodb, many_shards, shape):
    # moto encodes binary keys twice in its stream records.
    binary = any(kind == "B" for _, _, kind in shape.schema)
    source = many_shards if binary and dynamodb.name == "moto" else dynamodb
    made = product(shape=shape, existing=60, keys=100, dynamodb=source)
    made.pipeline.start()
    made.await_equal(expected_copies, COPY_COLUMNS)
    made.workload.run(300)
    made.await_equal(expected_copies, COPY_COLUMNS)
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report
    assert report["source_items"] == report["delta_rows"] == len(made.workload.live)
    changes = check_changes(made.kafka, made.workload)
    assert changes == made.workload.writes
    assert check_rows(made.kafka, "out") == changes
    assert [made.pipeline.stages[name].stop() for name in made.pipeline.stages] == [0, 0, 0]


@pytest.mark.real
def test_shards_that_rotate_and_split_meanwhile_keep_order_and_lose_nothing(product, many_shards):
    made = product(existing=60, keys=100, dynamodb=many_shards)
    made.pipeline.start()
    made.workload.run(1_000)
    made.await_equal(expected_copies, COPY_COLUMNS)
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report
    assert check_changes(made.kafka, made.workload) == made.workload.writes
    check_rows(made.kafka, "out")


def test_the_customers_example_arrives_on_s3(product, s3, namespace):
    made = product(
        text=example("orders.py", "{table}"),
        dataset="processed_orders",
        lake=s3.uri(namespace),
        lake_options=s3.storage_options,
        existing=100,
    )
    made.pipeline.start()
    made.workload.run(400)

    def expected(items):
        return {
            key: {
                "order_id": item["orderId"]["S"],
                "customer_email": row["email"],
                "order_total": row["total"],
                "status": row["status"],
            }
            for (key, row), item in zip(expected_copies(items).items(), items.values(), strict=True)
        }

    made.await_equal(expected, ("order_id", "customer_email", "order_total", "status"))
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report


@pytest.mark.real
def test_lines_of_orders_are_rows_of_their_own_and_vanish_with_them(product):
    made = product(
        text=example("order_lines.py", "{table}"), dataset="order_lines", existing=50, keys=60
    )
    made.pipeline.start()
    made.workload.run(300)
    made.await_equal(expected_lines, LINE_COLUMNS)
    made.workload.run(100)
    made.await_equal(expected_lines, LINE_COLUMNS)
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report
    check_changes(made.kafka, made.workload)
    check_rows(made.kafka, "order_lines")


@pytest.mark.real
def test_verify_finds_a_row_that_was_lost_and_one_that_was_changed(product):
    from deltalake import DeltaTable

    made = product(existing=40)
    made.pipeline.start()
    made.await_equal(expected_copies, COPY_COLUMNS)
    for stage in made.pipeline.stages.values():
        assert stage.stop() == 0
    table = DeltaTable(made.uri)
    table.delete('_key = \'{"orderId":{"S":"k-3"}}\'')
    table.update(predicate='_key = \'{"orderId":{"S":"k-4"}}\'', updates={"status": "'no'"})
    report = made.pipeline.verify()
    assert report["exit"] == 1
    assert (report["verified"], report["missing"], report["different"]) == (False, 1, 1)
