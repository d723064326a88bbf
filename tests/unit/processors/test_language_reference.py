"""Random typed expressions over random items equal the reference, as text and as Python."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import col, lit, when
from processors.columns import Column, call
from processors.language.parser import parse_named
from processors.language.resolve import Scope, resolve
from processors.language.runtime import UnfitValueError
from tests.unit.processors.build import select
from tests.unit.processors.reference import COMPARISONS, RefusedError, Tree, value, written

NUMBERS = st.sampled_from(
    ["0", "1", "-7", "2.5", "12.345", "-0.000000000000000001", "123456789012", "99999.99", "3"]
)
TEXTS = st.text(alphabet="abA_%'ß é", max_size=5)
CELLS = st.one_of(
    NUMBERS.map(lambda number: {"N": number}),
    TEXTS.map(lambda text: {"S": text}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
    st.just({"L": [{"N": "1"}]}),
)
ITEMS = st.dictionaries(st.sampled_from("abcd"), CELLS).map(lambda i: {"id": {"S": "x"}, **i})


def paths(tag, kind):
    return st.sampled_from([Tree("path", (f"{name}.{tag}",), kind) for name in "abcd"])


def literals(values, kind):
    return values.map(lambda one: Tree("literal", (one,), kind))


def wider(*trees):
    return "whole" if {tree.kind for tree in trees} == {"whole"} else "exact"


WHOLES = literals(st.integers(0, 10**9), "whole")
NUMBER_LEAVES = st.one_of(paths("N", "exact"), WHOLES)
TEXT_LEAVES = st.one_of(paths("S", "text"), literals(TEXTS, "text"))
TRUTH_LEAVES = st.one_of(
    paths("BOOL", "truth"), literals(st.sampled_from([True, False, None]), "truth")
)


def trees(depth):
    """Numbers, texts and truths of a depth."""
    if depth == 0:
        return NUMBER_LEAVES, TEXT_LEAVES, TRUTH_LEAVES
    number, text, truth = trees(depth - 1)
    alike = st.one_of(st.tuples(number, number), st.tuples(text, text))
    numbers = st.one_of(
        NUMBER_LEAVES,
        st.tuples(st.sampled_from("+-*%"), number, number).map(
            lambda t: Tree(t[0], t[1:], wider(*t[1:]))
        ),
        st.tuples(number, number).map(lambda pair: Tree("/", pair, "exact")),
        st.tuples(st.sampled_from(["abs", "-1"]), number).map(
            lambda t: Tree(t[0], (t[1],), t[1].kind)
        ),
        st.tuples(number, literals(st.integers(0, 3), "whole")).map(
            lambda pair: Tree("round", pair, "exact")
        ),
        text.map(lambda one: Tree("length", (one,), "whole")),
        st.tuples(number, number).map(lambda pair: Tree("coalesce", pair, wider(*pair))),
        st.tuples(truth, number, number).map(lambda t: Tree("case", t, wider(*t[1:]))),
    )
    texts = st.one_of(
        TEXT_LEAVES,
        st.tuples(text, text).map(lambda pair: Tree("||", pair, "text")),
        st.tuples(st.sampled_from(["upper", "lower", "trim"]), text).map(
            lambda t: Tree(t[0], (t[1],), "text")
        ),
        st.tuples(text, literals(st.integers(0, 4), "whole")).map(
            lambda pair: Tree("left", pair, "text")
        ),
        st.tuples(text, text, text).map(lambda t: Tree("replace", t, "text")),
        st.tuples(text, text).map(lambda pair: Tree("coalesce", pair, "text")),
        st.tuples(truth, text, text).map(lambda t: Tree("case", t, "text")),
    )
    truths = st.one_of(
        TRUTH_LEAVES,
        st.tuples(st.sampled_from(sorted(COMPARISONS)), alike).map(
            lambda t: Tree(t[0], t[1], "truth")
        ),
        st.tuples(st.sampled_from(["and", "or"]), truth, truth).map(
            lambda t: Tree(t[0], t[1:], "truth")
        ),
        truth.map(lambda one: Tree("not", (one,), "truth")),
        st.one_of(number, text, truth).map(lambda one: Tree("is null", (one,), "truth")),
        alike.map(lambda pair: Tree("in", (*pair, pair[1]), "truth")),
        alike.map(lambda pair: Tree("is distinct", pair, "truth")),
        st.tuples(text, TEXTS).map(lambda pair: Tree("like", pair, "truth")),
        st.tuples(text, text).map(lambda pair: Tree("contains", pair, "truth")),
    )
    return numbers, texts, truths


def in_python(tree):
    """The same expression built of `col`, `lit`, `when` and operators."""
    match tree.operator, tree.operands:
        case "path", (path,):
            return col(f"dynamodb.NewImage.{path}")
        case "literal", (one,):
            return lit(one)
        case "like", (inner, pattern):
            return in_python(inner).like(pattern)
    parts = [in_python(operand) for operand in tree.operands]
    first = parts[0]
    methods = {
        "+": Column.__add__, "-": Column.__sub__, "*": Column.__mul__, "/": Column.__truediv__,
        "%": Column.__mod__, "||": Column.concat, "and": Column.__and__, "or": Column.__or__,
        "not": Column.__invert__, "-1": Column.__neg__, "is null": Column.is_null,
        "is distinct": Column.is_distinct_from, "in": Column.isin, "=": Column.__eq__,
        "<>": Column.__ne__, "<": Column.__lt__, "<=": Column.__le__, ">": Column.__gt__,
        ">=": Column.__ge__,
    }  # fmt: skip
    if tree.operator == "case":
        return when(first).then(parts[1]).otherwise(parts[2])
    method = methods.get(tree.operator)
    return method(first, *parts[1:]) if method else call(tree.operator, *parts)


@settings(max_examples=150, deadline=None)
@given(st.one_of(*trees(2)), ITEMS)
def test_expressions_equal_the_reference(tree, item):
    check(tree, item)


@pytest.mark.soak
@settings(max_examples=5_000, deadline=None)
@given(st.one_of(*trees(3)), ITEMS)
def test_many_deeper_expressions_equal_the_reference(tree, item):
    check(tree, item)


def check(tree, item):
    text = written(tree)
    try:
        expected = value(tree, item)
    except RefusedError:
        expected = RefusedError
    python = in_python(tree)
    as_text, as_python = parse_named(text), parse_named(python)
    scope = Scope()
    assert resolve(as_text.expression, scope, text) == resolve(
        as_python.expression, scope, as_python.text
    )
    if tree.operator == "literal" and expected is None:
        return  # null alone has no type
    try:
        found = select(f"{text} as it", new=item)["it"]
    except UnfitValueError:
        found = RefusedError
    if tree.kind in ("whole", "exact") and found not in (None, RefusedError):
        assert isinstance(found, int if tree.kind == "whole" else str)
        found = Fraction(found)
    assert found == expected
