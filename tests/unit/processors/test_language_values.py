"""What columns hold: exact values, NULL for nothing or another type, refused where they lie."""

import re
from decimal import Decimal

import orjson
import pytest

from processors.language.runtime import UnfitValueError, one_of, to_decimal
from tests.unit.processors.build import change, compiled, kept, select

IMAGE = {
    "id": {"S": "i-1"},
    "total": {"N": "12.50"},
    "blob": {"B": "AAE="},
    "paid": {"BOOL": True},
    "nothing": {"NULL": True},
    "tags": {"SS": ["b", "a"]},
    "sizes": {"NS": ["10", "9.50"]},
    "blobs": {"BS": ["Ag==", "AQ=="]},
    "address": {"M": {"city": {"S": "Basel"}, "geo": {"M": {"lat": {"N": "47.5"}}}}},
    "lines": {"L": [{"M": {"sku": {"S": "x"}}}, {"N": "1E+2"}]},
    "odd name.S": {"S": "odd"},
    'with "quotes"': {"S": "quoted"},
    "select": {"S": "keyword"},
}
FIRST = "dynamodb.NewImage."


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id.S", "i-1"),
        ("total.N", "12.50"),
        ("blob.B", "AAE="),
        ("paid.BOOL", True),
        ("nothing.NULL", True),
        ("nothing.S", None),
        ("absent.S", None),
        ("id.N", None),
        ("address.M.city.S", "Basel"),
        ("address.M.geo.M.lat.N", "47.5"),
        ("address.M.absent.M.lat.N", None),
        ("lines.L[0].M.sku.S", "x"),
        ("lines.L[1].N", "100"),
        ("lines.L[2].N", None),
        ("lines.L[0].S", None),
        ('"odd name.S".S', "odd"),
        ("`odd name.S`.S", "odd"),
        ('"with ""quotes""".S', "quoted"),
        ("select.S", "keyword"),
        ("tags.SS", '["a","b"]'),
        ("sizes.NS", "[9.5,10]"),
        ("blobs.BS", '["AQ==","Ag=="]'),
        ("address.M", '{"city":"Basel","geo":{"lat":47.5}}'),
        ("lines.L", '[{"sku":"x"},100]'),
    ],
)
def test_a_typed_path_gives_its_value(path, value):
    assert select(f"{FIRST}{path} as it", new=IMAGE) == {"it": value}


def test_columns_are_named_by_alias_or_by_the_attribute():
    items = ("eventID", "id.S", "total.N as order_total", "address.M.city.S", "lines.L[0].M.sku.S")
    columns = [item if item == "eventID" else FIRST + item for item in items]
    assert list(select(*columns, new=IMAGE)) == ["eventID", "id", "order_total", "city", "sku"]
    assert list(select(f"{FIRST}lines.L[1].N", new=IMAGE)) == ["lines"]
    assert list(select(f"cast({FIRST}total.N as bigint)", new=IMAGE)) == ["total"]


def test_plain_fields_of_the_record():
    row = select(
        "eventID",
        "eventName",
        "awsRegion",
        "eventSourceARN",
        "userIdentity.principalId",
        "dynamodb.ApproximateCreationDateTime as at",
        "dynamodb.SequenceNumber",
        "dynamodb.Keys.id.S as key",
        new=IMAGE,
        userIdentity={"type": "Service", "principalId": "dynamodb.amazonaws.com"},
    )
    assert row == {
        "eventID": "e-1",
        "eventName": "INSERT",
        "awsRegion": "us-west-2",
        "eventSourceARN": None,
        "principalId": "dynamodb.amazonaws.com",
        "at": 1763907404,
        "SequenceNumber": "2050000",
        "key": "i-1",
    }


def test_an_absent_user_identity_is_null():
    assert select("userIdentity.type", new=IMAGE) == {"type": None}
    assert select("userIdentity.type", new=IMAGE, userIdentity=None) == {"type": None}


def test_another_type_is_null_and_counted_by_path_but_a_null_is_not():
    flow = compiled(lambda s: s.select(f"{FIRST}id.N", f"{FIRST}nothing.S as n"))
    flow.evaluate(change(new=IMAGE))
    flow.evaluate(change(new=IMAGE))
    assert flow.mismatches == {"dynamodb.NewImage.id.N": 2}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0"),
        ("-0.5", "-0.5"),
        ("9" * 20 + "." + "9" * 18, "9" * 20 + "." + "9" * 18),
        ("1E19", "1" + "0" * 19),
        ("1E-18", "0." + "0" * 17 + "1"),
        ("100.0000000000000000000000", "100"),
    ],
)
def test_a_number_that_fits_is_kept_exactly(number, text):
    row = select(f"{FIRST}n.N", new={"id": {"S": "1"}, "n": {"N": number}})
    assert row == {"n": text}
    assert Decimal(row["n"]) == Decimal(number)


@pytest.mark.parametrize("number", ["1E20", "1" * 21, "1E-19", "0." + "1" * 19, "1E125"])
def test_a_number_that_does_not_fit_names_path_and_cast(number):
    with pytest.raises(UnfitValueError) as caught:
        select(f"{FIRST}n.N", new={"id": {"S": "1"}, "n": {"N": number}})
    assert "dynamodb.NewImage.n.N" in str(caught.value)
    assert "cast(dynamodb.NewImage.n.N as double)" in str(caught.value)
    assert number not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "typed"),
    [
        ("n.N", {"N": "twelve"}),
        ("n.N", {"N": "NaN"}),
        ("n.N", {"N": 12}),
        ("n.S", {"S": 12}),
        ("n.B", {"B": "not base64!"}),
        ("n.BOOL", {"BOOL": "true"}),
        ("n.M", {"M": {"x": {"Q": 1}}}),
        ("n.NS", {"NS": ["1", "one"]}),
    ],
)
def test_malformed_content_is_refused_not_guessed(path, typed):
    with pytest.raises(UnfitValueError, match=r"dynamodb\.NewImage\.n"):
        select(f"{FIRST}{path}", new={"id": {"S": "1"}, "n": typed})


