"""`tailrace query`, on tables as the sink writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from bridge.control.compared import ComparedColumns
from bridge.control.plan import load_plan
from bridge.control.query import names, run_query
from bridge.control.settings import Settings
from bridge.control.table_rows import TableRows
from bridge.wire.errors import ConfigurationError
from bridge.wire.schemas import Column
from processors.unfold import Discovery

ORDERS = Path(__file__).parents[3] / "processors/examples/orders.py"


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """Two datasets, one with a name that SQL wants quoted."""
    rows = pa.table(
        {
            "eventName": ["INSERT", "MODIFY", None],
            "order_total": pa.array(
                [Decimal("1.50"), Decimal(2), None], type=pa.decimal128(38, 18)
            ),
            "status": ["[bold]", "NEW", "NEW"],
            "_version": ["v1", "v2", "v3"],
            "_key": ["k'1", "k2", "k2"],
        }
    )
    write_deltalake(f"{tmp_path}/processed_orders", rows)
    write_deltalake(f"{tmp_path}/My-Orders", rows)
    return str(tmp_path)


def ask(lake: str, sql: str, capsys: pytest.CaptureFixture[str], *, as_json: bool = True) -> str:
    run_query(Settings.model_construct(), sql, lake=lake, as_json=as_json)
    return capsys.readouterr().out


def test_rows_as_json_keep_decimals_exact(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = ask(lake, "select * from processed_orders order by _version", capsys)

    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 3
    assert rows[0]["order_total"] == "1.500000000000000000"
    assert rows[0]["eventName"] == "INSERT"


def test_odd_names_want_quotes(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = ask(lake, 'select count("eventName") as n from "My-Orders"', capsys)

    assert json.loads(out) == {"n": 2}


def test_a_table_for_people_shows_texts_as_they_are(
    lake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ask(lake, "select status, order_total from processed_orders", capsys, as_json=False)

    assert "[bold]" in out
    assert "1.5\n" in "\n".join(line.strip() + "\n" for line in out.splitlines())


def test_no_rows_is_said(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select status from processed_orders where status = 'nothing'"

    assert ask(lake, sql, capsys, as_json=False) == "no rows\n"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("copy processed_orders to '/tmp/x.parquet'", "only queries"),
        ("delete from processed_orders", "only queries"),
        ("select nothing from processed_orders", "nothing"),
        ("select from where processed_orders", "query"),
        ("select * from absent", "It has: My-Orders, processed_orders"),
    ],
)
def test_a_wrong_query_is_one_line(
    lake: str, sql: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ask(lake, sql, capsys)


def test_names_of_a_query() -> None:
    sql = """select "a""b", 'not "this"' from Orders o join "My-Orders" on x.y = 'orders2'"""

    found = names(sql)

    assert "orders" in found
    assert "My-Orders" in found
    assert "this" not in found
    assert "orders2" not in found


def test_rows_of_a_table_for_verify(lake: str) -> None:
    (feed,) = load_plan(str(ORDERS)).feeds
    rows = TableRows(lake, {}, feed)
    declared = (Column("status", "string"), Column("not_there_yet", "string"))
    schema = replace(feed.flow.schema, columns=declared)
    columns = ComparedColumns(replace(feed, flow=replace(feed.flow, discovery=Discovery(schema))))

    every = list(rows.all(columns))
    again = rows.again(columns, {"k'1", "k2", "absent"})

    assert [(row.row_key, row.version) for row in every] == [
        ("k'1", "v1"),
        ("k2", "v2"),
        ("k2", "v3"),
    ]
    assert every[0].value == b'{"not_there_yet":null,"status":"[bold]"}'
    assert {key: len(found) for key, found in again.items()} == {"k'1": 1, "k2": 2}


def test_a_table_that_does_not_exist_has_no_rows(tmp_path: Path) -> None:
    (feed,) = load_plan(str(ORDERS)).feeds
    rows = TableRows(str(tmp_path), {}, feed)

    assert list(rows.all(ComparedColumns(feed))) == []
    assert rows.again(ComparedColumns(feed), {"k"}) == {}
