"""One spelling for the same value, whichever side it comes from."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from bridge.control.canonical import spell, spell_row
from bridge.wire.schemas import Column


@pytest.mark.parametrize(
    ("kind", "expected", "found"),
    [
        ("string", "a", "a"),
        ("bigint", 12, 12),
        ("double", 0.1, 0.1),
        ("boolean", True, True),
        ("decimal(38,18)", "12.5", Decimal("12.500000000000000000")),
        ("decimal(38,18)", "-0", Decimal("0E-18")),
        ("decimal(38,18)", "12345678901234567890.123456789012345678",
         Decimal("12345678901234567890.123456789012345678")),
        ("binary", "AAECAw==", b"\x00\x01\x02\x03"),
        ("timestamp", "2026-11-23T10:00:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("timestamp", "2026-11-23T10:00:00Z", datetime(2026, 11, 23, 10)),  # noqa: DTZ001
        ("timestamp", "2026-11-23T10:00:00Z",
         datetime(2026, 11, 23, 11, tzinfo=timezone(timedelta(hours=1)))),
        ("date", "2026-11-23", date(2026, 11, 23)),
        ("json", '{"b":1,"a":[2]}', '{"a": [2], "b": 1}'),
    ],
)  # fmt: skip
def test_both_sides_spell_alike(kind: str, expected: object, found: object) -> None:
    assert spell(kind, expected) == spell(kind, found)
    assert spell(kind, None) is None


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("decimal(38,18)", "12.5", Decimal("12.500000000000000001")),
        ("string", "1", "1 "),
        ("bigint", 2**53, 2**53 + 1),
        ("boolean", True, None),
        ("binary", "AAEC", b"\x00\x01"),
        ("json", "[1,2]", "[2,1]"),
        ("boolean", False, 0),
        ("double", 1.0, "x"),
    ],
)
def test_different_values_spell_differently(kind: str, one: object, other: object) -> None:
    assert spell(kind, one) != spell(kind, other)


def test_an_absent_column_is_null() -> None:
    columns = [Column("a", "string"), Column("b", "bigint")]

    assert spell_row(columns, {"a": "x"}) == spell_row(columns, {"b": None, "a": "x", "c": 1})
