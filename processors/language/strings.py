"""Text functions. Positions begin at 1 and lengths count characters, as in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from processors.language.runtime import UnfitValueError

# A row is an item's, and an item has at most 400 KB.
_LENGTH_MAX = 1_000_000
_SPACE = " "


def trim(text: str, characters: str = _SPACE) -> str:
    """Without these characters on both sides; spaces where none are named."""
    return text.strip(characters)


def ltrim(text: str, characters: str = _SPACE) -> str:
    """As `trim`, on the left."""
    return text.lstrip(characters)


def rtrim(text: str, characters: str = _SPACE) -> str:
    """As `trim`, on the right."""
    return text.rstrip(characters)


def substring(text: str, start: int, length: int | None = None) -> str:
    """From a position; a negative one counts from the end, positions before 1 are empty."""
    first = start - 1 if start > 0 else len(text) + start if start < 0 else -1
    last = len(text) if length is None else first + max(length, 0)
    return text[max(first, 0) : max(last, 0)]


def left(text: str, length: int) -> str:
    """The first characters."""
    return text[: max(length, 0)]


def right(text: str, length: int) -> str:
    """The last characters."""
    return text[-length:] if length > 0 else ""


def replace(text: str, old: str, new: str, where: str) -> str:
    """Every `old` by `new`. Raises: UnfitValueError: the result is too long."""
    if not old:
        return text
    _check_length(len(text) + text.count(old) * (len(new) - len(old)), where)
    return text.replace(old, new)


def split_part(text: str, separator: str, number: int) -> str | None:
    """The part of this number, from the end where it is negative; NULL beyond the parts."""
    parts = text.split(separator) if separator else [text]
    index = number - 1 if number > 0 else number
    return parts[index] if number and -len(parts) <= index < len(parts) else None


def pad_left(text: str, length: int, where: str, filling: str = _SPACE) -> str:
    """Filled up, or cut, to a length. Raises: UnfitValueError: the result is too long."""
    return _filling(text, length, filling, where) + text[: max(length, 0)]


def pad_right(text: str, length: int, where: str, filling: str = _SPACE) -> str:
    """As `pad_left`, on the right. Raises: UnfitValueError."""
    return text[: max(length, 0)] + _filling(text, length, filling, where)


def _filling(text: str, length: int, filling: str, where: str) -> str:
    _check_length(length, where)
    missing = max(length - len(text), 0) if filling else 0
    return (filling * (missing // max(len(filling), 1) + 1))[:missing]


def _check_length(length: int, where: str) -> None:
    if length > _LENGTH_MAX:
        raise UnfitValueError(f"a text of more than {_LENGTH_MAX:,} characters", where=where)


def joined(separator: str, *parts: str | None) -> str:
    """The parts that are not NULL, with the separator between them."""
    return separator.join(part for part in parts if part is not None)


def concatenated(*parts: str) -> str:
    """One behind the other."""
    return "".join(parts)


def hashed(algorithm: str) -> Any:
    """A function: the hexadecimal digest of a text in UTF-8."""
    make = getattr(hashlib, algorithm)
    return lambda text: make(
        text.encode("utf-8", "surrogatepass"), usedforsecurity=False
    ).hexdigest()


Pattern = tuple[tuple[str | None, ...], ...]


def like_parts(pattern: str, escape: str) -> Pattern | None:
    """A like pattern as the runs between its `%`, None for `_`; None where an escape is misused."""
    runs: list[list[str | None]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            following = next(characters, None)
            if following is None or following not in ("%", "_", escape):
                return None
            runs[-1].append(following)
        elif character == "%":
            runs.append([])
        else:
            runs[-1].append(None if character == "_" else character)
    return tuple(map(tuple, runs))


def like(text: str, parts: Pattern) -> bool:
    """Whether the whole text matches; takes text times pattern at most, whatever they hold."""
    first, *rest = parts
    if not _matches(text, 0, first):
        return False
    if not rest:
        return len(text) == len(first)
    position, (*middle, last) = len(first), rest
    for run in middle:
        found = _find(text, position, run)
        if found < 0:
            return False
        position = found + len(run)
    start = len(text) - len(last)
    return start >= position and _matches(text, start, last)


def _matches(text: str, start: int, run: Sequence[str | None]) -> bool:
    if start + len(run) > len(text):
        return False
    return all(wanted in (None, text[start + i]) for i, wanted in enumerate(run))


def _find(text: str, start: int, run: Sequence[str | None]) -> int:
    if None not in run:
        return text.find("".join(map(str, run)), start)
    ends = len(text) - len(run) + 1
    return next((at for at in range(start, ends) if _matches(text, at, run)), -1)


def json_steps(path: str) -> tuple[str | int, ...] | None:
    """`$.lines[0].sku` -> `("lines", 0, "sku")`; None where it is no such path."""
    if not path.startswith("$"):
        return None
    steps: list[str | int] = []
    rest = path[1:]
    while rest:
        if rest.startswith("['") and (end := rest.find("']")) > 0:
            steps.append(rest[2:end])
            rest = rest[end + 2 :]
        elif rest.startswith("[") and (end := rest.find("]")) > 0 and rest[1:end].isdecimal():
            steps.append(int(rest[1:end]))
            rest = rest[end + 1 :]
        elif rest.startswith("."):
            ends = [at for mark in ".[" if (at := rest.find(mark, 1)) > 0]
            end = min(ends, default=len(rest))
            if end == 1:
                return None
            steps.append(rest[1:end])
            rest = rest[end:]
        else:
            return None
    return tuple(steps)


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(msgspec.Raw)


def json_value(text: str, steps: tuple[str | int, ...]) -> str | None:
    """What lies at a path in JSON text: a text as it is, all else as JSON; NULL for nothing.

    Text that is no JSON has nothing at any path. Numbers keep all their digits.
    """
    try:
        raw: Any = msgspec.Raw(text.encode())
        for step in steps:
            inside: Any = (_OBJECT if isinstance(step, str) else _ARRAY).decode(raw)
            raw = inside[step]
        found = bytes(_ANY.decode(raw)).decode().strip()
        if found.startswith('"'):
            return str(msgspec.json.decode(found))
    except (msgspec.MsgspecError, KeyError, IndexError, RecursionError, UnicodeError):
        return None
    return None if found == "null" else found
