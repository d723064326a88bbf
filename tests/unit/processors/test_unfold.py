"""`*`: attributes become columns of their own, by name and type."""

import pytest

from bridge.wire.errors import ConfigurationError
from bridge.wire.schemas import Column
from processors.language.runtime import UnfitValueError
from processors.testing import Changes, TransformDriver
from processors.unfold import COLUMNS_MAX
from tests.unit.processors.build import change, compiled, declare

TEN = {
    "id": {"S": "i-1"},
    "n": {"N": "12.50"},
    "b": {"B": "AAE="},
    "flag": {"BOOL": True},
    "nothing": {"NULL": True},
    "ss": {"SS": ["b", "a"]},
    "ns": {"NS": ["10", "9"]},
    "bs": {"BS": ["AQ==", "AA=="]},
    "m": {"M": {"z": {"N": "1"}, "a": {"S": "x"}}},
    "l": {"L": [{"N": "1.0"}, {"S": "x"}]},
}
ROW = {
    "id": "i-1",
    "n": "12.50",
    "b": "AAE=",
    "flag": True,
    "ss": '["a","b"]',
    "ns": "[9,10]",
    "bs": '["AA==","AQ=="]',
    "m": '{"a":"x","z":1}',
    "l": '[1,"x"]',
}


def row(flow, item):
    ((_, found),) = flow.evaluate(change("INSERT", new={"id": {"S": "i-1"}, **item})).rows
    return {name: value for name, value in found.items() if name != "id"}


@pytest.mark.parametrize(
    "chain",
    [
        lambda s: s,
        lambda s: s.select("*"),
        lambda s: s.select("dynamodb.NewImage.*"),
        lambda s: s.filter("dynamodb.NewImage.flag.BOOL"),
    ],
)
def test_all_ten_types_pass_through(chain):
    flow = compiled(chain)
    ((_, found),) = flow.evaluate(change("INSERT", new=TEN)).rows
    assert found == ROW
    types = {column.name: (column.type, column.tag) for column in flow.schema.columns}
    assert types["n"] == ("decimal(38,18)", "N")
    assert types["l"] == ("json", "L")
    assert "nothing" not in types


def test_a_second_type_has_a_column_of_its_own():
    flow = compiled(lambda s: s)
    assert row(flow, {"price": {"N": "5"}}) == {"price": "5"}
    assert row(flow, {"price": {"S": "five"}}) == {"price__s": "five"}
    assert row(flow, {"price": {"L": []}}) == {"price__l": "[]"}
    assert row(flow, {"price": {"N": "6"}}) == {"price": "6"}


def test_the_schema_grows_only_and_is_the_same_for_all_who_found_the_same():
    one, other = compiled(lambda s: s), compiled(lambda s: s)
    row(one, {"a": {"S": "x"}})
    row(one, {"b": {"S": "x"}})
    row(other, {"b": {"S": "x"}})
    before = other.schema
    row(other, {"a": {"S": "x"}})
    assert one.schema.fingerprint == other.schema.fingerprint
    assert set(before.columns) < set(other.schema.columns)


def test_what_was_found_before_is_taken_over_at_a_restart():
    flow = compiled(lambda s: s)
    flow.discovery.adopt(
        [Column("price", "string", "S"), Column("price__n", "decimal(38,18)", "N")]
    )
    known = flow.schema
    assert row(flow, {"price": {"N": "5"}}) == {"price__n": "5"}
    assert row(flow, {"price": {"S": "5"}}) == {"price": "5"}
    assert {c.name for c in flow.schema.columns} == {*(c.name for c in known.columns), "id"}


def test_odd_names_have_a_rule():
    flow = compiled(lambda s: s)
    item = {"_key": {"S": "k"}, "unit price": {"N": "1"}, "price__s": {"S": "x"}}
    assert row(flow, item) == {"_key__s": "k", "unit_x20_price": "1", "price__s__s": "x"}
    assert row(flow, {"Status": {"S": "x"}, "status": {"S": "y"}}) == {
        "Status": "x",
        "status__s": "y",
    }


def test_together_with_columns_of_ones_own():
    total = "dynamodb.NewImage.total.N"
    flow = compiled(
        lambda s: s.select("*", f"cast({total} as decimal(18,2)) as total", "eventName")
    )
    found = row(flow, {"total": {"N": "1.005"}, "note": {"S": "x"}})
    assert found == {"total": "1.01", "note": "x", "eventName": "INSERT"}
    assert flow.event_columns == {"eventName"}


