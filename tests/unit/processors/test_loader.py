"""A user's file: its transforms, or one clear message with the line."""

import textwrap
from pathlib import Path

import pytest

import processors.examples.orders
from bridge.wire.errors import ConfigurationError
from processors.compiled import compile_transform
from processors.loader import load_transforms

HEAD = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset

def declare(**kwargs):
    return transform(
        input_mapping={"s": Input(Stream(source=DynamoDBSource(table_name="orders")))},
        output_mapping={"o": Output(Dataset(id="rows"))},
    )
"""


@pytest.fixture
def write(tmp_path):
    def to_file(body, head=HEAD):
        path = tmp_path / "mine.py"
        path.write_text(head + textwrap.dedent(body))
        return path

    return to_file


def refused(path, name=None):
    with pytest.raises(ConfigurationError) as caught:
        load_transforms(path, name)
    return str(caught.value)


def test_the_customers_example_works_unchanged():
    path = Path(processors.examples.orders.__file__)
    (found,) = load_transforms(path)
    flow = compile_transform(found).flow
    assert found.name == "process_orders_stream"
    assert flow.table == "orders"
    assert [column.name for column in flow.schema.columns] == [
        "eventID",
        "eventName",
        "order_id",
        "customer_email",
        "order_total",
        "status",
    ]
    assert "# The stream data comes in with the standard DynamoDB stream format" in path.read_text()


def test_one_of_several_by_name(write):
    path = write(
        """
        @declare()
        def first(s): return s.select("eventID")

        @declare()
        def second(s): return s.select("eventID")
        """
    )
    assert [found.name for found in load_transforms(path)] == ["first", "second"]
    assert [found.name for found in load_transforms(path, "second")] == ["second"]
    assert "Did you mean 'second'?" in refused(path, "secnod")


def test_a_file_without_a_transform(write):
    assert "declares no transform. Decorate a function" in refused(write("x = 1"))


def test_no_such_file(tmp_path):
    assert "no such file" in refused(tmp_path / "absent.py")


def test_a_file_that_is_no_python(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("x = 1")
    assert "not a Python file" in refused(path)


def test_two_transforms_of_one_name(write):
    body = """
    @declare()
    def same(s): return s.select("eventID")
    kept = same
    @declare()
    def same(s): return s.select("eventID")
    """
    assert "two transforms are named 'same'" in refused(write(body))


def test_an_alias_is_not_a_second_transform(write):
    path = write("@declare()\ndef one(s): return s.select('eventID')\nagain = one\n")
    assert [found.name for found in load_transforms(path)] == ["one"]


@pytest.mark.parametrize(
    ("body", "fragments"),
    [
        ("x = = 1", ["(line 2)", "SyntaxError", "invalid syntax"]),
        ("import absent_module", ["(line 2)", "ModuleNotFoundError", "absent_module"]),
        ("\nx = 1 / 0", ["(line 3)", "ZeroDivisionError"]),
    ],
)
def test_import_errors_name_the_line(write, body, fragments):
    found = refused(write(body, head="\n"))
    for fragment in fragments:
        assert fragment in found
    assert "\n" not in found


def test_a_wrong_declaration_names_the_line(write):
    found = refused(write("@declare()\ndef wrong(x): return x"))
    assert "the argument 'x' is not in input_mapping" in found
    assert "(line 11)" in found


def test_neighbours_can_be_imported(write, tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("COLUMN = 'eventID'")
    path = write(
        """
        from neighbour_of_mine import COLUMN
        @declare()
        def one(s): return s.select(COLUMN)
        """
    )
    assert compile_transform(load_transforms(path)[0]).schema.columns[0].name == "eventID"
