"""Text into tokens, each with its position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from processors.language import problems

Kind = Literal["name", "quoted", "string", "number", "symbol", "end"]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
    | (?P<string>'(?:[^']|'')*')
    | (?P<symbol><>|!=|<=|>=|==|\|\||::|[=<>()\[\],.+\-*/%])
    )""",
    re.VERBOSE,
)
_UNCLOSED = {"'": "text literal", '"': "quoted name", "`": "quoted name"}


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is unescaped; `quoted` names and plain names differ only in kind."""

    kind: Kind
    value: str
    position: int

    def word(self) -> str:
        """The token as a keyword would be compared; empty where it can't be one."""
        return self.value.lower() if self.kind == "name" else ""


def tokenize(text: str) -> list[Token]:
    """Tokens of `text`, the last one of kind `end`.

    Raises:
        ConfigurationError: a character that begins no token, or an unclosed quote.
    """
    tokens: list[Token] = []
    position, length = 0, len(text.rstrip())
    while position < length:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _unexpected(text, position)
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        raw = match[kind]
        value = raw
        if kind in ("quoted", "string"):
            value = raw[1:-1].replace(raw[0] * 2, raw[0])
        tokens.append(Token(kind, value, match.start(kind)))
        position = match.end()
    tokens.append(Token("end", "", length))
    return tokens


def _unexpected(text: str, position: int) -> Exception:
    while text[position].isspace():
        position += 1
    character = text[position]
    if character in _UNCLOSED:
        return problems.at(text, position, f"a {_UNCLOSED[character]} that is never closed")
    return problems.at(
        text,
        position,
        f"unexpected {character!r}",
        'Put names with other characters in quotes: "order-id"',
    )
