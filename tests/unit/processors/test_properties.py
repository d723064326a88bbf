"""The language and the retractions against plain reference models, over random inputs."""

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.testing import Changes, TransformDriver
from tests.unit.processors.build import declare, kept

NAMES = {"a": 1, "b": 2, "c": None}
IMAGE = {"id": {"S": "x"}, "a": {"N": "1"}, "b": {"N": "2"}}


def comparison(draw_from):
    name, sign, number = draw_from
    return f"dynamodb.NewImage.{name}.N {sign} {number}", ("compare", name, sign, number)


LEAVES = st.one_of(
    st.tuples(
        st.sampled_from(sorted(NAMES)), st.sampled_from(["=", "<>", "<", ">="]), st.integers(0, 3)
    ).map(comparison),
    st.sampled_from(sorted(NAMES)).map(
        lambda name: (f"dynamodb.NewImage.{name}.N is null", ("null", name))
    ),
    st.sampled_from([("true", ("is", True)), ("false", ("is", False)), ("null", ("is", None))]),
)


def combined(inner):
    def join(word):
        return lambda pair: (f"({pair[0][0]} {word} {pair[1][0]})", (word, pair[0][1], pair[1][1]))

    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(join("and")),
        pairs.map(join("or")),
        inner.map(lambda one: (f"not ({one[0]})", ("not", one[1]))),
    )


def interpret(tree):
    """Three-valued logic the way the standard's truth tables say it."""
    match tree:
        case ("is", value):
            return value
        case ("null", name):
            return NAMES[name] is None
        case ("compare", name, sign, number):
            if (value := NAMES[name]) is None:
                return None
            return {
                "=": value == number,
                "<>": value != number,
                "<": value < number,
                ">=": value >= number,
            }[sign]
        case ("not", operand):
            value = interpret(operand)
            return None if value is None else not value
        case (word, left, right):
            values = {interpret(left), interpret(right)}
            decides = word == "or"
            return decides if decides in values else None if None in values else not decides
    raise AssertionError(tree)


@settings(max_examples=200, deadline=None)
@given(st.recursive(LEAVES, combined, max_leaves=8))
def test_conditions_equal_the_truth_tables(condition):
    text, tree = condition
    assert kept(text, new=IMAGE) is (interpret(tree) is True)


LINES = declare(
    lambda s: (
        s.filter("dynamodb.NewImage.shown.BOOL")
        .explode("dynamodb.NewImage.lines.L as line")
        .select("dynamodb.NewImage.id.S", "line.N as line")
    ),
    key=["id", "line"],
)
ITEMS = st.tuples(
    st.sampled_from(["x", "y"]),
    st.one_of(st.none(), st.tuples(st.booleans(), st.sets(st.integers(0, 4)))),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEMS, max_size=12), st.data())
def test_the_table_is_the_view_of_the_items_whatever_is_repeated(steps, data):
    changes, items, sent = Changes(key=["id"]), {}, []
    for name, state in steps:
        old = items.get(name)
        if state is None:
            sent.append(changes.remove(old or {"id": name}))
            items.pop(name, None)
            continue
        item = {"id": name, "shown": state[0], "lines": sorted(state[1])}
        sent.append(changes.modify(item, old) if old else changes.insert(item))
        items[name] = item
    with TransformDriver(LINES) as driver:
        for number, message in enumerate(sent):
            driver.send(message)
            driver.send(sent[data.draw(st.integers(0, number))])  # a late copy of any before
            if data.draw(st.booleans()):
                driver.commit()
        found = {(row["id"], row["line"]) for row in driver.table().values()}
        versions = [(row["_key"], row["_version"]) for row in driver.rows()]
    expected = {
        (item["id"], str(line))
        for item in items.values()
        if item["shown"]
        for line in item["lines"]
    }
    assert found == expected
    assert len(versions) == len(set(versions))
