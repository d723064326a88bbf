"""The language computed a second time, slowly and without any of its code.

An expression is a tuple `(operator, *operands)`; `written` spells it as a user would, `value` says
what it must be. Exact numbers are fractions, NULL is None.
"""

from fractions import Fraction
from typing import NamedTuple

BIGINT_MAX = 2**63 - 1
COMPARISONS = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class RefusedError(Exception):
    """A value that no column can hold."""


class Tree(NamedTuple):
    """An expression; `kind` is whole, exact, text or truth."""

    operator: str
    operands: tuple
    kind: str


def written(tree):  # noqa: C901 (a case per operator)
    """The expression as text."""
    match tree.operator, tree.operands:
        case "path", (path,):
            return f"dynamodb.NewImage.{path}"
        case "literal", (value,):
            return literal(value)
        case ("+" | "-" | "*" | "/" | "%" | "||" | "and" | "or") as sign, (left, right):
            return f"({written(left)} {sign} {written(right)})"
        case sign, (left, right) if sign in COMPARISONS:
            return f"({written(left)} {sign} {written(right)})"
        case ("not" | "-1") as sign, (inner,):
            return f"({'-' if sign == '-1' else 'not'} {written(inner)})"
        case "is null", (inner,):
            return f"({written(inner)} is null)"
        case "in", (inner, *choices):
            return f"({written(inner)} in ({', '.join(map(written, choices))}))"
        case "like", (inner, pattern):
            return f"({written(inner)} like {literal(pattern)})"
        case "is distinct", (left, right):
            return f"({written(left)} is distinct from {written(right)})"
        case "case", (condition, value, other):
            texts = (written(condition), written(value), written(other))
            return "case when {} then {} else {} end".format(*texts)
        case name, operands:
            return f"{name}({', '.join(map(written, operands))})"


def literal(value):
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def half_up(number, digits):
    """Away from zero where it lies in the middle."""
    scaled = abs(number) * 10**digits
    whole = scaled.numerator // scaled.denominator
    whole += scaled - whole >= Fraction(1, 2)
    return Fraction(whole if number >= 0 else -whole, 10**digits)


def fitted(number, kind):
    if kind == "whole":
        if not -BIGINT_MAX - 1 <= number <= BIGINT_MAX:
            raise RefusedError
        return number
    if abs(number) >= 10**20:
        raise RefusedError
    return half_up(Fraction(number), 18)


def matches(text, pattern):
    """like, by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(matches(text[at:], pattern[1:]) for at in range(len(text) + 1))
    fits = bool(text) and pattern[0] in ("_", text[0])
    return fits and matches(text[1:], pattern[1:])


def value(tree, item):  # noqa: C901 (a case per operator)
    """What the expression is for an item of typed values. Raises: RefusedError."""
    match tree.operator, tree.operands:
        case "path", (path,):
            name, tag = path.split(".")
            found = item.get(name, {}).get(tag)
            return Fraction(found) if tag == "N" and found is not None else found
        case "literal", (found,):
            return Fraction(found) if tree.kind == "exact" and found is not None else found
        case ("and" | "or") as word, (left, right):
            decides, one = word == "or", value(left, item)
            if one is decides:
                return decides
            other = value(right, item)
            return decides if other is decides else None if None in (one, other) else not decides
        case "case", (condition, chosen, other):
            return value(chosen if value(condition, item) is True else other, item)
        case "coalesce", operands:
            found = (value(operand, item) for operand in operands)
            return next((one for one in found if one is not None), None)
        case "is null", (inner,):
            return value(inner, item) is None
        case "is distinct", (left, right):
            return value(left, item) != value(right, item)
        case "in", (inner, *choices):
            one, others = value(inner, item), [value(choice, item) for choice in choices]
            if one is None:
                return None
            return True if one in [o for o in others if o is not None] else (
                None if None in others else False
            )  # fmt: skip
        case "like", (inner, pattern):
            one = value(inner, item)
            return None if one is None else matches(one, pattern)
    operands = [value(operand, item) for operand in tree.operands]
    return None if None in operands else computed(tree, operands)


def computed(tree, operands):  # noqa: C901 (a case per operator)
    match tree.operator, operands:
        case "+", (left, right):
            return fitted(left + right, tree.kind)
        case "-", (left, right):
            return fitted(left - right, tree.kind)
        case "*", (left, right):
            return fitted(left * right, tree.kind)
        case "/", (left, right):
            return None if right == 0 else fitted(Fraction(left) / Fraction(right), "exact")
        case "%", (left, right):
            if right == 0:
                return None
            rest = abs(Fraction(left)) % abs(Fraction(right))
            return fitted(rest if left >= 0 else -rest, tree.kind)
        case ("-1", (one,)):
            return -one
        case "abs", (one,):
            return abs(one)
        case "round", (one, digits):
            return half_up(Fraction(one), digits)
        case "length", (text,):
            return len(text)
        case "not", (one,):
            return not one
        case "||", (left, right):
            return left + right
        case "upper", (text,):
            return text.upper()
        case "lower", (text,):
            return text.lower()
        case "trim", (text,):
            return text.strip(" ")
        case "left", (text, count):
            return "".join(c for n, c in enumerate(text) if n < count)
        case "replace", (text, old, new):
            return new.join(text.split(old)) if old else text
        case "contains", (text, part):
            return any(text[at : at + len(part)] == part for at in range(len(text) + 1))
        case sign, (left, right):
            return COMPARISONS[sign](left, right)
    raise AssertionError(tree)
