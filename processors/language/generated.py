"""What generated functions find among their globals, and the source of its logic."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.wire.attributes import canonical_binary
from processors.language import casts, collections, nodes, runtime

_PLACE_MAX = 200

RUNTIME: dict[str, Any] = {
    "__builtins__": {"len": len, "str": str, "int": int},
    "dumps": orjson.dumps,
    "binary_key": canonical_binary,
    **{
        function.__name__: function
        for function in (
            runtime.text,
            runtime.boolean,
            runtime.binary,
            runtime.number,
            runtime.exact_text,
            runtime.json_text,
            runtime.elements,
            runtime.whole,
            runtime.decimal_text,
            runtime.to_decimal,
            runtime.to_bigint,
            runtime.to_double,
            runtime.to_boolean,
            runtime.to_string,
            runtime.one_of,
            runtime.null_key,
            runtime.number_key,
            casts.attempt,
            casts.exact_column,
            casts.read_column,
            collections.differs,
            collections.distinct,
        )
    },
}


def three_valued(word: str, left: str, right: str) -> str:
    """The source of SQL's and, or, of two variables."""
    decides = "False" if word == "and" else "True"
    neutral = "True" if word == "and" else "False"
    return (
        f"{decides} if {left} is {decides} or {right} is {decides} else "
        f"None if {left} is None or {right} is None else {neutral}"
    )


def plain_digits(name: str, digits: int) -> str:
    """The source of whether a variable is text of decimal digits, so many at most."""
    plain = f"{name}.isdecimal() and {name}.isascii()"
    return f"{name}.__class__ is str and {plain} and len({name}) <= {digits}"


def plain_key(name: str, zero: str) -> str:
    """The source of whether a variable is an integer as a key has it; `zero` is the text "0"."""
    plain = f"{name}.isdecimal() and {name}.isascii()"
    return f"{name}.__class__ is str and {plain} and ({name}[0] != {zero} or {name} == {zero})"


def place(node: nodes.Node) -> str:
    """A node as it is named in a message."""
    spelled = nodes.spelled(node)
    return spelled if len(spelled) <= _PLACE_MAX else spelled[: _PLACE_MAX - 1] + "…"
