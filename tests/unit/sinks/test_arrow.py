"""Rows in exactly the table's types, or as dead letters: nothing in between."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.errors import UnknownVersionError
from bridge.wire.schemas import Column, Schema
from sinks.arrow import convert
from sinks.columns import EVENT_TIME, OWN_FIELDS, arrow_type, missing_fields
from tests.unit.sinks.build import row, version

WIDE = Context(prec=1_000)
digits = st.text("0123456789", min_size=1, max_size=45)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    digits,
    st.one_of(st.just(""), digits.map(".{}".format)),
    st.one_of(st.just(""), st.integers(-300, 300).map("E{}".format)),
)


def table_of(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([*(pa.field(name, kind) for name, kind in columns.items()), *OWN_FIELDS])


def converted(wire_type: str, values: list, kind: pa.DataType | None = None):
    """The column after conversion, and the reasons of those that did not fit."""
    schema = Schema("orders", "t", (Column("x", wire_type),))
    kind = kind or arrow_type(schema.columns[0], "")
    rows = [row(f"k{i}", i, schema=schema, x=value) for i, value in enumerate(values)]
    table, unfit = convert(rows, {schema.fingerprint: schema}, table_of(x=kind))
    assert table.schema.field("x").type == kind
    return table["x"].to_pylist(), [letter.reason for letter in unfit]


@pytest.mark.parametrize(
    ("wire_type", "value", "expected"),
    [
        ("string", "é\u0000\U0001f600", "é\u0000\U0001f600"),
        ("string", "", ""),
        ("json", '{"a":[1]}', '{"a":[1]}'),
        ("bigint", -(2**63), -(2**63)),
        ("double", 3, 3.0),
        ("double", 0.1, 0.1),
        ("boolean", True, True),
        ("binary", "AP8=", b"\x00\xff"),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("timestamp", "2024-02-29T12:00:00.000001+02:00",
         datetime(2024, 2, 29, 10, 0, 0, 1, tzinfo=UTC)),
        ("decimal(38,18)", "12345678901234567890.123456789012345678",
         Decimal("12345678901234567890.123456789012345678")),
        ("decimal(38,18)", "1E-18", Decimal("0.000000000000000001")),
        ("decimal(38,18)", "1.5E+3", Decimal(1500)),
        ("decimal(10,2)", "007.10", Decimal("7.10")),
        ("decimal(10,2)", "1.500000000000000000000000000000000000000000", Decimal("1.50")),
        ("decimal(5,5)", "0.12345", Decimal("0.12345")),
        ("decimal(38,0)", "9" * 38, Decimal("9" * 38)),
    ],
)  # fmt: skip
def test_values_that_fit_are_exact(wire_type, value, expected):
    assert converted(wire_type, [value, None]) == ([expected, None], [])


@pytest.mark.parametrize(
    ("wire_type", "value"),
    [
        ("string", 5),
        ("string", ["x"]),
        ("bigint", 2**63),
        ("bigint", 1.5),
        ("bigint", 1.0),
        ("bigint", True),
        ("bigint", "5"),
        ("double", "0.1"),
        ("double", True),
        ("double", 2**53 + 1),
        ("boolean", 1),
        ("boolean", "true"),
        ("binary", "not base64!"),
        ("binary", 5),
        ("date", "2024-02-30"),
        ("timestamp", "2024-02-29T12:00:00"),
        ("timestamp", "2024-02-29T12:00:00.1234567Z"),
        ("decimal(38,18)", "1E-19"),
        ("decimal(38,18)", "1E-57"),
        ("decimal(38,18)", "1E-999999999"),
        ("decimal(38,18)", "1E999999999999"),
        ("decimal(38,18)", "9310090058200390590604913411035009.8"),
        ("decimal(38,18)", "NaN"),
        ("decimal(38,18)", "Infinity"),
        ("decimal(38,18)", ""),
        ("decimal(38,18)", " 1"),
        ("decimal(38,18)", "٣"),
        ("decimal(38,18)", 1.5),
        ("decimal(10,2)", "1.005"),
        ("decimal(10,2)", "123456789.00"),
        ("decimal(38,0)", "0.5"),
    ],
)
def test_a_value_that_does_not_fit_takes_out_its_row_alone(wire_type, value):
    good = {"string": "s", "json": "s", "bigint": 1, "double": 1.0, "boolean": True,
            "binary": "", "date": "2024-01-01", "timestamp": "2024-01-01T00:00:00Z"}  # fmt: skip
    fine = good.get(wire_type, "1")
    found, reasons = converted(wire_type, [fine, value, fine])
    assert len(found) == 2
    assert len(reasons) == 1
    assert "'x'" in reasons[0]
    assert "tailrace rebuild" in reasons[0]


@given(
    text=NUMBERS,
    precision_scale=st.sampled_from([(38, 18), (10, 2), (38, 0), (5, 5), (18, 4)]),
)
def test_a_decimal_is_exact_or_refused(text, precision_scale):
    precision, scale = precision_scale
    found, reasons = converted(f"decimal({precision},{scale})", [text])
    number = Decimal(text)
    try:
        whole = number.quantize(Decimal(1).scaleb(-scale, WIDE), context=WIDE)
        fits = whole == number and number.copy_abs() < Decimal(10) ** (precision - scale)
    except InvalidOperation:
        fits = False
    assert (found, len(reasons)) == (([number], 0) if fits else ([], 1))


@pytest.mark.parametrize(
    ("wire_type", "value", "kind", "expected"),
    [
        ("bigint", 5, pa.decimal128(38, 18), Decimal(5)),
        ("bigint", 5, pa.float64(), 5.0),
        ("decimal(38,18)", "5", pa.int64(), 5),
        ("decimal(38,18)", "1.25", pa.decimal128(10, 2), Decimal("1.25")),
        ("bigint", 5, pa.string(), "5"),
    ],
)
def test_another_type_than_the_tables_goes_in_where_nothing_changes(
    wire_type, value, kind, expected
):
    assert converted(wire_type, [value], kind) == ([expected], [])


@pytest.mark.parametrize(
    ("wire_type", "value", "kind"),
    [
        ("double", 1.5, pa.int64()),
        ("decimal(38,18)", "1.5", pa.int64()),
        ("decimal(38,18)", "1.255", pa.decimal128(10, 2)),
        ("decimal(38,18)", "0.1", pa.float64()),
        ("bigint", 2**53 + 1, pa.float64()),
        ("string", "x", pa.int64()),
        ("string", "AP8=", pa.binary()),
        ("binary", "AP8=", pa.string()),
    ],
)
def test_another_type_than_the_tables_never_changes_a_value(wire_type, value, kind):
    found, reasons = converted(wire_type, [value], kind)
    assert found == []
    assert "the table is" in reasons[0]


def test_rows_of_two_schemas_share_a_batch_and_lack_what_they_lack():
    old = Schema("orders", "t", (Column("x", "bigint"),))
    new = Schema("orders", "t", (Column("y", "string"), Column("x", "bigint")))
    schemas = {schema.fingerprint: schema for schema in (old, new)}
    rows = [row("a", 1, schema=old, x=1), row("b", 2, schema=new, x=2, y="y")]
    deletes = [row("c", 3, schema=new, delete=True)]
    found, unfit = convert([*rows, *deletes], schemas, table_of(x=pa.int64(), y=pa.string()))
    assert unfit == []
    kept = sorted(found.select(["_key", "_op", "x", "y"]).to_pylist(), key=lambda r: r["_key"])
    assert kept == [
        {"_key": "a", "_op": "upsert", "x": 1, "y": None},
        {"_key": "b", "_op": "upsert", "x": 2, "y": "y"},
        {"_key": "c", "_op": "delete", "x": None, "y": None},
    ]


def test_nothing_in_is_nothing_out():
    found, unfit = convert([], {}, table_of(x=pa.int64()))
    assert (found.num_rows, unfit) == (0, [])


def test_event_time_and_version_are_the_rows_own():
    schema = Schema("orders", "t", (Column("x", "bigint"),))
    found, _ = convert([row("a", 3, schema=schema, x=1)], {schema.fingerprint: schema},
                       table_of(x=pa.int64()))  # fmt: skip
    assert found["_event_time"].type == EVENT_TIME
    assert found["_version"].to_pylist() == [version(3)]


def test_names_that_differ_only_in_case_are_not_mixed_up():
    schema = Schema("orders", "t", (Column("price", "bigint"), Column("Price", "string")))
    assert next(field.name for field in missing_fields([schema], None)) == "price"
    rows = [row("a", 1, schema=schema, price=1), row("b", 2, schema=schema, price=1, Price="x")]
    found, unfit = convert(rows, {schema.fingerprint: schema}, table_of(price=pa.int64()))
    assert found["_key"].to_pylist() == ["a"]
    assert "only in case" in unfit[0].reason


def test_missing_fields_are_those_the_table_lacks():
    schema = Schema("orders", "t", (Column("x", "bigint"), Column("y", "decimal(12,3)")))
    assert missing_fields([schema], table_of(x=pa.int64())) == [pa.field("y", pa.decimal128(12, 3))]
    assert [f.name for f in missing_fields([schema], None)] == [
        "x", "y", "_event_time", "_version", "_key",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["list<string>", "decimal(39,2)", "decimal(5,6)", ""])
def test_an_unknown_type_stops_instead_of_guessing(kind):
    with pytest.raises(UnknownVersionError, match="Upgrade the sink"):
        arrow_type(Column("x", kind), "here")
