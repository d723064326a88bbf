"""DynamoDB's expressions: their tokens, document paths, projections and updates.

UpdateExpression knows SET (with + and -, if_not_exists, list_append), REMOVE, ADD and DELETE.
"""

import copy
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.fakes.dynamodb.errors import AwsError, invalid
from tests.fakes.dynamodb.values import AttributeValue, Item, checked, number

Path = tuple[str | int, ...]

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>()\[\],.+-]|[:#]?[A-Za-z0-9_]+)")
_CLAUSES = frozenset({"SET", "REMOVE", "ADD", "DELETE"})
_SETS = frozenset({"SS", "NS", "BS"})


@functools.cache
def _reserved_words() -> frozenset[str]:
    # moto carries AWS's list of some 570 words.
    from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

    return frozenset(ReservedKeywords.get_reserved_keywords())


@dataclass
class Tokens:
    """The tokens of one expression, with the names and values it may refer to."""

    text: str
    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, AttributeValue] = field(default_factory=dict)
    position: int = 0
    tokens: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = []
        at = 0
        text = self.text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise invalid(f'Invalid expression: Syntax error; token: "{text[at:]}"')
            self.tokens.append(match[1])
            at = match.end()

    def peek(self) -> str:
        """The next token, or the empty text at the end."""
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        """The next token, consumed."""
        token = self.peek()
        if not token:
            raise invalid("Invalid expression: Syntax error; token: <EOF>")
        self.position += 1
        return token

    def accept(self, *wanted: str) -> bool:
        """Consume the next token if it is one of these words, whatever their case."""
        if self.peek().upper() not in wanted:
            return False
        self.position += 1
        return True

    def expect(self, wanted: str) -> None:
        """Consume this token or refuse the expression."""
        token = self.take()
        if token.upper() != wanted:
            raise invalid(f'Invalid expression: Syntax error; token: "{token}"')

    def name(self) -> str:
        """An attribute name, through the names that stand for it."""
        token = self.take()
        if not token.startswith("#"):
            if token.upper() in _reserved_words():
                raise invalid(
                    "Invalid expression: Attribute name is a reserved keyword; reserved keyword:"
                    f" {token}"
                )
            return token
        if token not in self.names:
            raise invalid(
                "Invalid expression: An expression attribute name used in the document path is"
                f" not defined; attribute name: {token}"
            )
        return self.names[token]

    def value(self, token: str) -> AttributeValue:
        """The value that a `:token` stands for."""
        if token not in self.values:
            raise invalid(
                "Invalid expression: An expression attribute value used in expression is not"
                f" defined; attribute value: {token}"
            )
        return self.values[token]

    def path(self) -> Path:
        """A document path: a name, then `.name` and `[index]`."""
        parts: list[str | int] = [self.name()]
        while True:
            if self.accept("."):
                parts.append(self.name())
            elif self.accept("["):
                parts.append(int(self.take()))
                self.expect("]")
            else:
                return tuple(parts)


def require_all_used(request: dict[str, Any]) -> None:
    """Refuse names and values that no expression of the request refers to, as AWS does."""
    texts = [str(text) for name, text in request.items() if name.endswith("Expression")]
    used = {token for text in texts for token in Tokens(text).tokens}
    for parameter in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        unused = sorted((request.get(parameter) or {}).keys() - used)
        if unused:
            raise invalid(
                f"Value provided in {parameter} unused in expressions: keys: {{{unused[0]}}}"
            )


def tokens_of(text: str, request: dict[str, Any]) -> Tokens:
    """The tokens of an expression of this request."""
    values = request.get("ExpressionAttributeValues") or {}
    return Tokens(
        text,
        names=request.get("ExpressionAttributeNames") or {},
        values={name: checked(value) for name, value in values.items()},
    )


def lookup(item: Item, path: Path) -> AttributeValue | None:
    """The value at a path, or None."""
    found: AttributeValue | None = {"M": item}
    for part in path:
        if found is None:
            return None
        inner: Any = found.get("M" if isinstance(part, str) else "L")
        if isinstance(inner, dict):
            found = inner.get(part)
        elif isinstance(inner, list) and isinstance(part, int) and part < len(inner):
            found = inner[part]
        else:
            return None
    return found


def projected(item: Item, paths: list[Path]) -> Item:
    """The part of the item that a ProjectionExpression names; lists keep only what was asked."""
    result: Item = {}
    for path in paths:
        value = lookup(item, path)
        if value is not None:
            _place(result, path, value)
    return result


def _place(target: Item, path: Path, value: AttributeValue) -> None:
    names = [part for part in path if isinstance(part, str)]
    for name in names[:-1]:
        target = target.setdefault(name, {"M": {}}).setdefault("M", {})
    target[names[-1]] = value if isinstance(path[-1], str) else {"L": [value]}


def projection(text: str, request: dict[str, Any]) -> list[Path]:
    """The paths of a ProjectionExpression."""
    tokens = tokens_of(text, request)
    paths = [tokens.path()]
    while tokens.accept(","):
        paths.append(tokens.path())
    if tokens.peek():
        raise invalid(f'Invalid ProjectionExpression: Syntax error; token: "{tokens.peek()}"')
    return paths


