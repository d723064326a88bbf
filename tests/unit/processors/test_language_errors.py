"""Mistakes are found before anything starts; the message points at the character."""

import pytest

from bridge.wire.errors import ConfigurationError
from processors.branch import Branch
from processors.chain import Chain

CHAIN = Chain((Branch("orders", "orders"),))


def message(method, *texts):
    with pytest.raises(ConfigurationError) as caught:
        getattr(CHAIN, method)(*texts)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("", ["nothing is written"]),
        ("eventNam", ["unknown field 'eventNam' at character 1", "Did you mean 'eventName'?"]),
        ("dynamodb", ["'dynamodb' is not a value", "NewImage"]),
        (
            "dynamodb.NewImge.id.S",
            [
                "unknown field 'NewImge' in 'dynamodb' at character 10: dynamodb.▶NewImge",
                "NewImage",
            ],
        ),
        ("dynamodb.NewImage", ["ends with its type"]),
        ("dynamodb.NewImage.id", ["ends with its type", "Write ….id.S"]),
        ("dynamodb.NewImage.id.s", ["a type such as S, N or M expected, not 's',", "mean 'S'?"]),
        ("dynamodb.NewImage.id.S.x", ["nothing can follow a plain value", "▶x"]),
        ("dynamodb.NewImage.lines.L.sku", ["an index such as [0] expected", "not 'sku'"]),
        ("dynamodb.NewImage.lines.L[0]", ["ends with its type"]),
        ("dynamodb.NewImage.a.M[0].S", ["a name in a map expected, not '0',"]),
        ("dynamodb.NewImage..id.S", ["a name behind '.' expected, not '.', at character 19"]),
        ("dynamodb.NewImage.id.S as", ["a name behind 'as' expected, not the end"]),
        ("dynamodb.NewImage.id.S as a b", ["the end expected, not 'b'", "▶b"]),
        ("dynamodb.NewImage.order-id.S", ["ends with its type", 'in quotes: "order-id"']),
        ("dynamodb.NewImage.2nd.S", ["not '2'", "begin with a digit in quotes"]),
        ('dynamodb.NewImage."a.S', ["a quoted name that is never closed", '▶"a.S']),
        (
            'dynamodb.NewImage.a.S = "new" as b',
            ["unknown field 'new'", "Text goes in single quotes: 'new'"],
        ),
        (
            "total * 2 as double",
            ["unknown field 'total'", "dynamodb.NewImage.total.S, .N, …", ".with_columns(…)"],
        ),
        ("NewImage.a.S", ["unknown field 'NewImage'", "Write dynamodb.NewImage"]),
        ("now() as n", ["now can't be used here", ". A row must be the same"]),
        ("eventName; drop", ["unexpected ';' at character 10"]),
        ("userIdentity.kind as k", ["unknown field 'kind' in 'userIdentity'"]),
        ("cast(eventName as bignit) as x", ["can't cast to 'bignit'", "Did you mean 'bigint'?"]),
        ("cast(eventName as decimal(39,2)) as x", ["not a decimal of 1 to 38 digits"]),
        ("cast(dynamodb.NewImage.m.M as double) as x", ["can't cast json to double"]),
        ("eventName = 'x'", ["the column has no name"]),
        ("null as x", ["null alone has no type"]),
        ("eventName as _key", ["'_key' is taken by Tailrace itself"]),
        ("eventName as _Event_Time", ["'_Event_Time' is taken by Tailrace itself"]),
        ('eventName as "a b"', ["a column can't be named 'a b'"]),
    ],
)
def test_select_says_what_is_wrong_and_where(text, fragments):
    found = message("select", text)
    for fragment in fragments:
        assert fragment in found


def test_two_columns_of_one_name_are_refused_whatever_their_case():
    found = message("select", "eventName as a", "dynamodb.NewImage.A.S")
    assert "two columns are named 'a'" in found


def test_the_default_name_clashes_too():
    assert "two columns are named 'id'" in message(
        "select", "dynamodb.NewImage.id.S", "dynamodb.Keys.id.S"
    )


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("dynamodb.NewImage.total.N", ["a condition expected, this is a decimal(38,18)"]),
        ("dynamodb.NewImage.total.N > '5'", ["decimal(38,18) and string do not compare"]),
        ("eventName = ", ["a name or a value expected, not the end"]),
        ("eventName is nul", ["'null' expected, not 'nul'"]),
        ("eventName in ()", ["a name or a value expected, not ')'"]),
        ("eventName not = 'x'", ["'in', 'between' or 'like' expected"]),
        ("(eventName = 'x'", ["')' expected, not the end"]),
        ("eventName = 'x' and", ["a name or a value expected, not the end"]),
        ("-eventName", ["negative takes a number, this is a string", "▶eventName"]),
        ("not " * 3 + "(" * 70 + "true" + ")" * 70, ["more than 64 levels"]),
    ],
)
def test_filter_says_what_is_wrong_and_where(text, fragments):
    found = message("filter", text)
    for fragment in fragments:
        assert fragment in found


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("dynamodb.NewImage.lines.L", "the element has no name of its own"),
        ("dynamodb.NewImage.lines.L as dynamodb", "'dynamodb' is taken"),
        ("dynamodb.NewImage.lines.M as line", "a list expected, this is a json"),
        ("dynamodb.OldImage.lines.L as line", "not of OldImage"),
        ("eventName as e", "a list expected, this is a string"),
    ],
)
def test_explode_says_what_is_wrong(text, fragment):
    assert fragment in message("explode", text)


def test_behind_a_select_only_columns_have_names():
    chain = CHAIN.select("dynamodb.NewImage.total.N as total")
    with pytest.raises(ConfigurationError, match="filter before it"):
        chain.filter("dynamodb.NewImage.total.N > 5")
    with pytest.raises(ConfigurationError, match=r"unknown column 'totl'.*Did you mean 'total'\?"):
        chain.filter("totl > 5")
    with pytest.raises(ConfigurationError, match="explode comes before select"):
        chain.explode("dynamodb.NewImage.lines.L as line")


def test_select_without_columns_and_with_other_things_than_text_is_refused():
    with pytest.raises(ConfigurationError, match="select names no column"):
        CHAIN.select()
    with pytest.raises(ConfigurationError, match="list is not a text"):
        CHAIN.select(["eventName"])


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(AttributeError, match=r"no method 'slect'. Did you mean 'select'\?"):
        CHAIN.slect("eventName")


def test_a_long_text_is_cut_in_the_message():
    found = message("select", "dynamodb.NewImage." + "a" * 500)
    assert len(found) < 700
