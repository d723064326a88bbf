"""What a table written by one release must mean to the next: ids, columns, places, failpoints."""

from __future__ import annotations

from bridge.wire.envelope import Sealed
from bridge.wire.schemas import Column, Schema
from sinks import failpoints
from sinks.columns import missing_fields
from sinks.dataset import Dataset
from sinks.keys import key_prefix, older_rows
from sinks.ledger import Feed, Ledger, LedgerNames, ledger_transactions, read_ledger
from sinks.properties import table_properties
from sinks.table import dataset_uri, tombstones_uri
from sinks.tombstones import SCHEMA

NAMES = LedgerNames("3f2a", "tailrace.rows.orders")


def test_the_ledger_is_written_under_these_ids_and_read_back():
    before = Ledger({}, {"orders": Feed()})
    seals = [Sealed("orders", 7, 0, 2), Sealed("orders", 7, 1, 2)]
    after = before.passed({0: 12, 1: 0}, seals, {"orders": 7}).sealed_at("orders", 7)
    written = ledger_transactions(NAMES, after, before)
    assert written == {
        "3f2a:tailrace.rows.orders:0": 12,
        "3f2a:tailrace.rows.orders:1": 0,
        "3f2a:seals:orders": 2,
        "3f2a:seal:orders:0": 7,
        "3f2a:seal:orders:1": 7,
        "epoch:orders": 7,
        "sealed:orders": 7,
    }
    assert read_ledger(NAMES, range(2), ["orders"], written.get) == after


def test_tables_lie_at_these_places():
    assert dataset_uri("s3://b/lake/", "orders") == "s3://b/lake/orders"
    assert tombstones_uri("/lake", "orders") == "/lake/_tailrace/orders/tombstones"


def test_the_table_has_the_users_columns_and_three_of_ours():
    schema = Schema("orders", "t", (Column("order_id", "string"), Column("n", "bigint")))
    assert [(field.name, str(field.type)) for field in missing_fields([schema], None)] == [
        ("order_id", "string"),
        ("n", "int64"),
        ("_event_time", "timestamp[us, tz=UTC]"),
        ("_version", "string"),
        ("_key", "string"),
    ]


def test_tombstones_have_these_columns():
    assert SCHEMA.names == [
        "_key", "_version", "_table", "_namespace", "_partition", "_offset", "_origin_offset",
        "_event_time",
    ]  # fmt: skip


def test_the_properties_a_table_carries():
    properties = table_properties(Dataset(id="orders", tags=["real-time"]))
    assert properties["tailrace.dataset"] == "orders"
    assert properties["tailrace.tags"] == '["real-time"]'
    assert properties["tailrace.snapshot"] == "loading"


def test_keys_of_several_tables_begin_with_theirs():
    assert key_prefix('a"b') == '["a\\"b",'
    assert older_rows("orders", ["orders"], 2) == f"_version < '0000000002.{'0' * 40}'"
    assert older_rows("o's", ["o's", "x"], 2).endswith("""starts_with(_key, '["o''s",')""")


def test_failpoints_are_listed_once_and_named_for_the_stage():
    assert len(set(failpoints.FAILPOINTS)) == len(failpoints.FAILPOINTS)
    constants = {value for name, value in vars(failpoints).items() if name.isupper()}
    assert set(failpoints.FAILPOINTS) == {v for v in constants if isinstance(v, str)}
    assert all(point.startswith("sink.") for point in failpoints.FAILPOINTS)
