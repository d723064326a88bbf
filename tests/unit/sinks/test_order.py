"""Ranges of an order: whatever the values and cuts, each row is in one range, NULLs included."""

from __future__ import annotations

import datetime as dt
import itertools

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks.order import between, cuts_of, equal, fits_order, in_order

SCHEMA = pa.schema(
    [
        pa.field("_key", pa.string(), nullable=False),
        pa.field("The `name`, odd", pa.string()),
        pa.field("n", pa.int64()),
        pa.field("day", pa.date32()),
        pa.field("at", pa.timestamp("us", "UTC")),
    ]
)
VALUES = {
    "The `name`, odd": ["", "a", "a'b", "ä", "Z", "\U0001f600", None],
    "n": [-(2**63), -1, 0, 2**63 - 1, None],
    "day": [dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(9999, 12, 31), None],
    "at": [
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 29, 1, 2, 3, 456_789, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
        None,
    ],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Every value beside every neighbour of the next column, in several files."""
    uri = str(tmp_path_factory.mktemp("order"))
    rows = []
    for left, right in itertools.combinations(VALUES, 2):
        for first, second in itertools.product(VALUES[left], VALUES[right]):
            rows.append({"_key": f"k{len(rows):04d}", left: first, right: second})
    whole = pa.Table.from_pylist(rows, SCHEMA)
    for start in range(0, len(whole), 60):
        write_deltalake(uri, whole.slice(start, 60), mode="append")
    return DeltaTable(uri), whole


def keys(delta, predicate):
    found = pa.RecordBatchReader.from_stream(delta.scan(columns=["_key"], predicate=predicate))
    return found.read_all()["_key"].to_pylist()


@st.composite
def orders_and_cuts(draw):
    chosen = draw(st.lists(st.sampled_from(list(VALUES)), min_size=0, max_size=3, unique=True))
    order = [*chosen, "_key"]
    picks = st.tuples(*(st.sampled_from(VALUES[name]) for name in chosen), st.just("k0100"))
    return order, draw(st.lists(picks, min_size=1, max_size=4, unique=True))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(orders_and_cuts())
def test_each_row_is_in_one_range_whatever_the_cuts(table, drawn):
    delta, whole = table
    order, picks = drawn
    rows = [dict(zip(order, pick, strict=True)) for pick in picks]
    sample = pa.Table.from_pylist(rows, pa.schema([SCHEMA.field(name) for name in order]))
    # A sample cut into as many ranges as it has rows: its rows, sorted, but the first.
    cuts = cuts_of(sample, order, len(rows)) or cuts_of(pa.concat_tables([sample] * 2), order, 2)
    found = [
        keys(delta, between(SCHEMA, order, low, high))
        for low, high in itertools.pairwise([None, *cuts, None])
    ]
    assert sorted(itertools.chain(*found)) == whole["_key"].to_pylist()
    placed = {key: number for number, part in enumerate(found) for key in part}
    numbers = [placed[key] for key in in_order(whole, order)["_key"].to_pylist()]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("name", ["The `name`, odd", "n", "day"])
def test_one_value_of_a_partition_is_found_and_nothing_else(table, name):
    delta, whole = table
    column = whole[name].to_pylist()
    for value in VALUES[name]:
        wanted = [key for key, has in zip(whole["_key"].to_pylist(), column, strict=True)
                  if has == value]  # fmt: skip
        assert sorted(keys(delta, equal(SCHEMA, name, value))) == wanted


def test_cuts_are_even_and_never_twice():
    def cut(values, ranges):
        return cuts_of(pa.table({"_key": pa.array(values, pa.string())}), ["_key"], ranges)

    assert cut([f"{n:03d}" for n in range(100)], 4) == [("025",), ("050",), ("075",)]
    assert cut(["a"] * 50, 4) == [("a",)]
    assert cut([], 4) == []


def test_what_has_no_order_of_its_own_is_not_sorted_by():
    assert all(fits_order(field.type) for field in SCHEMA)
    for other in (
        pa.float64(),
        pa.decimal128(38, 18),
        pa.bool_(),
        pa.binary(),
        pa.list_(pa.string()),
    ):
        assert not fits_order(other)
