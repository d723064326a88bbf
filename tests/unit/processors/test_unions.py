"""Several inputs: their rows in one dataset, each with its table."""

import pytest

from bridge import DynamoDBSource
from bridge.wire.errors import ConfigurationError
from processors import Input, Output, Stream, transform
from processors.compiled import compile_transform
from processors.revision import describe, differences
from processors.testing import Changes, TransformDriver
from sinks import Dataset

ID, TOTAL = "dynamodb.NewImage.id.S", "dynamodb.NewImage.total.N"


def stream(table):
    return Input(Stream(source=DynamoDBSource(table_name=table)))


def declare(chain, *, outputs=("all",), key=(), tables=("orders", "returns")):
    def merge_all(orders, returns):
        return chain(orders, returns)

    return transform(
        input_mapping=dict(zip(("orders", "returns"), map(stream, tables), strict=True)),
        output_mapping={name: Output(Dataset(id=name, key=key)) for name in outputs},
    )(merge_all)


def selected(orders, returns):
    return orders.select(ID, f"{TOTAL} as total").union(
        returns.select(ID, f"cast({TOTAL} as decimal(18,2)) as total")
    )


def test_rows_of_two_tables_keep_their_table_and_their_keys_apart():
    of_orders, of_returns = '["orders",{"id":{"S":"a"}}]', '["returns",{"id":{"S":"a"}}]'
    changes = Changes(key=["id"])
    with TransformDriver(declare(selected)) as driver:
        driver.send(changes.insert({"id": "a", "total": 1}), table="orders")
        driver.send(changes.insert({"id": "a", "total": 2}), table="returns")
        driver.send(changes.insert({"id": "b", "total": 3}), table="returns")
        driver.send(changes.remove({"id": "b"}), table="returns")
        found = {row["_key"]: row for row in driver.rows() if row["_op"] == "upsert"}
        assert found[of_orders]["_table"] == "orders"
        assert found[of_returns]["_table"] == "returns"
        assert driver.rows()[-1]["_op"] == "delete"
        assert set(driver.table()) == {of_orders, of_returns}


def test_types_widen_to_what_holds_both_exactly():
    flow = compile_transform(declare(selected)).flows[1]
    types = {column.name: column.type for column in flow.schema.columns}
    assert types == {"_table": "string", "id": "string", "total": "decimal(38,18)"}


def test_methods_behind_a_union_work_on_all_of_it_and_table_is_a_name():
    def chain(orders, returns):
        return (
            orders.union(returns)
            .with_columns(f"{TOTAL} > 1 as big")
            .filter("big or _table = 'returns'")
            .select(ID, "_table as source")
        )

    changes = Changes(key=["id"])
    with TransformDriver(declare(chain)) as driver:
        for table in ("orders", "returns"):
            driver.send(changes.insert({"id": table, "total": 1}), table=table)
        assert list(driver.table().values()) == [
            {"_table": "returns", "id": "returns", "source": "returns"}
        ]


def test_the_table_can_be_dropped_and_whole_items_united():
    changes = Changes(key=["id"])
    with TransformDriver(declare(lambda o, r: o.union(r).drop("_table"))) as driver:
        driver.send(changes.insert({"id": "a", "x": 1}), table="orders")
        driver.send(changes.insert({"id": "b", "x": "one"}), table="returns")
        columns = [set(row) - {"_key", "_version", "_op", "_event_time"} for row in driver.rows()]
        assert columns == [{"id", "x"}, {"id", "x__s"}]


def test_exploded_rows_of_two_tables_have_keys_of_their_own():
    def chain(orders, returns):
        return (
            orders.union(returns)
            .explode("dynamodb.NewImage.lines.L as line")
            .select(ID, "line.N as line")
        )

    changes = Changes(key=["id"])
    with TransformDriver(declare(chain, key=["id", "line"])) as driver:
        item = {"id": "a", "lines": [1, 2]}
        driver.send(changes.insert(item), table="orders")
        driver.send(changes.insert(item), table="returns")
        driver.send(changes.modify({"id": "a", "lines": [1]}, item), table="orders")
        assert [row["_table"] for row in driver.rows() if row["_op"] == "upsert"].count(
            "orders"
        ) == 3
        assert len(driver.table()) == 3


def test_several_outputs_of_several_inputs():
    def chain(orders, returns):
        return {"all": selected(orders, returns), "big": orders.filter(f"{TOTAL} > 10").select(ID)}

    changes = Changes(key=["id"])
    with TransformDriver(declare(chain, outputs=("all", "big"))) as driver:
        driver.send(changes.insert({"id": "a", "total": 11}), table="orders")
        driver.send(changes.insert({"id": "b", "total": 11}), table="returns")
        assert len(driver.table("all")) == 2
        assert driver.table("big") == {'{"id":{"S":"a"}}': {"id": "a"}}


def test_an_input_of_several_tables_is_their_union():
    class Tables:
        table_name = "orders"
        table_names = ("orders", "returns")

    def all_of_them(both):
        return both.select(ID)

    declared = transform(
        input_mapping={"both": Input(Stream(source=Tables()))},
        output_mapping={"all": Output(Dataset(id="all"))},
    )(all_of_them)
    compiled = compile_transform(declared)
    assert compiled.tables() == ("orders", "returns")
    assert [c.name for c in compiled.flows[0].schema.columns] == ["_table", "id"]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (lambda o, r: o.select(ID).union(r.select(TOTAL)), "'id' of table orders is not among"),
        (lambda o, r: o.select(ID).union(r), "one side has '*'"),
        (lambda o, r: o.union("returns"), "str is not a stream"),
        (
            lambda o, r: o.select(f"{TOTAL} as x").union(r.select(f"{ID} as x")),
            "'x' is decimal(38,18) on one side and string",
        ),
        (lambda o, r: o.union(o), "both sides of a union read table 'orders'"),
        (lambda o, r: o.union(r).select("eventID as _table"), "the table a row comes from"),
        (lambda o, r: o.union(r).rename({"id": "_table"}), "the table a row comes from"),
        (lambda o, r: o.union(r).map(dict, schema={"_table": "string"}), "the table a row"),
    ],
)
def test_mistakes_are_told_at_once(chain, message):
    with pytest.raises(ConfigurationError) as caught:
        compile_transform(declare(chain))
    assert message in str(caught.value)


def test_a_change_on_either_side_is_noticed():
    def description(chain):
        return describe(compile_transform(declare(chain)))

    before = description(selected)
    assert len(before) == 2
    assert differences(before, description(selected)) == []
    for side in (0, 1):
        changed = description(
            lambda o, r, side=side: (
                [o, r][1 - side]
                .select(ID, f"cast({TOTAL} as decimal(38,18)) as total")
                .union([o, r][side].filter(f"{TOTAL} > 1").select(ID, f"{TOTAL} as total"))
            )
        )
        table = ("orders", "returns")[side]
        assert any(f"steps of all from {table}" in line for line in differences(before, changed))


def test_a_column_that_one_side_lacks_is_told_with_the_way_to_add_it():
    short = declare(lambda o, r: o.select(ID).union(r.select(ID, f"{TOTAL} as total")))
    with pytest.raises(ConfigurationError) as caught:
        compile_transform(short)
    added = "cast(null as decimal(38,18)) as total"
    assert f'. Add it: .with_columns("{added}"). ' in str(caught.value)
    compile_transform(
        declare(
            lambda o, r: o.select(ID).with_columns(added).union(r.select(ID, f"{TOTAL} as total"))
        )
    )
