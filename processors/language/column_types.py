"""Column types, as schemas on the wire name them, and how values of them look.

In an expression a value is plain Python: string `str`, decimal `Decimal`, bigint `int`, double
`float`, boolean `bool`, binary base64 `str`, json `str`, date `datetime.date`, timestamp
`datetime.datetime` in UTC. NULL is None everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

STRING = "string"
BIGINT = "bigint"
DOUBLE = "double"
BOOLEAN = "boolean"
BINARY = "binary"
JSON = "json"
DATE = "date"
TIMESTAMP = "timestamp"
NULL = "null"
EXACT_NUMBER = "decimal(38,18)"

DECIMAL_PRECISION_MAX = 38
CAST_TARGETS = (
    STRING, BIGINT, DOUBLE, BOOLEAN, "decimal(p,s)", DATE, TIMESTAMP, BINARY, JSON,
)  # fmt: skip

_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")

# What a typed path yields: the type of its last step. Source: "Attribute values", DynamoDB Streams.
ATTRIBUTE_TYPES = {
    "S": STRING,
    "N": EXACT_NUMBER,
    "B": BINARY,
    "BOOL": BOOLEAN,
    "NULL": BOOLEAN,
    "SS": JSON,
    "NS": JSON,
    "BS": JSON,
    "M": JSON,
    "L": JSON,
}


def decimal_shape(column_type: str) -> tuple[int, int] | None:
    """`decimal(p,s)` -> `(p, s)`; None for any other type."""
    found = _DECIMAL.fullmatch(column_type)
    return (int(found[1]), int(found[2])) if found else None


def is_number(column_type: str) -> bool:
    """Whether values of the type compare as numbers."""
    return column_type in (BIGINT, DOUBLE) or column_type.startswith("decimal(")


def comparable(left: str, right: str) -> bool:
    """Whether SQL comparison of the two types makes sense here."""
    if NULL in (left, right):
        return True
    if is_number(left) and is_number(right):
        return True
    if {left, right} == {DATE, TIMESTAMP}:
        return True
    return left == right and left in (STRING, BOOLEAN, BINARY, DATE, TIMESTAMP)


def unified(types: Iterable[str]) -> str | None:
    """The type that values of all these have in common, None where there is none.

    NULL goes with any; exact numbers of different types are decimal(38,18), a double makes a
    double of all, dates beside timestamps are timestamps at midnight UTC.
    """
    found = set(types) - {NULL}
    if len(found) <= 1:
        return next(iter(found), NULL)
    if all(map(is_number, found)):
        return DOUBLE if DOUBLE in found else EXACT_NUMBER
    return TIMESTAMP if found == {DATE, TIMESTAMP} else None
