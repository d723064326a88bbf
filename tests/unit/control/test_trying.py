"""check, preview and test: what a transform does, tried without starting anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.control.cases import run_cases
from bridge.control.check import run_check
from bridge.control.preview import run_preview
from bridge.control.settings import Settings
from bridge.wire.errors import ConfigurationError

EXAMPLES = Path(__file__).parents[3] / "processors" / "examples"
ORDERS = (EXAMPLES / "orders.py").read_text()


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """The customer's example in a folder of its own."""
    file = tmp_path / "orders.py"
    file.write_text(ORDERS)
    return file


def cases(orders: Path, text: str) -> None:
    orders.with_suffix(".events.yaml").write_text("key: [orderId]\ncases:\n" + text)


def printed(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_check_says_what_a_file_will_do(orders: Path, capsys) -> None:
    run_check(str(orders), as_json=True)

    (found,) = printed(capsys)["datasets"]
    assert (found["tables"], found["dataset"], found["state"]) == (
        ["orders"],
        "processed_orders",
        False,
    )
    assert found["columns"]["order_total"] == "decimal(38,18)"
    assert found["not_verified"] == ["eventID", "eventName"]


def test_check_says_what_verify_will_not_be_able_to(orders: Path, capsys) -> None:
    text = ORDERS[: ORDERS.index("    return ")]
    orders.write_text(
        text.replace("import Input", "import tumbling, Input")
        + '    by_name = orders_stream.select("eventName").group_by("eventName")\n'
        + '    return by_name.window(tumbling("1 hour")).agg(n="count()")\n'
    )

    run_check(str(orders), as_json=False)

    assert "verify can't check it: its windows count changes" in capsys.readouterr().out


def test_check_points_at_a_mistake(orders: Path) -> None:
    orders.write_text(ORDERS.replace("orderTotal.N as", "orderTotal.Q as"))

    with pytest.raises(ConfigurationError, match=r"orderTotal[.]▶Q"):
        run_check(str(orders), as_json=False)


def test_check_loads_no_sdk(orders: Path) -> None:
    code = (
        "import sys\nfrom bridge.control.check import run_check\n"
        f"run_check({str(orders)!r}, as_json=True)\n"
        "print(sorted({'boto3', 'botocore', 'quixstreams', 'deltalake'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_examples_own_cases_are_right(capsys) -> None:
    assert run_cases([str(EXAMPLES / "orders.py")], as_json=True)
    assert printed(capsys)["failed"] == 0


INSERT = "    events: [{insert: {orderId: o-1, orderTotal: 9.50, status: new}}]\n"


@pytest.mark.parametrize(
    ("expected", "wrong"),
    [
        ("table: [{order_id: o-1, order_total: 9.5}]", []),
        ("table: [{order_id: o-1, order_total: 9}]", ["1. expected", "not expected"]),
        ("table: []", ["not expected"]),
        ("table: [{order_id: o-1}, {order_id: o-2}]", ["2. expected"]),
        ("table: {processed_orders: [{status: new}]}", []),
        ("rows: [{_op: upsert, status: new}]", []),
        ("rows: [{_op: delete}]", ["1. expected"]),
        ("rows: []", ["not expected"]),
        ("dead_letters: [{error: UnfitValueError}]", ["1. expected"]),
        ("table: [{order_id: o-1, customer_email: null}]", []),
        ("table: [{order_id: o-1, no_such_column: null}]", ["1. expected", "not expected"]),
    ],
)
def test_a_case_is_right_or_says_what_is_not(orders: Path, capsys, expected: str, wrong) -> None:
    cases(orders, f"  - name: one\n{INSERT}    {expected}\n")

    assert run_cases([str(orders)], as_json=True) is (not wrong)
    (case,) = printed(capsys)["cases"]
    assert len(case["wrong"]) == len(wrong), case
    for line, part in zip(case["wrong"], wrong, strict=True):
        assert part in line


def test_a_dead_letter_nobody_expects_is_wrong(orders: Path, capsys) -> None:
    cases(orders, "  - events: [{insert: {orderId: {S: o}, orderTotal: {N: '1E60'}}}]\n")

    assert not run_cases([str(orders)], as_json=True)
    assert "UnfitValueError" in printed(capsys)["cases"][0]["wrong"][0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cases: [", "not YAML"),
        ("just text", "no list of cases"),
        ("cases: [{name: x}]", "no list of cases"),
        ("cases: [{events: [], tabel: []}]", "'tabel' is not known"),
        ("transform: other\ncases: [{events: []}]", "no transform is named 'other'"),
        ("key: [orderId]\ncases: [{events: [], table: {other: []}}]", "names no dataset"),
    ],
)
def test_a_file_of_cases_is_checked(orders: Path, text: str, message: str) -> None:
    orders.with_suffix(".events.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        run_cases([str(orders)], as_json=True)


def test_no_cases_at_all_is_said(orders: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"orders\.events\.yaml"):
        run_cases([str(orders)], as_json=True)


def preview(orders: Path, *lines: str, **options) -> None:
    events = orders.with_name("events.jsonl")
    events.write_text("\n".join(lines))
    run_preview(Settings(), str(orders), events=events, key=["orderId"], **options)


def test_preview_shows_each_event_with_its_rows(orders: Path, capsys) -> None:
    preview(
        orders,
        '{"insert": {"orderId": "o-1", "orderTotal": 5}}',
        "",
        '{"remove": {"orderId": "o-1"}}',
        '{"insert": {"orderId": {"S": "o"}, "orderTotal": {"N": "1E60"}}}',
        last=None,
        as_json=True,
    )

    first, second, third = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first["event"] == {"insert": {"orderId": "o-1", "orderTotal": 5}}
    assert [(row["_op"], row.get("order_total")) for row in first["rows"]] == [("upsert", "5")]
    assert [row["_op"] for row in second["rows"]] == ["delete"]
    assert (third["rows"], third["dead_letter"]["error"]) == ([], "UnfitValueError")


def test_preview_in_words(orders: Path, capsys) -> None:
    preview(orders, '{"insert": {"orderId": "o-1"}}', last=None, as_json=False)

    head, row = capsys.readouterr().out.splitlines()
    assert head.startswith("1. ")
    assert row.strip().startswith("+ processed_orders")


@pytest.mark.parametrize(
    ("line", "message"), [("{", "line 1: not JSON"), ("{}", "event 1: not an event")]
)
def test_preview_names_the_line_that_is_wrong(orders: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        preview(orders, line, last=None, as_json=True)
    assert message in str(raised.value)


def test_preview_wants_one_source_of_events(orders: Path) -> None:
    with pytest.raises(ConfigurationError, match="which events"):
        run_preview(Settings(), str(orders), events=None, last=None, key=[], as_json=True)
    with pytest.raises(ConfigurationError, match="exclude one another"):
        preview(orders, last=5, as_json=True)
