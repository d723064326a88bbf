"""What functions refuse, what is not computed, and what describes the event."""

import time
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from bridge.wire.errors import ConfigurationError
from bridge.wire.schemas import Column as WireColumn
from bridge.wire.schemas import Schema
from processors import col, functions, lit, when
from processors.branch import Branch
from processors.chain import Chain
from processors.language import strings
from processors.language.runtime import UnfitValueError
from sinks.arrow import convert
from sinks.columns import arrow_type
from sinks.rows import Row
from tests.unit.processors.build import change, compiled, kept, select

FIRST = "dynamodb.NewImage."
ITEM = {"id": {"S": "i-1"}, "n": {"N": "5"}, "s": {"S": "twelve"}, "big": {"N": "9E+19"}}


def it(text, new=ITEM, **options):
    return select(f"{text} as it", new=new, **options)["it"]


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("uper('a')", ["unknown function 'uper' at character 1", "Did you mean 'upper'?"]),
        ("now()", ["now can't be used here", "the same whenever it is computed again"]),
        ("rand()", ["rand can't be used here"]),
        ("sum(eventName)", ["sum can't be used here", "group_by"]),
        ("upper(1)", ["upper takes a text, this is a bigint, at character 7", "upper(a text)"]),
        ("upper()", ["upper does not take 0 arguments"]),
        ("eventName + 1", ["+ takes a number, this is a string", "▶eventName"]),
        ("coalesce(eventName, 1)", ["bigint and string are no values of one column"]),
        ("case when true then 1 else 'a' end", ["bigint and string are no values"]),
        ("case when 1 then 1 end", ["a condition expected, this is a bigint"]),
        ("case eventName end", ["'when' expected, not 'end'"]),
        ("if(true)", ["if takes at least 2 arguments"]),
        ("regexp_like('a', '(?=a)')", ["no regular expression of RE2", "▶'(?=a)'"]),
        ("regexp_like('a', eventName)", ["regexp_like takes a text in quotes", "▶eventName"]),
        ("'a' like 'b!' escape '!'", ["an escape of one character goes before"]),
        ("date '2025-02-30'", ["no such day", "date '2025-11-23'"]),
        ("timestamp 'soon'", ["not an ISO 8601 timestamp"]),
        ("timestamp '2025-01-01' > 'soon'", ["not an ISO 8601 timestamp", "▶'soon'"]),
        ("cast(5 as timestamp)", ["can't cast bigint to timestamp", "timestamp_seconds"]),
        ("date_trunc('fortnight', date '2025-01-01')", ["units are year", "▶'fortnight'"]),
        ("date_add('hour', 1, date '2025-01-01')", ["a date moves by year"]),
        ("date_format(date '2025-01-01', 'Q')", ["letters of a format are yyyy"]),
        ("get_json_object('{}', 'a')", ["a path such as $.lines[0].sku"]),
        ("changed(eventName)", ["changed takes the name of an attribute"]),
        ("changed(dynamodb.OldImage.n.N)", ["changed takes the name of an attribute"]),
        ("1 +", ["a name or a value expected, not 'as'"]),
        ("1 = 1 = 1", ["the end expected, not '='"]),
        ("- " * 70 + "1", ["more than 64 levels"]),
        ("1" + " + 1" * 600, ["more than 500 operators"]),
    ],
)
def test_mistakes_point_at_the_character(text, fragments):
    with pytest.raises(ConfigurationError) as caught:
        Chain((Branch("orders", "orders"),)).select(f"{text} as it")
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"{FIRST}big.N * 10",
        "9223372036854775807 + 1",
        f"abs(cast({FIRST}big.N as double) * power(10, 300))",
        "power(-1, 0.5)",
        "timestamp_seconds(1e30)",
        "date_add('day', 1, date '9999-12-31')",
        "cast('x' as json)",
        f"to_timestamp({FIRST}s.S)",
        "lpad('a', 2000000)",
        "cast('1e999999' as decimal(38,0))",
        "cast('1e400' as double)",
    ],
)
def test_what_no_column_can_hold_is_refused(text):
    with pytest.raises(UnfitValueError) as caught:
        it(text)
    assert "twelve" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"case when {FIRST}s.S = 'none' then cast({FIRST}s.S as bigint) else 1 end", 1),
        (f"if(false, cast({FIRST}s.S as bigint), 2)", 2),
        (f"coalesce({FIRST}n.N, cast({FIRST}s.S as bigint))", "5"),
        (f"{FIRST}n.N = 6 and cast({FIRST}s.S as bigint) = 1", False),
        (f"{FIRST}n.N = 5 or cast({FIRST}s.S as bigint) = 1", True),
        (f"case when {FIRST}n.N > 4 then {FIRST}n.N + 1 else {FIRST}n.N + 1 end", "6"),
        ("case when null then 1 when true then null else 3 end", None),
    ],
)
def test_what_is_not_needed_is_not_computed(text, value):
    assert it(text) == value


