"""Rows of a table found a moment ago wait until the sink knows of it: none is set aside."""

from __future__ import annotations

import pytest

from bridge.wire.rowkeys import key_prefix
from sinks.plan import UnknownTableError, check_known
from sinks.rows import Batch
from tests.unit.sinks.build import row, sealed


def key(table: str) -> str:
    return key_prefix(table) + '{"orderId":{"S":"o-1"}}]'


def batch(*keys: str, seals: tuple[str, ...] = ()) -> Batch:
    rows = [row(each, number + 1) for number, each in enumerate(keys)]
    marks = [sealed(7, table=table) for table in seals]
    return Batch(rows=rows, seals=marks, next_offsets={0: len(rows)})


def test_known_tables_pass() -> None:
    check_known(batch(key("a"), key("b"), seals=("a",)), ("a", "b"))


@pytest.mark.parametrize(
    "unknown", [batch(key("a"), key("b")), batch(seals=("b",)), batch('{"orderId":{"S":"o-1"}}')]
)
def test_another_table_is_waited_for(unknown: Batch) -> None:
    with pytest.raises(UnknownTableError) as caught:
        check_known(unknown, ("a",))
    assert caught.value.retryable
