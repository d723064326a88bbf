"""DynamoDB AttributeValues: canonical typed keys, and exact plain values.

A typed value is DynamoDB JSON, `{"S": "o-1"}`, `{"N": "12.50"}`, `{"B": "<base64>"}`. A canonical
key is the same bytes whoever writes it: attributes sorted by name, no spaces, numbers in plain
notation without needless zeros, base64 with standard padding. Kafka partitions by these bytes, so
two spellings of one number must not become two keys.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import orjson

from bridge.wire.errors import WireError

KEY_TYPES = frozenset("SNB")
# 38 significant digits; source: "Supported data types", Amazon DynamoDB Developer Guide.
NUMBER_CONTEXT = Context(prec=38)

TypedKey = Mapping[str, Mapping[str, str]]


def canonical_number(text: str) -> str:
    """`"1.50"`, `"15E-1"` -> `"1.5"`; exact, plain notation, no exponent, `"-0"` is `"0"`.

    Raises:
        WireError: not a finite number.
    """
    if _is_plain_integer(text):
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise WireError(f"not a number (N) of {len(text)} characters")
    plain = f"{number:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    negative, digits = plain.startswith("-"), plain.lstrip("-+").lstrip("0")
    if digits in ("", "."):
        return "0"
    digits = "0" + digits if digits.startswith(".") else digits
    return "-" + digits if negative else digits


def canonical_binary(text: str) -> str:
    """Base64 text in its one canonical spelling.

    Raises:
        WireError: not base64.
    """
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError):
        raise WireError("a binary (B) value that is not base64") from None


def canonical_attribute(name: str, value: object) -> dict[str, str]:
    """One typed key attribute, canonical.

    Raises:
        WireError: not a single-typed value of S, N or B, the types a key may have.
    """
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, text),) = value.items()
        if kind in KEY_TYPES and isinstance(text, str):
            if kind == "N":
                text = canonical_number(text)
            elif kind == "B":
                text = canonical_binary(text)
            return {kind: text}
    raise WireError(f"key attribute {name!r} is not one typed value of S, N or B")


def canonical_key(attributes: Mapping[str, object]) -> bytes:
    """Canonical JSON of a typed key of one or two attributes: `{"orderId":{"S":"o-1"}}`.

    Raises:
        WireError: no attributes, or one that can't be a key.
    """
    # A copy: many are kept, and what orjson makes holds on to the kilobytes it was written into.
    return b"%b" % _canonical_key(attributes)


def canonical_key_text(attributes: Mapping[str, object]) -> str:
    """`canonical_key` as text.

    Raises:
        WireError: as there.
    """
    return _canonical_key(attributes).decode()


def _canonical_key(attributes: Mapping[str, object]) -> bytes:
    if not attributes:
        raise WireError("a key without attributes")
    if not _is_canonical(attributes):
        attributes = {name: canonical_attribute(name, value) for name, value in attributes.items()}
    if len(attributes) == 1:
        return orjson.dumps(attributes)
    return orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS)


def _is_canonical(attributes: Mapping[str, object]) -> bool:
    """Whether each is texts or plain integers already: nearly every key is, and this is quick."""
    if attributes.__class__ is not dict:
        return False
    for value in attributes.values():
        if value.__class__ is not dict or len(value) != 1:
            return False
        if value.get("S").__class__ is not str:
            number = value.get("N")
            if number.__class__ is not str or not _is_plain_integer(number):
                return False
    return True


def _is_plain_integer(text: str) -> bool:
    return text.isdecimal() and text.isascii() and (text[0] != "0" or text == "0")


def plain_value(value: Mapping[str, Any]) -> Any:
    """A typed value as plain Python, exact: N as Decimal, B as bytes, sets as sorted lists.

    Raises:
        WireError: an unknown type or malformed content.
    """
    if len(value) != 1:
        raise WireError("a typed value must have exactly one type")
    ((kind, content),) = value.items()
    decode = _PLAIN.get(kind)
    if decode is None:
        raise WireError(f"unknown attribute type {kind[:20]!r}")
    return decode(content)


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "S": lambda text: text,
    "N": Decimal,
    "B": base64.b64decode,
    "BOOL": lambda flag: flag,
    "NULL": lambda _: None,
    "M": lambda fields: {name: plain_value(inner) for name, inner in fields.items()},
    "L": lambda items: [plain_value(inner) for inner in items],
    "SS": sorted,
    "NS": lambda texts: sorted(Decimal(text) for text in texts),
    "BS": lambda texts: sorted(base64.b64decode(text) for text in texts),
}
