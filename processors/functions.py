"""The functions of the language for expressions built in Python.

`functions.lower(col("email"))` is `col("lower(email)")`. Plain values are literals; a name that
Python has taken is written with an underscore: `functions.if_(…)`. `functions.sum(…)` and its like
are for `agg`.
"""

from __future__ import annotations

from collections.abc import Callable

from processors.columns import Column, Value, call
from processors.language import problems
from processors.language.functions import AGGREGATES, ALIASES, names


def __getattr__(name: str) -> Callable[..., Column]:
    function = name.rstrip("_")
    if name.startswith("_") or function not in {*names(), *ALIASES, *AGGREGATES}:
        near = problems.nearest(function, names())
        raise AttributeError(f"the language has no function {name!r}. {near}")

    def build(*arguments: Value) -> Column:
        return call(function, *arguments)

    build.__name__ = build.__qualname__ = name
    return build


def __dir__() -> list[str]:
    return sorted({*names(), *AGGREGATES})
