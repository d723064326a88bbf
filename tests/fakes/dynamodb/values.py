"""AttributeValues as DynamoDB keeps them: checked, numbers normalised, sized, comparable.

Numbers hold 38 significant digits between 1E-130 and 9.99E+125 and come back in plain notation.
Sets are kept in order, so items are equal exactly when DynamoDB would call a write a no-op.
"""

import base64
import binascii
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal
from typing import Any

from tests.fakes.dynamodb.errors import AwsError, invalid, parameter_invalid

AttributeValue = dict[str, Any]
Item = dict[str, AttributeValue]

ITEM_BYTES_MAX = 400 * 1024
_DEPTH_MAX = 32
_DIGITS = Context(
    prec=38, Emin=-130, Emax=125, traps=[Inexact, InvalidOperation, Overflow, Subnormal]
)
_SET_MEMBER = {"SS": "S", "NS": "N", "BS": "B"}


def number(text: object) -> str:
    """The number as DynamoDB gives it back; refuses what it cannot hold exactly."""
    if not isinstance(text, str) or text != text.strip() or "_" in text:
        raise invalid("The parameter cannot be converted to a numeric value")
    if text.isascii() and text.isdigit() and len(text) < 38 and text[0] != "0":
        return text
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}") from None
    if not value.is_finite():
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}")
    return _in_range(value)


def _in_range(value: Decimal) -> str:
    if not value:
        return "0"
    try:
        value = _DIGITS.plus(value).normalize(_DIGITS)
    except Overflow:
        raise invalid(
            "Number overflow. Attempting to store a number with magnitude larger than supported"
            " range"
        ) from None
    except Subnormal:
        raise invalid(
            "Number underflow. Attempting to store a number with magnitude smaller than supported"
            " range"
        ) from None
    except Inexact:
        raise invalid("Attempting to store more than 38 significant digits in a Number") from None
    return format(value, "f")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise AwsError("SerializationException", "NUMBER_VALUE cannot be converted to String")
    return value


def _binary(value: object) -> str:
    try:
        raw = base64.b64decode(_text(value), validate=True)
    except binascii.Error:
        raise AwsError(
            "SerializationException", "Base64 encoded length is expected a multiple of 4 bytes"
        ) from None
    return base64.b64encode(raw).decode()


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise AwsError("SerializationException", "Unexpected token received from parser")
    return value


def _null(value: object) -> bool:
    if value is not True:
        raise parameter_invalid("Null attribute value types must have the value of true")
    return True


_SCALARS: dict[str, Callable[[object], Any]] = {
    "S": _text,
    "N": number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": _null,
}


def _members(type_name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise AwsError("SerializationException", "Unexpected value type in payload")
    if not value:
        raise parameter_invalid("An string set  may not be empty")
    members = [_SCALARS[_SET_MEMBER[type_name]](member) for member in value]
    if len(set(members)) != len(members):
        raise parameter_invalid(f"Input collection {members} contains duplicates.")
    return sorted(members, key=lambda member: sort_key({_SET_MEMBER[type_name]: member}))


def checked(value: object, depth: int = 0) -> AttributeValue:
    """The value as it is stored.

    Raises AwsError for what DynamoDB refuses.
    """
    if not isinstance(value, dict) or len(value) != 1:
        raise invalid(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        )
    if depth > _DEPTH_MAX:
        raise invalid("Nesting Levels have exceeded supported limits")
    ((type_name, inner),) = value.items()
    if type_name in _SCALARS:
        return {type_name: _SCALARS[type_name](inner)}
    if type_name in _SET_MEMBER:
        return {type_name: _members(type_name, inner)}
    if type_name == "L" and isinstance(inner, list):
        return {"L": [checked(member, depth + 1) for member in inner]}
    if type_name == "M" and isinstance(inner, dict):
        return {"M": {name: checked(member, depth + 1) for name, member in inner.items()}}
    raise invalid(
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
    )


def checked_item(item: object) -> Item:
    """Every attribute as it is stored; refuses an item above 400 KB."""
    if not isinstance(item, dict):
        raise invalid("Item must be a map of attributes")
    stored = {name: checked(value) for name, value in item.items()}
    if item_bytes(stored) > ITEM_BYTES_MAX:
        raise invalid("Item size has exceeded the maximum allowed size")
    return stored


def _number_bytes(text: str) -> int:
    whole, _, fraction = text.lstrip("-").partition(".")
    # Two digits share a byte, paired from the point; leading and trailing zeros cost nothing.
    pairs = ("0" * (len(whole) % 2) + whole, fraction + "0" * (len(fraction) % 2))
    used = "".join(pairs)
    filled = [at // 2 for at, digit in enumerate(used) if digit != "0"]
    count = filled[-1] - filled[0] + 1 if filled else 0
    return count + 1 + text.startswith("-")


def _binary_bytes(text: str) -> int:
    return len(text) // 4 * 3 - text.count("=", -2)


def value_bytes(value: AttributeValue) -> int:
    """The size DynamoDB bills: UTF-8 length, half a byte a digit, a byte per nested element."""
    ((type_name, inner),) = value.items()
    if type_name == "S":
        return len(inner) if inner.isascii() else len(inner.encode())
    if type_name == "N":
        return _number_bytes(inner)
    if type_name == "B":
        return _binary_bytes(inner)
    if type_name in {"BOOL", "NULL"}:
        return 1
    if type_name in _SET_MEMBER:
        member_type = _SET_MEMBER[type_name]
        return sum(value_bytes({member_type: member}) for member in inner)
    if type_name == "L":
        return 3 + sum(1 + value_bytes(member) for member in inner)
    return 3 + sum(1 + len(name.encode()) + value_bytes(member) for name, member in inner.items())


def item_bytes(item: Item) -> int:
    """The size of an item: its attribute names and values."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def sort_key(value: AttributeValue) -> Any:
    """The order of range keys: numbers by value, text and binary by their bytes."""
    ((type_name, inner),) = value.items()
    if type_name == "N":
        return Decimal(inner)
    if type_name == "B":
        return base64.b64decode(inner)
    return inner.encode()
