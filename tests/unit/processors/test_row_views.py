"""Whole items, unions, added columns and maps: the table is the view of the items."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from processors.testing import Changes, TransformDriver
from sinks import Dataset

TABLES = ("one", "two")


def double(row):
    return {"id": row["id"], "n": row["n"] * 2} if row["n"] else None


def declare(chain):
    def view(one, two):
        return chain(one, two)

    inputs = {t: Input(Stream(source=DynamoDBSource(table_name=t))) for t in TABLES}
    return transform(input_mapping=inputs, output_mapping={"out": Output(Dataset(id="out"))})(view)


WHOLE = declare(
    lambda one, two: (
        one.union(two).with_columns("dynamodb.NewImage.n.N >= 1 as big").drop("note").filter("big")
    )
)
MAPPED = declare(
    lambda one, two: (
        one.union(two)
        .select("dynamodb.NewImage.id.S", "cast(dynamodb.NewImage.n.N as bigint) as n")
        .map(double, schema={"id": "string", "n": "bigint"})
        .filter("n > 2")
    )
)
STATES = st.one_of(
    st.none(),
    st.tuples(st.integers(0, 3), st.sampled_from([None, "text", 5, True])),
)
STEPS = st.tuples(st.sampled_from(TABLES), st.sampled_from(["x", "y"]), STATES)


def expected_whole(items):
    """By key: the value of n and of the odd attribute with its type."""
    return {
        (table, name): (item["n"], type(item.get("odd")), item.get("odd"))
        for (table, name), item in items.items()
        if item["n"] >= 1
    }


def found_whole(driver):
    kinds = {c.name: c.tag for flow in driver.compiled.flows for c in flow.schema.columns if c.tag}
    rows = {}
    for row in newest(driver):
        assert "note" not in row
        odd = [(kinds[name], row[name]) for name in row if name.startswith("odd")]
        assert len(odd) <= 1, "an attribute has one type at a time"
        tag, value = odd[0] if odd else ("NULL", None)
        value = Decimal(value) if tag == "N" else value
        kind = {"S": str, "N": int, "BOOL": bool, "NULL": type(None)}[tag]
        rows[row["_table"], row["id"]] = (Decimal(row["n"]), kind, value)
    return rows


def newest(driver):
    found = {}
    for row in driver.rows():
        known = found.get(row["_key"])
        if known is None or row["_version"] > known["_version"]:
            found[row["_key"]] = row
    return [row for row in found.values() if row["_op"] != "delete"]


def play(driver, steps, data):
    """Send the steps with late copies between; the items at the end."""
    changes = {table: Changes(key=["id"]) for table in TABLES}
    items, sent = {}, []
    for table, name, state in steps:
        old = items.get((table, name))
        if state is None:
            message = changes[table].remove(old or {"id": name})
            items.pop((table, name), None)
        else:
            item = {"id": name, "n": state[0], "note": "x"}
            item |= {} if state[1] is None else {"odd": state[1]}
            message = changes[table].modify(item, old) if old else changes[table].insert(item)
            items[table, name] = item
        sent.append((table, message))
        driver.send(message, table=table)
        again, copy = sent[data.draw(st.integers(0, len(sent) - 1))]
        driver.send(copy, table=again)
    return items


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=12), st.data())
def test_whole_items_of_two_tables(steps, data):
    with TransformDriver(WHOLE) as driver:
        items = play(driver, steps, data)
        assert found_whole(driver) == expected_whole(items)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=12), st.data())
def test_rows_of_a_function(steps, data):
    with TransformDriver(MAPPED) as driver:
        items = play(driver, steps, data)
        found = {(row["_table"], row["id"]): row["n"] for row in newest(driver)}
    assert found == {place: item["n"] * 2 for place, item in items.items() if item["n"] * 2 > 2}