def test_columns_added_dropped_and_renamed_beside_it():
    flow = compiled(
        lambda s: (
            s.with_columns("dynamodb.NewImage.a.N > 1 as big")
            .drop("secret", "mixed__s")
            .rename({"a": "amount", "big": "large"})
            .filter("large")
        )
    )
    found = row(
        flow,
        {"a": {"N": "2"}, "secret": {"S": "x"}, "mixed": {"S": "text"}, "big": {"S": "theirs"}},
    )
    assert found == {"amount": "2", "large": True}
    assert row(flow, {"a": {"N": "2"}, "mixed": {"N": "1"}})["mixed"] == "1"


def test_an_attribute_under_a_name_given_to_another_is_set_aside():
    flow = compiled(lambda s: s.rename({"a": "b"}))
    assert row(flow, {"a": {"S": "x"}}) == {"b": "x"}
    with pytest.raises(UnfitValueError, match="renamed to this name"):
        row(flow, {"b": {"S": "y"}})


def test_maps_of_exploded_lists_unfold_too():
    flow = compiled(
        lambda s: s.explode("dynamodb.NewImage.lines.L as line").select(
            "dynamodb.NewImage.id.S", "line.M.no.N as no", "line.M.*"
        ),
        key=["id", "no"],
    )
    lines = [{"M": {"no": {"N": "1"}, "sku": {"S": "x"}}}, {"M": {"no": {"N": "2"}}}]
    item = {"id": {"S": "i-1"}, "lines": {"L": lines}}
    found = [columns for _, columns in flow.evaluate(change("INSERT", new=item)).rows]
    assert found == [{"id": "i-1", "no": "1", "sku": "x"}, {"id": "i-1", "no": "2"}]


def test_numbers_that_do_not_fit_and_too_many_columns_are_set_aside():
    flow = compiled(lambda s: s)
    with pytest.raises(UnfitValueError, match="decimal"):
        row(flow, {"n": {"N": "1E-100"}})
    with pytest.raises(UnfitValueError, match="more than 1,000 columns"):
        row(flow, {f"a{number}": {"S": ""} for number in range(COLUMNS_MAX + 1)})
    assert flow.schema.columns == (), "what is set aside leaves no columns"
    row(flow, {f"b{number}": {"S": ""} for number in range(COLUMNS_MAX - 1)})  # and the key
    assert len(flow.schema.columns) == COLUMNS_MAX
    with pytest.raises(UnfitValueError, match="more than 1,000 columns"):
        row(flow, {"b0": {"S": ""}, "one more": {"S": ""}})
    assert len(flow.schema.columns) == COLUMNS_MAX


def test_a_filter_does_not_find_columns_in_old_images():
    flow = compiled(lambda s: s.filter("dynamodb.NewImage.open.BOOL"))
    old = {"id": {"S": "1"}, "open": {"BOOL": True}, "gone": {"S": "x"}}
    new = {"id": {"S": "1"}, "open": {"BOOL": False}}
    assert flow.evaluate(change("MODIFY", new=new, old=old)).vanished
    assert flow.schema.columns == ()


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (lambda s: s.select("*", "*"), "'*' is there twice"),
        (lambda s: s.select("eventID").select("*"), "a select before left them out"),
        (lambda s: s.select("dynamodb.OldImage.*"), "only the item or a map"),
        (lambda s: s.select("dynamodb.NewImage.a.S.*"), "only the item or a map"),
        (lambda s: s.select("*", "eventID as price__s"), "hold a second type"),
        (lambda s: s.with_columns("eventID as price__N"), "hold a second type"),
        (lambda s: s.rename({"a": "price__s"}), "hold a second type"),
        (lambda s: s.rename({"a": "c", "b": "C"}), "no capitals apart"),
        (lambda s: s.explode("dynamodb.NewImage.l.L as line"), "nothing tells them apart"),
    ],
)
def test_mistakes_are_told_at_once(chain, message):
    with pytest.raises(ConfigurationError) as caught:
        compiled(chain)
    assert message in str(caught.value)


def test_removed_and_changed_items_leave_the_table():
    changes = Changes(key=["id"])
    with TransformDriver(declare(lambda s: s.filter("dynamodb.NewImage.n.N > 0"))) as driver:
        driver.send(changes.insert({"id": "a", "n": 1}), changes.insert({"id": "b", "n": 1}))
        driver.send(changes.modify({"id": "a", "n": 0}, {"id": "a", "n": 1}))
        driver.send(changes.insert({"id": "c", "n": 1, "note": "x"}))
        driver.send(changes.remove({"id": "b", "n": 1}))
        assert driver.table() == {'{"id":{"S":"c"}}': {"id": "c", "n": "1", "note": "x"}}
