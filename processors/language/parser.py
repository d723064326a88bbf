"""Tokens into a tree: recursive descent, loosest binding first.

named      = expression ["as" name]
expression = conjunction {"or" conjunction}
conjunction = negation {"and" negation}
negation   = "not" negation | predicate
predicate  = joined [sign joined |
             "is" ["not"] ("null" | "true" | "false" | "distinct" "from" joined)
             | ["not"] "in" "(" expression {"," expression} ")"
             | ["not"] "between" joined "and" joined
             | ["not"] "like" joined ["escape" string]]
joined     = sum {"||" sum}
sum        = product {("+" | "-") product}
product    = signed {("*" | "/" | "%") signed}
signed     = "-" signed | operand {"::" type}
operand    = literal | ("date" | "timestamp") string | "(" expression ")" | case
             | ("cast" | "try_cast") "(" expression "as" type ")"
             | name "(" ["*" | expression {"," expression}] ")" | path
case       = "case" [expression] {"when" expression "then" expression} ["else" expression] "end"
path       = name {"." name | "[" integer "]"}
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Protocol, cast

from processors.language import problems, syntax
from processors.language.tokens import Token, tokenize

_SIGNS = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_RESERVED = frozenset(
    {"and", "or", "not", "in", "is", "as", "between", "case", "cast", "try_cast", *_CONSTANTS}
)
_DEPTH_MAX = 64
_CHAIN_MAX = 500


class Written(Protocol):
    """An expression built in Python; `processors.columns.Column` is one."""

    name: str | None

    def text(self) -> str:
        """The expression as text."""


def parse_named(item: str | Written) -> syntax.Named:
    """`expression [as name]`, as text or built in Python.

    Raises:
        ConfigurationError: with the character pointed at.
    """
    if not isinstance(item, str):
        text = item.text()
        return syntax.Named(parse_expression(text), item.name, text)
    parser = _Parser(item)
    expression = parser.expression()
    alias = None
    if parser.take_word("as"):
        alias = parser.name("a name behind 'as'").value
    parser.finish()
    return syntax.Named(expression, alias, item)


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
        self._chained = 0

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
        elif token.word() in _RESERVED:
            remedy = f'Put a name that is a word of the language in quotes: "{token.value}"'
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

    def deeper(self) -> None:
        """Count a level: trees of any depth would overflow the stack of who walks them."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise problems.at(self._text, self.token.position, f"more than {_DEPTH_MAX} levels")

    def longer(self) -> None:
        """Count a joined operand, which makes the tree deeper as well."""
        self._chained += 1
        if self._chained > _CHAIN_MAX:
            raise problems.at(self._text, self.token.position, f"more than {_CHAIN_MAX} operators")

    def expression(self) -> syntax.Expression:
        self.deeper()
        left = self._conjunction()
        while word := self.take_word("or"):
            self.longer()
            left = syntax.Logical("or", left, self._conjunction(), word.position)
        self._depth -= 1
        return left

    def _conjunction(self) -> syntax.Expression:
        left = self._negation()
        while word := self.take_word("and"):
            self.longer()
            left = syntax.Logical("and", left, self._negation(), word.position)
        return left

    def _negation(self) -> syntax.Expression:
        signs = []
        while word := self.take_word("not"):
            self.longer()
            signs.append(word.position)
        operand = self._predicate()
        for position in reversed(signs):
            operand = syntax.Negation(operand, position)
        return operand

    def _predicate(self) -> syntax.Expression:
        left = self._joined()
        if sign := self.take_symbol(*_SIGNS):
            written = cast("syntax.ComparisonSign", _SIGNS[sign.value])
            return syntax.Comparison(written, left, self._joined(), sign.position)
        if word := self.take_word("is"):
            negated = self.take_word("not") is not None
            if self.take_word("distinct"):
                self.need_word("from")
                pair = (left, self._joined())
                return _negate(syntax.Call("is_distinct", pair, word.position), negated, word)
            if truth := self.take_word("true", "false"):
                wanted = syntax.Literally(truth.value.lower() == "true", truth.position)
                differs = syntax.Call("is_distinct", (left, wanted), word.position)
                return _negate(differs, not negated, word)
            self.need_word("null")
            return _negate(syntax.NullTest(left, word.position), negated, word)
        word = self.token
        negated = self.take_word("not") is not None
        if self.take_word("in"):
            return _negate(syntax.Membership(left, self._choices(), word.position), negated, word)
        if self.take_word("between"):
            return _negate(self._between(left, word), negated, word)
        if self.take_word("like"):
            return _negate(self._like(left, word), negated, word)
        if negated:
            raise self.expected("'in', 'between' or 'like'")
        return left

    def _choices(self) -> tuple[syntax.Expression, ...]:
        self.need_symbol("(")
        choices = [self.expression()]
        while self.take_symbol(","):
            choices.append(self.expression())
        self.need_symbol(")")
        return tuple(choices)

    def _between(self, value: syntax.Expression, word: Token) -> syntax.Expression:
        low = self._joined()
        self.need_word("and")
        high = self._joined()
        return syntax.Logical(
            "and",
            syntax.Comparison(">=", value, low, word.position),
            syntax.Comparison("<=", value, high, word.position),
            word.position,
        )

    def _like(self, value: syntax.Expression, word: Token) -> syntax.Expression:
        arguments = [value, self._joined()]
        if self.take_word("escape"):
            arguments.append(self._joined())
        return syntax.Call("like", tuple(arguments), word.position)

    def _joined(self) -> syntax.Expression:
        left = self._sum()
        while sign := self.take_symbol("||"):
            self.longer()
            left = syntax.Call("||", (left, self._sum()), sign.position)
        return left

    def _sum(self) -> syntax.Expression:
        left = self._product()
        while sign := self.take_symbol("+", "-"):
            self.longer()
            left = syntax.Call(sign.value, (left, self._product()), sign.position)
        return left

    def _product(self) -> syntax.Expression:
        left = self._signed()
        while sign := self.take_symbol("*", "/", "%"):
            self.longer()
            left = syntax.Call(sign.value, (left, self._signed()), sign.position)
        return left

    def _signed(self) -> syntax.Expression:
        if sign := self.take_symbol("-"):
            self.deeper()
            operand = self._signed()
            self._depth -= 1
            if isinstance(operand, syntax.Literally) and isinstance(operand.value, Decimal):
                return syntax.Literally(-operand.value, sign.position)
            return syntax.Call("negative", (operand,), sign.position)
        operand = self._operand()
        while sign := self.take_symbol("::"):
            self.longer()
            operand = syntax.Cast(operand, self._type(), sign.position)
        return operand

    def _operand(self) -> syntax.Expression:
        token, following = self.token, self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        if token.kind == "string":
            return syntax.Literally(self.advance().value, token.position)
        if token.kind == "number":
            return syntax.Literally(Decimal(self.advance().value), token.position)
        if self.take_symbol("("):
            inner = self.expression()
            self.need_symbol(")")
            return inner
        word = token.word()
        if word in _CONSTANTS:
            return syntax.Literally(_CONSTANTS[self.advance().word()], token.position)
        if word in ("cast", "try_cast"):
            return self._cast()
        if word == "case":
            return self._case()
        if word in ("date", "timestamp") and following.kind == "string":
            kind: Literal["date", "timestamp"] = "date" if word == "date" else "timestamp"
            self.advance()
            return syntax.Literally(self.advance().value, token.position, kind)
        calls = following.kind == "symbol" and following.value == "("
        if token.kind == "name" and calls and word not in _RESERVED:
            return self._call()
        return self._path()

    def _call(self) -> syntax.Expression:
        name = self.advance()
        self.need_symbol("(")
        if self.take_symbol("*"):
            self.need_symbol(")")
            return syntax.Call(name.word(), (), name.position, star=True)
        arguments: list[syntax.Expression] = []
        if not self.take_symbol(")"):
            arguments.append(self.expression())
            while self.take_symbol(","):
                arguments.append(self.expression())
            self.need_symbol(")")
        return syntax.Call(name.word(), tuple(arguments), name.position)

    def _case(self) -> syntax.Expression:
        position = self.advance().position
        subject = None if self.token.word() == "when" else self.expression()
        branches: list[tuple[syntax.Expression, syntax.Expression]] = []
        while word := self.take_word("when"):
            condition = self.expression()
            if subject is not None:
                condition = syntax.Comparison("=", subject, condition, word.position)
            self.need_word("then")
            branches.append((condition, self.expression()))
        if not branches:
            raise self.expected("'when'")
        otherwise = self.expression() if self.take_word("else") else None
        self.need_word("end")
        return syntax.Case(tuple(branches), otherwise, position)

    def _cast(self) -> syntax.Expression:
        word = self.advance()
        self.need_symbol("(")
        operand = self.expression()
        self.need_word("as")
        target = self._type()
        self.need_symbol(")")
        return syntax.Cast(operand, target, word.position, word.word() == "try_cast")

    def _type(self) -> str:
        target = self.name("a type").value.lower()
        if self.take_symbol("("):
            sizes = [self._integer()]
            if self.take_symbol(","):
                sizes.append(self._integer())
            self.need_symbol(")")
            target += "(" + ",".join(map(str, sizes)) + ")"
        return target

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
