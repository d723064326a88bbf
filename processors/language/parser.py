"""Tokens into a tree: recursive descent, loosest binding first.

named      = expression ["as" name]
expression = conjunction {"or" conjunction}
conjunction = negation {"and" negation}
negation   = "not" negation | predicate
predicate  = operand [sign operand | "is" ["not"] "null"
             | ["not"] "in" "(" expression {"," expression} ")"
             | ["not"] "between" operand "and" operand]
operand    = literal | "-" number | "(" expression ")"
             | "cast" "(" expression "as" type ")" | path
path       = name {"." name | "[" integer "]"}
"""

from __future__ import annotations

from decimal import Decimal
from typing import cast

from processors.language import problems, syntax
from processors.language.tokens import Token, tokenize

_SIGNS = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_RESERVED = frozenset({"and", "or", "not", "in", "is", "as", "between", "cast", *_CONSTANTS})
_DEPTH_MAX = 64


def parse_named(text: str) -> syntax.Named:
    """`expression [as name]`.

    Raises:
        ConfigurationError: with the character pointed at.
    """
    parser = _Parser(text)
    expression = parser.expression()
    alias = None
    if parser.take_word("as"):
        alias = parser.name("a name behind 'as'").value
    parser.finish()
    return syntax.Named(expression, alias, text)


def parse_expression(text: str) -> syntax.Expression:
    """An expression with nothing behind it.

    Raises:
        ConfigurationError: with the character pointed at.
    """
    parser = _Parser(text)
    expression = parser.expression()
    parser.finish()
    return expression


class _Parser:
    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text.strip():
            raise problems.at(str(text), 0, "nothing is written")
        self._text = text
        self._tokens = tokenize(text)
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        return self._tokens[self._next]

    def advance(self) -> Token:
        token = self.token
        self._next += 1
        return token

    def expected(self, what: str) -> Exception:
        token = self.token
        found = "the end" if token.kind == "end" else repr(token.value)
        remedy = ""
        if token.kind == "number":
            remedy = 'Put names that begin with a digit in quotes: "2nd"'
        elif token.value == "-":
            remedy = 'Put names with other characters in quotes: "order-id"'
        return problems.at(self._text, token.position, f"{what} expected, not {found},", remedy)

    def take_symbol(self, *symbols: str) -> Token | None:
        if self.token.kind == "symbol" and self.token.value in symbols:
            return self.advance()
        return None

    def need_symbol(self, symbol: str) -> Token:
        token = self.take_symbol(symbol)
        if token is None:
            raise self.expected(repr(symbol))
        return token

    def take_word(self, *words: str) -> Token | None:
        return self.advance() if self.token.word() in words else None

    def need_word(self, word: str) -> None:
        if self.take_word(word) is None:
            raise self.expected(repr(word))

    def name(self, what: str) -> Token:
        if self.token.kind not in ("name", "quoted") or not self.token.value:
            raise self.expected(what)
        return self.advance()

    def finish(self) -> None:
        if self.token.kind != "end":
            raise self.expected("the end")

    def expression(self) -> syntax.Expression:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise problems.at(self._text, self.token.position, f"more than {_DEPTH_MAX} levels")
        left = self._conjunction()
        while word := self.take_word("or"):
            left = syntax.Logical("or", left, self._conjunction(), word.position)
        self._depth -= 1
        return left

    def _conjunction(self) -> syntax.Expression:
        left = self._negation()
        while word := self.take_word("and"):
            left = syntax.Logical("and", left, self._negation(), word.position)
        return left

    def _negation(self) -> syntax.Expression:
        signs = []
        while word := self.take_word("not"):
            signs.append(word.position)
        operand = self._predicate()
        for position in reversed(signs):
            operand = syntax.Negation(operand, position)
        return operand

    def _predicate(self) -> syntax.Expression:
        left = self._operand()
        if sign := self.take_symbol(*_SIGNS):
            written = cast("syntax.ComparisonSign", _SIGNS[sign.value])
            return syntax.Comparison(written, left, self._operand(), sign.position)
        if word := self.take_word("is"):
            negated = self.take_word("not") is not None
            self.need_word("null")
            return _negate(syntax.NullTest(left, word.position), negated, word)
        word = self.token
        negated = self.take_word("not") is not None
        if self.take_word("in"):
            return _negate(syntax.Membership(left, self._choices(), word.position), negated, word)
        if self.take_word("between"):
            return _negate(self._between(left, word), negated, word)
        if negated:
            raise self.expected("'in' or 'between'")
        return left

    def _choices(self) -> tuple[syntax.Expression, ...]:
        self.need_symbol("(")
        choices = [self.expression()]
        while self.take_symbol(","):
            choices.append(self.expression())
        self.need_symbol(")")
        return tuple(choices)

    def _between(self, value: syntax.Expression, word: Token) -> syntax.Expression:
        low = self._operand()
        self.need_word("and")
        high = self._operand()
        return syntax.Logical(
            "and",
            syntax.Comparison(">=", value, low, word.position),
            syntax.Comparison("<=", value, high, word.position),
            word.position,
        )

    def _operand(self) -> syntax.Expression:
        token = self.token
        if token.kind == "string":
            return syntax.Literally(self.advance().value, token.position)
        if token.kind == "number":
            return syntax.Literally(Decimal(self.advance().value), token.position)
        if self.take_symbol("-"):
            if self.token.kind != "number":
                raise self.expected("a number behind '-'")
            return syntax.Literally(-Decimal(self.advance().value), token.position)
        if self.take_symbol("("):
            inner = self.expression()
            self.need_symbol(")")
            return inner
        if token.word() in _CONSTANTS:
            return syntax.Literally(_CONSTANTS[self.advance().word()], token.position)
        if token.word() == "cast":
            return self._cast()
        return self._path()

    def _cast(self) -> syntax.Expression:
        position = self.advance().position
        self.need_symbol("(")
        operand = self.expression()
        self.need_word("as")
        target = self.name("a type").value.lower()
        if self.take_symbol("("):
            sizes = [self._integer()]
            if self.take_symbol(","):
                sizes.append(self._integer())
            self.need_symbol(")")
            target += "(" + ",".join(map(str, sizes)) + ")"
        self.need_symbol(")")
        return syntax.Cast(operand, target, position)

    def _integer(self) -> int:
        if self.token.kind != "number" or not self.token.value.isdecimal():
            raise self.expected("a whole number")
        return int(self.advance().value)

    def _path(self) -> syntax.Path:
        if self.token.word() in _RESERVED:
            raise self.expected("a name or a value")
        first = self.name("a name or a value")
        parts = [syntax.Part(first.value, first.position)]
        while True:
            if self.take_symbol("."):
                token = self.name("a name behind '.'")
                parts.append(syntax.Part(token.value, token.position))
            elif bracket := self.take_symbol("["):
                parts.append(syntax.Part(self._integer(), bracket.position))
                self.need_symbol("]")
            else:
                return syntax.Path(tuple(parts), first.position)


def _negate(operand: syntax.Expression, negated: bool, word: Token) -> syntax.Expression:
    return syntax.Negation(operand, word.position) if negated else operand
