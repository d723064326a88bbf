"""Errors of the language: they point at the character and say what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from bridge.wire.errors import ConfigurationError

_CONTEXT = 30


def at(text: str, position: int, what: str, remedy: str = "") -> ConfigurationError:
    """A mistake in `text` at a character; the message marks the place with `▶`."""
    start, end = max(0, position - _CONTEXT), position + _CONTEXT
    before = ("…" if start else "") + text[start:position]
    after = text[position:end] + ("…" if end < len(text) else "")
    return ConfigurationError(
        f"{what} at character {position + 1}: {before}▶{after}", where=quote(text), remedy=remedy
    )


def quote(text: str) -> str:
    """The expression as it is named in a message, cut where it is long."""
    shown = text if len(text) <= 80 else text[:79] + "…"
    return f'"{shown}"'


def nearest(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?`, or the known names where none is near."""
    names = sorted(known)
    folded = {candidate.lower(): candidate for candidate in names}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if found:
        return f"Did you mean {folded[found[0]]!r}?"
    return f"Known here: {', '.join(names)}" if names else ""
