"""map: the author's own function on a row; what it may take, return and do wrong."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from bridge.wire.errors import ConfigurationError
from processors import Output
from processors.language.runtime import UnfitValueError
from processors.mapping import MapError
from processors.testing import Changes, TransformDriver, run
from sinks import Dataset
from tests.unit.processors.build import change, compiled, declare

ID, N, STATUS = "dynamodb.NewImage.id.S", "dynamodb.NewImage.n.N", "dynamodb.NewImage.status.S"
ITEM = {"id": {"S": "i-1"}, "n": {"N": "2.50"}, "status": {"S": "open"}}


def mapped(function, schema, *, new=ITEM, before=None, behind=None):
    flow = compiled(
        lambda s: (behind or (lambda t: t))(
            (before or (lambda t: t))(s).map(function, schema=schema)
        )
    )
    return flow.evaluate(change("MODIFY", new=new, old=ITEM))


def returned(value, kind):
    ((_, row),) = mapped(lambda _: {"x": value}, {"x": kind}).rows
    return row["x"]


def test_it_takes_plain_values_of_the_selected_columns():
    seen = []
    columns = (
        ID,
        N,
        "cast(dynamodb.NewImage.n.N as bigint) as whole",
        "dynamodb.NewImage.b.B",
        "dynamodb.NewImage.m.M",
        "dynamodb.NewImage.gone.S",
    )
    item = {**ITEM, "b": {"B": "AAE="}, "m": {"M": {"p": {"N": "0.1"}}}}
    mapped(seen.append, {"x": "string"}, new=item, before=lambda s: s.select(*columns))
    assert seen[0] == {
        "id": "i-1",
        "n": Decimal("2.50"),
        "whole": 3,
        "b": b"\x00\x01",
        "m": {"p": Decimal("0.1")},
        "gone": None,
    }


def test_without_a_select_it_takes_the_whole_item():
    seen = []
    before = lambda s: s.drop("status").with_columns("eventName as event")  # noqa: E731
    mapped(seen.append, {"x": "string"}, before=before)
    assert seen[0] == {"id": "i-1", "n": Decimal("2.50"), "event": "MODIFY"}


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("x", "string", "x"),
        (5, "bigint", 5),
        (Decimal("5.0"), "bigint", 5),
        (1.5, "double", 1.5),
        (Decimal("1.005"), "decimal(18,2)", "1.01"),
        (3, "decimal(18,2)", "3.00"),
        (True, "boolean", True),
        (b"\x00\x01", "binary", "AAE="),
        ({"b": [Decimal("1.50"), None], "a": {"z"}}, "json", '{"a":["z"],"b":[1.5,null]}'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "timestamp", "2026-01-02T03:04:05.000000Z"),
        (
            datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
            "timestamp",
            "2026-01-02T01:00:00.000000Z",
        ),
        (date(2026, 1, 2), "date", "2026-01-02"),
        (None, "bigint", None),
    ],
)
def test_what_it_returns_becomes_a_column_of_the_declared_type(value, kind, expected):
    assert returned(value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, "string"),
        ("5", "bigint"),
        (1.5, "bigint"),
        (True, "bigint"),
        (2**63, "bigint"),
        (float("nan"), "double"),
        (Decimal("NaN"), "decimal(18,2)"),
        (10**20, "decimal(18,2)"),
        (1, "boolean"),
        ("AAE=", "binary"),
        (object(), "json"),
        (datetime(2026, 1, 2), "timestamp"),  # noqa: DTZ001
        (datetime(2026, 1, 2, tzinfo=UTC), "date"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value, kind):
    with pytest.raises(UnfitValueError):
        returned(value, kind)


@pytest.mark.parametrize("result", [[{"x": "a"}], "x", 5, {"y": "a"}])
def test_anything_but_a_dict_of_its_columns_is_refused(result):
    with pytest.raises(UnfitValueError, match="the function returned"):
        mapped(lambda _: result, {"x": "string"})


def test_its_own_exception_is_the_cause_of_the_dead_letter():
    def divide(row):
        return {"x": row["n"] / 0}

    chain = declare(lambda s: s.select(ID, N).map(divide, schema={"x": "decimal(10,2)"}))
    (letter,) = run(chain, [Changes(key=["id"]).insert({"id": "a", "n": 1})]).dead_letters()
    assert letter.error == "MapError"
    assert "divide" in letter.reason
    assert "DivisionByZero" in letter.reason
    assert 'row["n"] / 0' in letter.traceback
    with pytest.raises(MapError):
        mapped(divide, {"x": "double"})


def test_columns_behind_it_are_its_own_and_filters_retract():
    def flag(row):
        return {"id": row["id"], "total": row["n"] * 2, "open": row["status"] == "open"}

    schema = {"id": "string", "total": "decimal(18,2)", "open": "boolean"}
    behind = lambda s: s.filter("open and total > 4").select("id", "total")  # noqa: E731
    ((_, row),) = mapped(flag, schema, behind=behind).rows
    assert row == {"id": "i-1", "total": "5.00"}
    closed = {**ITEM, "status": {"S": "done"}}
    assert mapped(flag, schema, new=closed, behind=behind).vanished


def test_none_takes_the_row_out():
    changes = Changes(key=["id"])
    only_open = lambda row: row if row["status"] == "open" else None  # noqa: E731
    chain = declare(
        lambda s: s.select(ID, STATUS).map(only_open, schema={"id": "string", "status": "string"})
    )
    with TransformDriver(chain) as driver:
        driver.send(changes.insert({"id": "a", "status": "open"}))
        driver.send(changes.insert({"id": "b", "status": "open"}))
        driver.send(changes.modify({"id": "a", "status": "x"}, {"id": "a", "status": "open"}))
        assert [row["id"] for row in driver.table().values()] == ["b"]


def test_one_map_behind_another():
    flow = compiled(
        lambda s: (
            s.select(ID, N)
            .map(lambda r: {**r, "n": r["n"] + 1}, schema={"id": "string", "n": "decimal(38,18)"})
            .filter("n > 2")
            .map(lambda r: {"n": r["n"] * 10}, schema={"n": "decimal(10,0)"})
        )
    )
    ((_, row),) = flow.evaluate(change("INSERT", new=ITEM)).rows
    assert row == {"n": "35"}


def test_a_key_that_a_function_returns_proves_nothing():
    with pytest.raises(ConfigurationError, match="no attribute of the item's own key"):
        compiled(lambda s: s.select(ID).map(dict, schema={"id": "string"}), key=["id"])


def test_what_is_made_of_the_event_can_not_be_verified():
    flow = compiled(lambda s: s.select("eventName", ID).map(dict, schema={"x": "string"}))
    assert flow.event_columns == {"x"}


def test_a_changed_function_is_a_changed_transform():
    def one(row):
        return {"x": row["id"]}

    def other(row):
        return {"x": row["id"] + "!"}

    other.__name__ = "one"

    def steps(function):
        return compiled(lambda s: s.select(ID).map(function, schema={"x": "string"})).description[
            "steps"
        ]

    assert steps(one) == steps(one)
    assert steps(one) != steps(other)


@pytest.mark.parametrize(
    ("function", "schema", "message"),
    [
        (dict, {}, "the schema of what it returns is missing"),
        (dict, {"x": "strin"}, "Did you mean 'string'?"),
        (dict, {"x": "decimal(39,2)"}, "unknown type 'decimal(39,2)'"),
        (dict, {"_key": "string"}, "taken by Tailrace"),
        (dict, {"a": "string", "A": "string"}, "no capitals apart"),
        ("dict", {"x": "string"}, "map takes a plain function"),
    ],
)
def test_mistakes_are_told_at_once(function, schema, message):
    with pytest.raises(ConfigurationError) as caught:
        compiled(lambda s: s.map(function, schema=schema))
    assert message in str(caught.value)


def test_what_is_made_of_the_event_can_not_be_filtered_by():
    with pytest.raises(ConfigurationError, match="Filter by the event before the map"):
        compiled(
            lambda s: s.select("eventName").map(dict, schema={"x": "string"}).filter("x = 'a'")
        )


def test_another_type_is_null_or_a_dead_letter():
    strict = declare(lambda s: s.select(ID, N))
    strict.outputs["out"] = Output(Dataset(id="rows"), on_type_mismatch="dead_letter")
    odd = Changes(key=["id"]).insert({"id": "a", "n": "five"})
    (row,) = run(declare(lambda s: s.select(ID, N)), [odd]).rows()
    assert row["n"] is None
    (letter,) = run(strict, [odd]).dead_letters()
    assert "the attribute is S, not what the path says" in letter.reason
    with pytest.raises(ConfigurationError, match="on_type_mismatch='skip'"):
        Output(Dataset(id="rows"), on_type_mismatch="skip")
