"""Functions of lists, maps and sets: of the typed value of a path, or of JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from processors.language import runtime
from processors.language.runtime import UnfitValueError

_SETS = frozenset({"SS", "NS", "BS"})


def size(value: Any, where: str) -> int | None:
    """How many elements or entries. Raises: UnfitValueError: malformed content."""
    content = _content(value, where)
    return len(content) if isinstance(content, list | dict) else None


def array_contains(value: Any, wanted: Any, where: str) -> bool | None:
    """Whether a list or a set has the value; NULL of anything else. Raises: UnfitValueError."""
    content = _content(value, where)
    if not isinstance(content, list):
        return None
    if isinstance(value, Mapping):
        (tag,) = value
        return any(_same(typed, wanted, tag) for typed in content)
    return any(_plainly_same(inner, wanted) for inner in content)


def _content(value: Any, where: str) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value, parse_float=Decimal, parse_int=Decimal)
        except (ValueError, RecursionError, ArithmeticError):
            raise UnfitValueError("not JSON", where=where) from None
    ((tag, content),) = value.items()
    if not isinstance(content, dict if tag == "M" else list):
        raise UnfitValueError(f"malformed content of type {tag}", where=where)
    return content


def _same(inner: Any, wanted: Any, tag: str) -> bool:
    """Whether an element of a list, which has a type, or of a set is the value."""
    if tag == "L":
        if not isinstance(inner, Mapping) or len(inner) != 1:
            return False
        ((tag, inner),) = inner.items()
    if tag in ("N", "NS"):
        return _plainly_same(runtime.number(inner, "N"), wanted)
    if tag in ("S", "SS", "B", "BS", "BOOL"):
        return _plainly_same(inner, wanted)
    return False


def _plainly_same(inner: Any, wanted: Any) -> bool:
    if isinstance(inner, bool) or isinstance(wanted, bool):
        return inner is wanted
    if isinstance(wanted, float) and isinstance(inner, Decimal):
        return float(inner) == wanted
    return bool(inner == wanted)


def differs(new: Any, old: Any) -> bool:
    """Whether two typed values, or none, are not the same; the order of sets means nothing."""
    if new is None or old is None or new == old:
        return (new is None) != (old is None)
    return bool(_comparable(new) != _comparable(old))


def _comparable(typed: Any) -> Any:
    ((tag, content),) = typed.items()
    if tag in _SETS:
        return tag, frozenset(Decimal(inner) if tag == "NS" else inner for inner in content)
    if tag == "N":
        return tag, Decimal(content)
    if tag == "M":
        return tag, {name: _comparable(inner) for name, inner in content.items()}
    if tag == "L":
        return tag, [_comparable(inner) for inner in content]
    return tag, content


def distinct(left: Any, right: Any) -> bool:
    """SQL `is distinct from`: two NULLs are the same."""
    return bool(left != right)
