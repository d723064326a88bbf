"""What a name means to `tailrace pause`."""

from __future__ import annotations

import pytest

from bridge.control.pause import Known
from bridge.wire.errors import ConfigurationError

KNOWN = Known(
    {
        "table": frozenset({"orders", "returns"}),
        "transform": frozenset({"process_orders"}),
        "dataset": frozenset({"orders", "table:odd"}),
    }
)


def test_a_name_that_is_one_thing_needs_no_kind():
    assert KNOWN.find("returns") == ("table", "returns")
    assert KNOWN.find("process_orders") == ("transform", "process_orders")
    assert KNOWN.find("dataset:orders") == ("dataset", "orders")
    assert KNOWN.find("dataset:table:odd") == ("dataset", "table:odd")


def test_a_name_that_is_two_things_asks_which():
    with pytest.raises(ConfigurationError, match="Write table:orders or dataset:orders"):
        KNOWN.find("orders")


def test_a_name_that_is_nothing_names_the_nearest():
    with pytest.raises(ConfigurationError, match="Did you mean process_orders"):
        KNOWN.find("proces_orders")
    with pytest.raises(
        ConfigurationError, match="Known are dataset:orders, dataset:table:odd, table:orders"
    ):
        KNOWN.find("xyz")