def _bad_path() -> AwsError:
    return invalid("The document path provided in the update expression is invalid for update")


def _assign(item: Item, path: Path, value: AttributeValue) -> None:
    holder: Any = lookup(item, path[:-1]) if len(path) > 1 else {"M": item}
    last = path[-1]
    if holder is None:
        raise _bad_path()
    if isinstance(last, str) and "M" in holder:
        holder["M"][last] = value
    elif isinstance(last, int) and "L" in holder:
        holder["L"][last : last + 1] = [value]
    else:
        raise _bad_path()


def _remove(item: Item, path: Path) -> None:
    holder: Any = lookup(item, path[:-1]) if len(path) > 1 else {"M": item}
    last = path[-1]
    if holder is None:
        raise _bad_path()
    if isinstance(last, str):
        holder.get("M", {}).pop(last, None)
    else:
        del holder.get("L", [])[last : last + 1]


class _Update:
    """One UpdateExpression applied to a copy of an item; operands read the item as it was."""

    def __init__(self, tokens: Tokens, before: Item) -> None:
        self.tokens = tokens
        self.before = before
        self.after = copy.deepcopy(before)
        self.removed: list[Path] = []

    def run(self) -> Item:
        clauses: dict[str, Callable[[], None]] = {
            "SET": self._set,
            "REMOVE": self._drop,
            "ADD": self._add,
            "DELETE": self._delete,
        }
        while self.tokens.peek():
            clause = self.tokens.take().upper()
            if clause not in _CLAUSES:
                raise invalid(f'Invalid UpdateExpression: Syntax error; token: "{clause}"')
            clauses[clause]()
            while self.tokens.accept(","):
                clauses[clause]()
        # From the highest index down, so that one removal does not move the next one's target.
        for path in sorted(self.removed, key=_index, reverse=True):
            _remove(self.after, path)
        return self.after

    def _set(self) -> None:
        path = self.tokens.path()
        self.tokens.expect("=")
        value = self._operand()
        while self.tokens.peek() in {"+", "-"}:
            sign = 1 if self.tokens.take() == "+" else -1
            value = _sum(value, self._operand(), sign)
        _assign(self.after, path, copy.deepcopy(value))

    def _operand(self) -> AttributeValue:
        token = self.tokens.peek()
        if token.startswith(":"):
            return self.tokens.value(self.tokens.take())
        if token in {"if_not_exists", "list_append"}:
            return self._function(self.tokens.take())
        value = lookup(self.before, self.tokens.path())
        if value is None:
            raise invalid(
                "The provided expression refers to an attribute that does not exist in the item"
            )
        return value

    def _function(self, name: str) -> AttributeValue:
        self.tokens.expect("(")
        if name == "if_not_exists":
            first = lookup(self.before, self.tokens.path())
            self.tokens.expect(",")
            second = self._operand()
            self.tokens.expect(")")
            return second if first is None else first
        head = self._operand()
        self.tokens.expect(",")
        tail = self._operand()
        self.tokens.expect(")")
        if "L" not in head or "L" not in tail:
            raise invalid("Invalid UpdateExpression: Incorrect operand type; function: list_append")
        return {"L": [*head["L"], *tail["L"]]}

    def _drop(self) -> None:
        self.removed.append(self.tokens.path())

    def _add(self) -> None:
        path = self.tokens.path()
        value = self.tokens.value(self.tokens.take())
        present = lookup(self.before, path)
        if present is None:
            _assign(self.after, path, copy.deepcopy(value))
        elif "N" in value:
            _assign(self.after, path, _sum(present, value, 1))
        else:
            type_name = _same_set(present, value)
            kept = present[type_name]
            more = [member for member in value[type_name] if member not in kept]
            _assign(self.after, path, checked({type_name: [*kept, *more]}))

    def _delete(self) -> None:
        path = self.tokens.path()
        value = self.tokens.value(self.tokens.take())
        present = lookup(self.before, path)
        if present is None:
            return
        type_name = _same_set(present, value)
        kept = [member for member in present[type_name] if member not in value[type_name]]
        if kept:
            _assign(self.after, path, {type_name: kept})
        else:
            _remove(self.after, path)


def _index(path: Path) -> int:
    return path[-1] if isinstance(path[-1], int) else -1


def _same_set(one: AttributeValue, other: AttributeValue) -> str:
    (type_name,) = one
    if type_name not in _SETS or type_name not in other:
        raise invalid("An operand in the update expression has an incorrect data type")
    return type_name


def _sum(one: AttributeValue, other: AttributeValue, sign: int) -> AttributeValue:
    if "N" not in one or "N" not in other:
        raise invalid("An operand in the update expression has an incorrect data type")
    return {"N": number(str(Decimal(one["N"]) + sign * Decimal(other["N"])))}


def updated(item: Item, request: dict[str, Any]) -> Item:
    """The item after this request's UpdateExpression; the argument stays as it was."""
    text = request.get("UpdateExpression")
    if not text:
        return copy.deepcopy(item)
    return _Update(tokens_of(text, request), item).run()
