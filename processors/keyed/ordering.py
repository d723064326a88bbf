"""Values as bytes that sort as the values do: the order RocksDB keeps its keys in.

An encoding also ends by itself, so that something else can follow it in a key. Pure.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

from processors.language import column_types

_NEGATIVE, _ZERO, _POSITIVE = b"\x00", b"\x01", b"\x02"
_INVERTED = bytes(255 - byte for byte in range(256))
_DIGITS_END = b"\x00"
# DynamoDB's exponents lie within -130..125 and computed ones not far beyond.
_EXPONENT_OFFSET = 1 << 15
_SIGN_BIT = 1 << 63
_ALL_BITS = (1 << 64) - 1


def sortable(value: Any, column_type: str) -> bytes:
    """A value that is not NULL, as rows carry it, in bytes that compare as the values do.

    Numbers compare as numbers, booleans false first, everything else as text by code points.
    """
    if column_type == column_types.DOUBLE:
        return _double(float(value))
    if column_types.is_number(column_type):
        return _number(Decimal(value))
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    return text(str(value))


def text(value: str) -> bytes:
    """UTF-8 sorts by code points; a zero byte is doubled up so that the end is a lone one."""
    return value.encode().replace(b"\x00", b"\x00\xff") + b"\x00\x00"


def unsigned(value: int) -> bytes:
    """8 bytes."""
    return struct.pack(">Q", value)


def _double(value: float) -> bytes:
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))
    return unsigned(bits ^ (_ALL_BITS if bits & _SIGN_BIT else _SIGN_BIT))


def _number(value: Decimal) -> bytes:
    """Sign, then exponent, then digits; all of it inverted where the number is negative."""
    if not value:
        return _ZERO
    _, digits, _ = value.as_tuple()
    size = struct.pack(">H", value.adjusted() + _EXPONENT_OFFSET)
    # Digits as 1..10: the end, a zero byte, sorts before any of them.
    spelled = bytes(digit + 1 for digit in digits).rstrip(b"\x01")
    magnitude = size + spelled + _DIGITS_END
    if value > 0:
        return _POSITIVE + magnitude
    return _NEGATIVE + magnitude.translate(_INVERTED)
