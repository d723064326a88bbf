"""Conditions on an item: ConditionExpression, FilterExpression and KeyConditionExpression.

Comparisons, BETWEEN, IN, AND, OR, NOT, parentheses, and the functions attribute_exists,
attribute_not_exists, attribute_type, begins_with, contains and size.
"""

import operator
from collections.abc import Callable
from typing import Any

from tests.fakes.dynamodb.errors import invalid
from tests.fakes.dynamodb.expressions import Tokens, lookup, tokens_of
from tests.fakes.dynamodb.values import AttributeValue, Item, sort_key, value_bytes

_FUNCTIONS = frozenset(
    {"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"}
)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = frozenset({"S", "N", "B"})


def holds(item: Item, text: str | None, request: dict[str, Any]) -> bool:
    """Whether the item (empty when there is none) meets the expression; no expression always."""
    if not text:
        return True
    tokens = tokens_of(text, request)
    result = _Condition(tokens, item).either()
    if tokens.peek():
        raise invalid(f'Invalid ConditionExpression: Syntax error; token: "{tokens.peek()}"')
    return result


class _Condition:
    """Recursive descent; both sides of AND and OR are always parsed, so no short circuit."""

    def __init__(self, tokens: Tokens, item: Item) -> None:
        self.tokens = tokens
        self.item = item

    def either(self) -> bool:
        result = self._both()
        while self.tokens.accept("OR"):
            right = self._both()
            result = result or right
        return result

    def _both(self) -> bool:
        result = self._negation()
        while self.tokens.accept("AND"):
            right = self._negation()
            result = result and right
        return result

    def _negation(self) -> bool:
        if self.tokens.accept("NOT"):
            return not self._negation()
        if self.tokens.accept("("):
            result = self.either()
            self.tokens.expect(")")
            return result
        if self.tokens.peek() in _FUNCTIONS:
            return self._function(self.tokens.take())
        return self._comparison()

    def _operand(self) -> AttributeValue | None:
        token = self.tokens.peek()
        if token.startswith(":"):
            return self.tokens.value(self.tokens.take())
        if token == "size":
            self.tokens.take()
            self.tokens.expect("(")
            value = lookup(self.item, self.tokens.path())
            self.tokens.expect(")")
            return None if value is None else {"N": str(_size(value))}
        return lookup(self.item, self.tokens.path())

    def _comparison(self) -> bool:
        left = self._operand()
        if self.tokens.accept("BETWEEN"):
            low = self._operand()
            self.tokens.expect("AND")
            high = self._operand()
            return _ordered(">=", left, low) and _ordered("<=", left, high)
        if self.tokens.accept("IN"):
            return self._among(left)
        sign = self.tokens.take()
        right = self._operand()
        if sign in _ORDER:
            return _ordered(sign, left, right)
        if sign not in {"=", "<>"}:
            raise invalid(f'Invalid ConditionExpression: Syntax error; token: "{sign}"')
        return _equal(left, right) is (sign == "=")

    def _among(self, left: AttributeValue | None) -> bool:
        self.tokens.expect("(")
        found = _equal(left, self._operand())
        while self.tokens.accept(","):
            found = _equal(left, self._operand()) or found
        self.tokens.expect(")")
        return found

    def _function(self, name: str) -> bool:
        self.tokens.expect("(")
        value = self._operand()
        if name in {"attribute_exists", "attribute_not_exists"}:
            self.tokens.expect(")")
            return (value is None) is (name == "attribute_not_exists")
        self.tokens.expect(",")
        argument = self._operand()
        self.tokens.expect(")")
        if value is None or argument is None:
            return False
        if name == "attribute_type":
            return argument.get("S") in value
        if name == "begins_with":
            return "S" in value and value["S"].startswith(argument.get("S", ""))
        return _contains(value, argument)


def _equal(left: AttributeValue | None, right: AttributeValue | None) -> bool:
    if left is None or right is None:
        return False
    return left == right


def _ordered(sign: str, left: AttributeValue | None, right: AttributeValue | None) -> bool:
    if left is None or right is None or left.keys() != right.keys() or not left.keys() <= _ORDERED:
        return False
    return _ORDER[sign](sort_key(left), sort_key(right))


def _size(value: AttributeValue) -> int:
    ((type_name, inner),) = value.items()
    if type_name in {"S", "B"}:
        return value_bytes(value)
    return len(inner)


def _contains(value: AttributeValue, argument: AttributeValue) -> bool:
    ((type_name, inner),) = value.items()
    if type_name == "L":
        return any(_equal(member, argument) for member in inner)
    ((_, wanted),) = argument.items()
    return wanted in inner
