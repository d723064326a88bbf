"""README's table of the language: every function is in it, and every example is true."""

import re
from pathlib import Path

import pytest

from processors.language import functions
from tests.unit.processors.build import select

README = (Path(__file__).parents[3] / "README.md").read_text()
SECTION = README.split("\n## The language\n")[1].split("\n## ")[0]
EXAMPLES = [
    (written.replace("\\|", "|"), result)
    for written, result in re.findall(r"`([^`]+)` → `([^`]+)`", SECTION)
]
ITEM = {
    "orderId": {"S": "o-1"},
    "total": {"N": "12.50"},
    "paid": {"BOOL": True},
    "tags": {"SS": ["b", "a"]},
    "lines": {"L": [{"M": {"sku": {"S": "x"}, "qty": {"N": "2"}}}]},
    "address": {"M": {"city": {"S": "Basel"}}},
    "note": {"S": '{"a": [7]}'},
    "order-no": {"S": "9"},
}


def shown(value):
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "true", False: "false"}[value]
    return str(value)


@pytest.mark.parametrize(("written", "result"), EXAMPLES)
def test_an_example_of_the_table(written, result):
    text = written.replace("…", "dynamodb.NewImage")
    row = select(f"{text} as it", new=ITEM, keys={"orderId": ITEM["orderId"]})
    assert shown(row["it"]) == result


def test_every_function_has_an_example():
    written = " ".join(example for example, _ in EXAMPLES)
    missing = [name for name in functions.names() if not re.search(rf"\b{name}\(", written)]
    assert missing == []
    operators = ["+", "- 1", "*", "/", "%", "||", "::", "like", "between", "distinct from", " in ("]
    assert [sign for sign in operators if sign not in written] == []
