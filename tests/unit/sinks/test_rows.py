"""Decoding what comes from a rows topic, and collapsing it."""

from __future__ import annotations

import pytest

from bridge.wire.envelope import (
    CONTROL_KEY,
    Sealed,
    encode_row,
    row_headers,
    settled_headers,
    settled_value,
)
from bridge.wire.errors import UnknownVersionError
from sinks.rows import OFFSET_UNKNOWN, Row, Unfit, decode, newest_of_each_key
from tests.unit.sinks.build import FakeMessage, row, row_message, seal_message, sealed, version

GOOD = encode_row(
    key="k", version=version(1), operation="upsert", event_time=None, columns={"x": 1}
)


def test_a_row_is_read_with_its_origin():
    found = decode(row_message("k", 7, offset=5))
    assert isinstance(found, Row)
    assert (found.key, found.version, found.deleted) == ("k", version(7), False)
    assert found.origin_offset == 5


def test_headers_may_come_in_any_order_and_with_others():
    headers = [("trace", b"1"), *reversed(row_headers("f" * 32, 9))]
    found = decode(FakeMessage(GOOD, _headers=headers))
    assert isinstance(found, Row)
    assert (found.fingerprint, found.origin_offset) == ("f" * 32, 9)


def test_an_absent_change_offset_never_counts_as_purgeable():
    found = decode(FakeMessage(GOOD, _headers=[("v", b"1"), ("schema", b"f")]))
    assert found.origin_offset == OFFSET_UNKNOWN


def test_a_seal_is_told_from_rows():
    assert decode(seal_message(sealed(3, 1, 2))) == sealed(3, 1, 2)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not a JSON object"),
        (b"{", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b'{"_key":"k"}', "not a JSON object"),
        (b'{"_key":1,"_version":"x","_op":"upsert"}', "not a text"),
        (b'{"_key":"","_version":"x","_op":"upsert"}', "not a text"),
        (b'{"_key":"k","_version":"zzz","_op":"upsert"}', "not epoch.sequence"),
        (GOOD.replace(b'"upsert"', b'"merge"'), "neither upsert, delete nor read"),
        (GOOD.replace(version(1).encode(), b"z" * 51), "not epoch.sequence"),
        (None, "not a JSON object"),
    ],
)
def test_what_is_not_a_row_is_unfit_with_its_reason(value, reason):
    found = decode(FakeMessage(value, _headers=row_headers("f", 1)))
    assert isinstance(found, Unfit)
    assert reason in found.reason


@pytest.mark.parametrize("headers", [[], [("v", b"1")], [("schema", b"f")]])
def test_a_message_without_our_headers_is_unfit(headers):
    assert isinstance(decode(FakeMessage(GOOD, _headers=headers)), Unfit)


def test_a_settled_record_says_nothing():
    assert decode(FakeMessage(settled_value(), 0, 7, settled_headers(), CONTROL_KEY)) is None


def test_an_unknown_control_record_is_unfit():
    value = sealed(1).encode().replace(b'"sealed"', b'"other"')
    assert isinstance(decode(FakeMessage(value, _headers=Sealed.headers())), Unfit)


@pytest.mark.parametrize("wire_version", [b"2", b"x"])
def test_a_newer_wire_version_stops_the_reader(wire_version):
    headers = [("v", wire_version), *row_headers("f", 1)[1:]]
    with pytest.raises(UnknownVersionError, match="Upgrade"):
        decode(FakeMessage(GOOD, _headers=headers))


def test_the_newest_of_each_key_stays_whatever_the_order():
    rows = [row("a", 2), row("a", 1), row("b", 1), row("b", 3, delete=True), row("b", 2)]
    for order in (rows, rows[::-1]):
        found = newest_of_each_key(order)
        assert {key: r.version for key, r in found.items()} == {"a": version(2), "b": version(3)}
        assert found["b"].deleted


def test_an_upsert_beats_a_delete_of_equal_version():
    pair = [row("a", 1), row("a", 1, delete=True)]
    assert not newest_of_each_key(pair)["a"].deleted
    assert not newest_of_each_key(pair[::-1])["a"].deleted
