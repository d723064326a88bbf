"""@transform: every misuse is one clear message before anything starts."""

import subprocess
import sys

import pytest

from bridge import DynamoDBSource
from bridge.wire.errors import ConfigurationError
from processors import Input, Output, Stream, transform
from processors.compiled import compile_transform
from sinks import Dataset
from tests.unit.processors.build import declare

INPUT = Input(Stream(source=DynamoDBSource(table_name="orders")))
OTHER = Input(Stream(source=DynamoDBSource(table_name="customers")))
OUTPUT = Output(Dataset(id="rows"))


def test_importing_the_public_names_loads_no_engine():
    check = (
        "import sys, processors, processors.loader, processors.examples.orders\n"
        "heavy = {'quixstreams', 'boto3', 'botocore', 'deltalake', 'pyarrow', 'confluent_kafka'}\n"
        "loaded = heavy & {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def test_only_these_names_are_public():
    import processors

    chain = ["Input", "Output", "Stream", "transform"]
    assert sorted(processors.__all__) == sorted([*chain, "col", "lit", "tumbling", "when"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "fragment"),
    [
        ({}, {"out": OUTPUT}, "input_mapping=…): a dict with at least one entry"),
        ({"stream": INPUT}, {}, "output_mapping=…): a dict with at least one entry"),
        ([INPUT], {"out": OUTPUT}, "a dict with at least one entry"),
        ({"stream": "orders"}, {"out": OUTPUT}, "'stream' is a str, not an Input"),
        ({"stream": INPUT}, {"out": INPUT}, "'out' is a Input, not an Output"),
        ({"a b": INPUT}, {"out": OUTPUT}, "'a b' is not a name"),
    ],
)
def test_mappings_that_can_not_work(inputs, outputs, fragment):
    with pytest.raises(ConfigurationError) as caught:
        transform(input_mapping=inputs, output_mapping=outputs)
    assert fragment in str(caught.value)


def test_arguments_must_be_the_names_of_the_inputs():
    declared = transform(input_mapping={"orders_stream": INPUT}, output_mapping={"out": OUTPUT})
    with pytest.raises(ConfigurationError, match=r"'order_stream' is not in.*'orders_stream'\?"):

        @declared
        def first(order_stream):
            return order_stream

    with pytest.raises(ConfigurationError, match=r"no such argument.*def second\(orders_stream\)"):

        @declared
        def second():
            return None


@pytest.mark.parametrize("name", ["sink", "connector", "reader", "ünï", "x" * 101])
def test_names_that_can_not_name_topics_and_groups(name):
    with pytest.raises(ConfigurationError, match="can't be the name of a transform"):
        declare(lambda s: s, name=name)


def test_two_outputs_of_one_dataset_are_refused():
    def single(s):
        return s

    declared = transform(input_mapping={"s": INPUT}, output_mapping={"a": OUTPUT, "b": OUTPUT})
    with pytest.raises(ConfigurationError, match="two outputs write dataset 'rows'"):
        declared(single)


@pytest.mark.parametrize(
    ("build", "fragment"),
    [
        (lambda: Stream(source="orders"), "Write Stream(source=DynamoDBSource(table_name=…))"),
        (lambda: Input("orders"), "Write Input(Stream(source=…))"),
        (lambda: Output("rows"), "Write Output(Dataset(id=…))"),
    ],
)
def test_declarations_of_other_things(build, fragment):
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("chain", "fragment"),
    [
        (lambda s: None, "its function returns nothing. Return the stream"),
        (lambda s: 5, "its function returns int"),
        (lambda s: {"other": s}, "returns 'other', output_mapping has no such name"),
        (lambda s: {}, "returns nothing for 'out'"),
        (lambda s: s.slect("eventID"), "raised AttributeError: a stream has no method 'slect'"),
        (lambda s: 1 / 0, "raised ZeroDivisionError"),
        (lambda s: s.select("eventIDs"), 'transform some_transform: "eventIDs"'),
    ],
)
def test_functions_that_return_no_stream(chain, fragment):
    with pytest.raises(ConfigurationError) as caught:
        compile_transform(declare(chain))
    assert fragment in str(caught.value)


def test_several_inputs_and_outputs_are_flows_of_their_own():
    @transform(
        input_mapping={"orders": INPUT, "customers": OTHER},
        output_mapping={"a": OUTPUT, "b": Output(Dataset(id="others"))},
    )
    def both(orders, customers):
        return {"a": orders.select("eventID"), "b": customers.select("eventName")}

    compiled = compile_transform(both)
    assert [(f.table, f.dataset.id) for f in compiled.flows] == [
        ("orders", "rows"),
        ("customers", "others"),
    ]
    assert compiled.tables() == ("orders", "customers")
    with pytest.raises(ConfigurationError, match="2 outputs"):
        _ = compiled.schema
