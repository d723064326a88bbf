"""The declaration of what is read: one table, or several alike."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import DynamoDBSource
from bridge.wire.errors import ConfigurationError


def test_one_table_is_declared_by_itself() -> None:
    source = DynamoDBSource(table_name="orders")
    assert source.each == (source,)


def test_several_tables_are_one_declaration_each_with_all_else_alike() -> None:
    names = ["orders_a", "orders_b"]
    source = DynamoDBSource(table_names=names, region="eu-west-1", snapshot="only")
    assert source.table_names == ("orders_a", "orders_b")
    assert source.each == tuple(
        DynamoDBSource(table_name=name, region="eu-west-1", snapshot="only") for name in names
    )
    assert hash(source) == hash(
        DynamoDBSource(table_names=tuple(names), region="eu-west-1", snapshot="only")
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "'' is not the name"),
        ({"table_name": "or"}, "'or' is not the name"),
        ({"table_names": ["orders", "a b"]}, "'a b' is not the name"),
        ({"table_names": "orders"}, r"table_names=\["),
        ({"table_names": ["orders", "orders"]}, "named twice"),
        ({"table_name": "orders", "table_names": ["customers"]}, "both given"),
        ({"table_name": "orders", "snapshot": "always"}, "initial, never, only"),
        ({"table_name": "orders", "on_gap": "skip"}, "stop, resnapshot"),
        ({"table_name": "orders", "read_capacity": 0}, "above 0"),
        ({"table_name": "orders", "read_capacity": "10"}, "above 0"),
    ],
)
def test_what_is_wrong_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        DynamoDBSource(**wrong)