@pytest.mark.parametrize(
    ("cast", "typed", "value"),
    [
        ("n.N as decimal(18,2)", {"N": "2.345"}, "2.35"),
        ("n.N as decimal(18,2)", {"N": "-2.345"}, "-2.35"),
        ("n.N as decimal(18,2)", {"N": "2"}, "2.00"),
        ("n.N as decimal(38,0)", {"N": "9" * 38}, "9" * 38),
        ("n.N as decimal(2,2)", {"N": "0.994"}, "0.99"),
        ("n.N as bigint", {"N": "2.5"}, 3),
        ("n.N as int", {"N": "-7"}, -7),
        ("n.N as double", {"N": "1E125"}, 1e125),
        ("n.N as string", {"N": "1.50E2"}, "150"),
        ("n.N as boolean", {"N": "0"}, False),
        ("n.S as bigint", {"S": " 12 "}, 12),
        ("n.S as boolean", {"S": "TRUE"}, True),
        ("n.S as decimal(5,1)", {"S": "1.25"}, "1.3"),
        ("n.BOOL as string", {"BOOL": False}, "false"),
        ("n.BOOL as bigint", {"BOOL": True}, 1),
        ("n.S as bigint", {"N": "1"}, None),
    ],
)
def test_casts(cast, typed, value):
    row = select(f"cast({FIRST}{cast}) as it", new={"id": {"S": "1"}, "n": typed})
    assert row == {"it": value}


@pytest.mark.parametrize(
    ("cast", "typed"),
    [
        ("n.N as decimal(4,2)", {"N": "99.995"}),
        ("n.N as decimal(18,2)", {"N": "1" + "0" * 16}),
        ("n.N as bigint", {"N": "9223372036854775808"}),
        ("n.S as bigint", {"S": "twelve"}),
        ("n.S as boolean", {"S": "yes"}),
        ("n.S as double", {"S": "Infinity"}),
    ],
)
def test_a_cast_that_loses_integer_digits_or_makes_no_sense_is_refused(cast, typed):
    with pytest.raises(UnfitValueError, match=r"dynamodb\.NewImage\.n"):
        select(f"cast({FIRST}{cast}) as it", new={"id": {"S": "1"}, "n": typed})


def test_the_largest_decimals_fit_exactly_up_to_their_last_digit():
    assert to_decimal(Decimal("99.994"), 4, 2, "x") == Decimal("99.99")
    assert to_decimal(Decimal("0"), 2, 2, "x") == Decimal("0.00")


NULLS = {"id": {"S": "1"}, "a": {"N": "5"}}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a.N > 4", True),
        ("a.N > 5", False),
        ("a.N >= 5 and a.N <= 5.0", True),
        ("a.N = -5", False),
        ("a.N between 5 and 6", True),
        ("a.N not between 5 and 6", False),
        ("a.N in (1, 5)", True),
        ("a.N not in (1, 5)", False),
        ("a.N not in (1, null)", False),
        ("b.N > 4", False),
        ("not b.N > 4", False),
        ("b.N > 4 or a.N > 4", True),
        ("b.N > 4 and a.N > 4", False),
        ("not (b.N > 4 and a.N < 4)", True),
        ("b.N is null", True),
        ("(b.N > 4) is true", False),
        ("(b.N > 4) is not true", True),
        ("(a.N > 4) is true", True),
        ("(a.N > 4) is false", False),
        ("(b.N > 4) is not false", True),
        ("b.N is not null", False),
        ("b.N = null", False),
        ("null", False),
        ("true", True),
        ("b.N in (1)", False),
        ("b.N not in (1)", False),
        ("id.S = '1' AND a.N <> 4", True),
        ("id.S < '2'", True),
        ("cast(id.S as bigint) = 1", True),
        ("cast(a.N as double) < 5.5", True),
    ],
)
def test_conditions_follow_sql(condition, expected):
    text = re.sub(r"\b(a\.N|b\.N|id\.S)", rf"{FIRST}\1", condition)
    assert kept(text, new=NULLS) is expected


def test_one_of_matches_before_it_is_unknown():
    assert one_of(5, (None, 5)) is True
    assert one_of(5, (None, 6)) is None
    assert one_of(5, (6,)) is False


def test_nothing_of_the_users_text_is_in_the_source():
    evil = "\"__import__('os').system('x')\""
    flow = compiled(lambda s: s.filter("eventName <> 'evil'").select(f"{FIRST}{evil}.S as x"))
    assert "import" not in flow.source
    assert "evil" not in flow.source
    assert "NewImage" not in flow.source


def test_a_deep_map_is_json_and_a_bottomless_one_is_refused():
    deep = {"S": "x"}
    for _ in range(32):
        deep = {"M": {"d": deep}}
    row = select(f"{FIRST}d.M", new={"id": {"S": "1"}, "d": deep})
    assert orjson.loads(row["d"])["d"]["d"]
