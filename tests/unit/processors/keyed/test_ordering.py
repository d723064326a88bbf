"""Bytes must sort as their values do, also with something behind them."""

from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from processors.keyed.ordering import sortable, unsigned

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**38), max_value=10**38)
TAILS = st.binary(max_size=3)


def same_order(one, other, column_type, tails, value=lambda v: v):
    left = sortable(one, column_type) + tails[0]
    right = sortable(other, column_type) + tails[1]
    if value(one) < value(other):
        return left < right
    if value(one) > value(other):
        return left > right
    return sortable(one, column_type) == sortable(other, column_type)


@given(DECIMALS, DECIMALS, st.tuples(TAILS, TAILS))
@example(Decimal("1.10"), Decimal("1.1"), (b"", b"\xff"))
@example(Decimal("-0"), Decimal(0), (b"", b""))
@example(Decimal("-1.01"), Decimal("-1"), (b"\xff", b""))
def test_decimals(one, other, tails):
    assert same_order(f"{one:f}", f"{other:f}", "decimal(38,18)", tails, Decimal)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.tuples(TAILS, TAILS),
)
@example(0.0, -0.0, (b"", b""))
def test_doubles(one, other, tails):
    assert same_order(one, other, "double", tails)


@given(st.integers(-(2**63), 2**63), st.integers(-(2**63), 2**63), st.tuples(TAILS, TAILS))
def test_integers(one, other, tails):
    assert same_order(one, other, "bigint", tails)


@given(st.text(max_size=5), st.text(max_size=5), st.tuples(TAILS, TAILS))
@example("a", "a\x00", (b"\xff", b"\x00"))
def test_texts(one, other, tails):
    assert same_order(one, other, "string", tails)


@given(st.booleans(), st.booleans(), st.tuples(TAILS, TAILS))
def test_booleans(one, other, tails):
    assert same_order(one, other, "boolean", tails)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_ordinals(one, other):
    assert (unsigned(one) < unsigned(other)) == (one < other)
