"""Canonical keys: one key, one spelling; plain values exact."""

import base64
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.attributes import canonical_key, canonical_number, plain_value
from bridge.wire.errors import WireError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.00", "0"),
        ("1.50", "1.5"),
        ("+1", "1"),
        ("007", "7"),
        ("1E3", "1000"),
        ("15e-1", "1.5"),
        (".5", "0.5"),
        ("-0.10", "-0.1"),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
        ("1E-130", "0." + "0" * 129 + "1"),
    ],
)
def test_numbers_have_one_spelling(text, canonical):
    assert canonical_number(text) == canonical


@pytest.mark.parametrize("text", ["", "abc", "NaN", "Infinity", "1,5"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(WireError, match="not a number"):
        canonical_number(text)


def test_a_digit_of_another_script_is_not_a_second_spelling():
    assert canonical_number("\u0661") == "1"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12))
def test_canonical_numbers_keep_their_value_and_are_stable(number):
    once = canonical_number(str(number))
    assert Decimal(once) == number
    assert canonical_number(once) == once


def test_a_key_is_sorted_by_name_without_spaces():
    key = {"sk": {"N": "1.0"}, "pk": {"S": "a\u00e9"}}
    assert canonical_key(key) == '{"pk":{"S":"a\u00e9"},"sk":{"N":"1"}}'.encode()


@given(st.binary(min_size=1))
def test_binary_keys_have_one_spelling(blob):
    text = base64.b64encode(blob).decode()
    assert canonical_key({"k": {"B": text}}) == b'{"k":{"B":"%b"}}' % text.encode()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"k": {}},
        {"k": {"S": "a", "N": "1"}},
        {"k": {"BOOL": True}},
        {"k": "a"},
        {"k": {"S": 1}},
        {"k": {"B": "***"}},
    ],
)
def test_what_can_be_no_key_is_refused(attributes):
    with pytest.raises(WireError):
        canonical_key(attributes)


def test_plain_values_are_exact():
    item = {
        "M": {
            "n": {"N": "0.10000000000000000000000000000000000001"},
            "b": {"B": "AAE="},
            "l": {"L": [{"S": "x"}, {"NULL": True}, {"BOOL": False}]},
            "ns": {"NS": ["2", "1"]},
            "ss": {"SS": ["b", "a"]},
            "bs": {"BS": ["Ag==", "AQ=="]},
        }
    }
    assert plain_value(item) == {
        "n": Decimal("0.10000000000000000000000000000000000001"),
        "b": b"\x00\x01",
        "l": ["x", None, False],
        "ns": [Decimal(1), Decimal(2)],
        "ss": ["a", "b"],
        "bs": [b"\x01", b"\x02"],
    }


@pytest.mark.parametrize("value", [{}, {"S": "a", "N": "1"}, {"X": 1}])
def test_unknown_types_are_refused(value):
    with pytest.raises(WireError):
        plain_value(value)


KEPT = """
from bridge.wire.attributes import canonical_key

def pages():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

before = pages()
kept = [canonical_key({"pk": {"S": f"order-{number}"}}) for number in range(50_000)]
print((pages() - before) * 4096 // len(kept))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory on Linux alone")
def test_keys_that_are_kept_take_no_more_than_they_are_long():
    ran = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 500  # bytes each; what orjson itself returns takes 4,000