def test_a_hundred_branches_and_deep_nesting_compile():
    branches = " ".join(f"when {FIRST}n.N = {n} then 'v{n}'" for n in range(100))
    assert it(f"case {branches} end") == "v5"
    nested = "0"
    for _ in range(15):
        nested = f"case when {FIRST}n.N > 4 then {nested} + 1 end"
    assert it(nested) == 15


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ({"N": "5"}, {"N": "5.0"}, False),
        ({"N": "5"}, {"S": "5"}, True),
        ({"N": "5"}, None, True),
        (None, {"N": "5"}, True),
        (None, None, False),
        ({"SS": ["a", "b"]}, {"SS": ["b", "a"]}, False),
        ({"L": [{"NS": ["1", "2"]}]}, {"L": [{"NS": ["2", "1"]}]}, False),
        ({"M": {"x": {"S": "a"}}}, {"M": {"x": {"S": "b"}}}, True),
    ],
)  # fmt: skip
def test_changed_compares_the_images(new, old, expected):
    def image(typed):
        return {"id": {"S": "1"}, **({"a": typed} if typed else {})}

    options = {"name": "MODIFY", "new": image(new), "old": image(old)}
    assert kept("changed('a')", **options) is expected
    assert select("changed('a') as it", **options)["it"] is expected


def test_changed_of_an_expression_describes_the_event_and_needs_old_images():
    flow = compiled(
        lambda s: s.select(f"{FIRST}n.N + 1 as more").with_columns("changed(more) as it")
    )
    assert flow.event_columns == {"it"}
    new, old = {"id": {"S": "1"}, "n": {"N": "5"}}, {"id": {"S": "1"}, "n": {"N": "5.0"}}
    ((_, row),) = flow.evaluate(change("MODIFY", new=new, old=old)).rows
    assert row == {"more": "6", "it": False}
    with pytest.raises(ConfigurationError, match="NEW_AND_OLD_IMAGES"):
        flow.evaluate(change(new=new, dynamodb={"StreamViewType": "NEW_IMAGE"}))
    applied = compiled(lambda s: s.filter("changed('n')").select(f"{FIRST}n.N"))
    assert applied.evaluate(change("MODIFY", new=new, old=old)).applied is False


def test_time_to_live_is_told_by_the_user():
    service = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert it("ttl_expired()", userIdentity=service) is True
    assert it("ttl_expired()", userIdentity={"type": "Service", "principalId": "x"}) is False


def test_the_sink_takes_times_as_rows_carry_them():
    kinds = {"d": "date", "t": "timestamp", "r": "decimal(38,18)"}
    row = select("date '2025-11-23' as d", "timestamp_millis(1500) as t", "1 / 3 as r", new=ITEM)
    schema = Schema("rows", "t", tuple(WireColumn(n, k) for n, k in kinds.items()))
    table = pa.schema([(c.name, arrow_type(c, "")) for c in schema.columns])
    found, unfit = convert([_row(row, schema)], {schema.fingerprint: schema}, table)
    assert unfit == []
    assert found.to_pylist()[0] | {"_op": None} == {
        "d": date(2025, 11, 23),
        "t": datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC),
        "r": Decimal("0.333333333333333333"),
        "_op": None,
    }


def _row(fields, schema):
    return Row("k", "v", False, schema.fingerprint, fields, 0, None)


def test_patterns_take_linear_time_whatever_the_data_is():
    evil = "a" * 30_000 + "b"
    started = time.process_time()
    assert it("regexp_like(" + FIRST + "s.S, '^(a+)+$')", new={**ITEM, "s": {"S": evil}}) is False
    assert strings.like(evil, strings.like_parts("%a%a%a%a%c", "")) is False
    assert time.process_time() - started < 5


def test_columns_of_python_say_the_same_as_text():
    n = col(f"{FIRST}n.N")
    named = [
        ((1 + n * 2 - 3).alias("it"), "8"),
        ((10 / n).cast("decimal(5,1)").alias("it"), "2.0"),
        (when(n > 4).then("big").when(n > 2).then("mid").otherwise("small").alias("it"), "big"),
        (when(n < 4).then("big").end().alias("it"), None),
        (functions.concat_ws("-", "a", lit(None), "it's").alias("it"), "a-it's"),
        (functions.if_(~(n == 5) | (n != 5), 1, 2).alias("it"), 2),
        (n.between(1, 5).alias("it"), True),
        (n.isin(1, 2.5).alias("it"), False),
        (lit(date(2025, 1, 2)).alias("it"), "2025-01-02"),
        (lit(datetime(2025, 1, 2, tzinfo=UTC)).alias("it"), "2025-01-02T00:00:00.000000Z"),
        (lit(Decimal("-1.50")).alias("it"), "-1.50"),
        (col(f"{FIRST}s.S").try_cast("bigint").alias("it"), None),
        ((-n % 3).alias("it"), "-2"),
    ]
    assert functions.sum(n).text() == f"sum({FIRST}n.N)"
    for column, expected in named:
        assert select(column, new=ITEM) == {"it": expected}, column.text()


def test_python_mistakes_are_told():
    with pytest.raises(ConfigurationError, match="Join conditions with &"):
        bool(col("eventName") == "x")
    with pytest.raises(ConfigurationError, match="otherwise"):
        functions.lower(when(col("eventName") == "x").then("y"))
    with pytest.raises(AttributeError, match="Did you mean 'lower'"):
        functions.lowr  # noqa: B018
    with pytest.raises(ConfigurationError, match="no value of an expression"):
        lit(b"x")
