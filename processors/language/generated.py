"""What generated functions find among their globals, and the source of its logic."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.wire.attributes import canonical_binary
from bridge.wire.rowkeys import in_table
from processors.language import casts, collections, nodes, runtime

_PLACE_MAX = 200

RUNTIME: dict[str, Any] = {
    "__builtins__": {"len": len, "str": str},
    "dumps": orjson.dumps,
    "binary_key": canonical_binary,
    "in_table": in_table,
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
            runtime.decimal_column,
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


def place(node: nodes.Node) -> str:
    """A node as it is named in a message."""
    spelled = nodes.spelled(node)
    return spelled if len(spelled) <= _PLACE_MAX else spelled[: _PLACE_MAX - 1] + "…"
