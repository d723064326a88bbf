"""with_columns, drop and rename: which columns there are at each point of a chain."""

import pytest

from bridge.wire.errors import ConfigurationError
from tests.unit.processors.build import change, compiled

ITEM = {"id": {"S": "i-1"}, "status": {"S": "open"}, "total": {"N": "12.50"}}
STATUS, TOTAL = "dynamodb.NewImage.status.S", "dynamodb.NewImage.total.N"


def row(chain):
    ((_, found),) = compiled(chain).evaluate(change("MODIFY", new=ITEM, old=ITEM)).rows
    return found


def refused(chain):
    with pytest.raises(ConfigurationError) as caught:
        compiled(chain)
    return str(caught.value)


def test_columns_added_behind_a_select_may_use_earlier_ones():
    found = row(
        lambda s: s.select(STATUS, TOTAL).with_columns(
            "total > 10 as big", "big = false as small", "cast(total as bigint) as total"
        )
    )
    assert found == {"status": "open", "total": 13, "big": True, "small": False}


def test_columns_added_before_a_select_have_names_in_it_and_in_filters():
    found = row(
        lambda s: (
            s.with_columns(f"{TOTAL} > 10 as big")
            .with_columns("not big as small")
            .filter("big")
            .select("big", "small", STATUS)
        )
    )
    assert found == {"big": True, "small": False, "status": "open"}


def test_an_added_column_that_stops_matching_retracts():
    flow = compiled(
        lambda s: s.with_columns(f"{STATUS} = 'open' as is_open").filter("is_open").select(STATUS)
    )
    done = {**ITEM, "status": {"S": "done"}}
    assert flow.evaluate(change("MODIFY", new=done, old=ITEM)).vanished


def test_dropped_and_renamed():
    found = row(
        lambda s: (
            s.select("eventName", STATUS, TOTAL)
            .drop("eventName")
            .rename({"total": "status", "status": "state"})
            .filter("state = 'open'")
        )
    )
    assert found == {"state": "open", "status": "12.50"}


def test_an_event_column_stays_one_under_another_name():
    flow = compiled(lambda s: s.select("eventName", STATUS).rename({"eventName": "kind"}))
    assert flow.event_columns == {"kind"}


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (lambda s: s.select(STATUS).drop("statsu"), "Did you mean 'status'?"),
        (lambda s: s.select(STATUS).drop("status"), "drop leaves no column"),
        (lambda s: s.select(STATUS).drop(), "drop names no column"),
        (lambda s: s.select(STATUS).drop(5), "int is not a text"),
        (lambda s: s.select(STATUS).rename({"statsu": "x"}), "Did you mean 'status'?"),
        (lambda s: s.select(STATUS).rename({}), "a dict of old and new names"),
        (lambda s: s.select(STATUS).rename({"status": "_key"}), "taken by Tailrace"),
        (lambda s: s.select(STATUS).rename({"status": "a b"}), "can't be named 'a b'"),
        (lambda s: s.select(STATUS).rename({"status": ""}), "name is empty"),
        (lambda s: s.select(STATUS, TOTAL).rename({"status": "total"}), "two columns are named"),
        (lambda s: s.select(STATUS, TOTAL).rename({"status": "Total"}), "no capitals apart"),
        (lambda s: s.select(STATUS).with_columns("status = 'x' as Status"), "no capitals"),
        (lambda s: s.select(STATUS).with_columns("statsu = 'x' as y"), "Did you mean 'status'?"),
        (lambda s: s.select(STATUS).with_columns(), "with_columns names no column"),
        (lambda s: s.with_columns(f"{STATUS} = 'x'"), "the column has no name"),
        (lambda s: s.with_columns(f"{STATUS} as dynamodb"), "'dynamodb' is taken"),
        (lambda s: s.with_columns(f"{STATUS} as x").select("y"), "unknown field 'y'"),
        (lambda s: s.select(STATUS).filter("status = 'x' as y"), "a condition has no name"),
    ],
)
def test_mistakes_are_told_at_once(chain, message):
    assert message in refused(chain)
