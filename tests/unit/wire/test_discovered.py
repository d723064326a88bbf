"""Names of found columns: no two attributes or types ever share one, whoever saw what first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.discovered import (
    TAGS,
    Taken,
    assign,
    by_name,
    ends_with_type,
    is_plain,
    stem_of,
    stem_of_column,
)
from bridge.wire.errors import WireError
from bridge.wire.schemas import Column, Schema

# Letters of the rule itself, so that random names come near each other.
NAMES = st.text(st.sampled_from("aA_x20sSn ;="), min_size=1, max_size=8) | st.text(
    min_size=1, max_size=5
)


@pytest.mark.parametrize(
    ("attribute", "stem", "plain"),
    [
        ("price", "price", True),
        ("unit price", "unit_x20_price", True),
        ("unit_x20_price", "unit_x5f_x20_price", True),
        ("a=b;c", "a_x3d_b_x3b_c", True),
        ("größe", "größe", True),
        ("a.b-c", "a.b-c", True),
        ("line\nbreak", "line_x0a_break", True),
        ("_key", "_key", False),
        ("_Version", "_Version", False),
        ("price__s", "price__s", False),
        ("price__BOOL", "price__BOOL", False),
        ("price__x", "price__x", True),
    ],
)
def test_stems(attribute, stem, plain):
    assert stem_of(attribute) == stem
    assert is_plain(stem) is plain


def test_a_name_too_long_for_a_column_is_an_error():
    with pytest.raises(WireError, match="201 characters"):
        stem_of("x" * 201)


@given(NAMES, NAMES)
def test_no_two_attributes_share_a_stem(one, other):
    assert (stem_of(one) == stem_of(other)) is (one == other)


def test_the_first_type_has_the_plain_name_the_second_its_type_behind_it():
    taken = by_name([Taken("price", "N", "decimal")])
    assert assign("price", "N", "decimal", taken) == "price"
    assert assign("price", "S", "string", taken) == "price__s"
    assert assign("total", "S", "string", taken) == "total"


def test_types_that_look_alike_in_the_table_are_told_apart():
    taken = by_name([Taken("data", "S", "string")])
    assert assign("data", "M", "string", taken) == "data__m"


def test_a_declared_column_takes_what_fits_it():
    taken = by_name([Taken("price", "", "decimal")])
    assert assign("price", "N", "decimal", taken) == "price"
    assert assign("price", "S", "string", taken) == "price__s"


def test_capitals_alone_make_no_name():
    taken = by_name([Taken("status", "S", "string")])
    assert assign("Status", "S", "string", taken) == "Status__s"
    taken |= by_name([Taken("status__n", "N", "decimal"), Taken("Status__s", "S", "string")])
    assert assign("Status", "S", "string", taken) == "Status__s"
    assert assign("status", "S", "string", taken) == "status"
    assert assign("STATUS", "S", "string", taken) is None


@given(st.lists(st.tuples(NAMES, st.sampled_from(TAGS)), max_size=30))
def test_in_any_order_every_attribute_and_type_has_a_column_of_its_own(found):
    taken, columns = {}, {}
    for attribute, tag in found:
        stem = stem_of(attribute)
        name = assign(stem, tag, tag, taken)
        if name is None:
            continue  # two spellings too many
        assert columns.setdefault(name, (attribute, tag)) == (attribute, tag)
        assert stem_of_column(name, tag) == stem
        assert is_plain(name) or ends_with_type(name)
        taken[name.lower()] = Taken(name, tag, tag)
    for name, (attribute, tag) in columns.items():
        assert assign(stem_of(attribute), tag, tag, taken) == name


def test_a_schema_keeps_what_was_found_apart_from_what_was_declared():
    declared = Schema("d", "t", (Column("a", "string"),))
    found = Schema("d", "t", (Column("a", "string", "S"),))
    assert b"tag" not in declared.encode()
    assert declared.fingerprint != found.fingerprint
    assert Schema.decode(found.encode()) == found
    assert Schema.decode(declared.encode()) == declared
