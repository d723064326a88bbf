"""apply_stateful: a function with a memory per item, through the driver."""

import pytest

from bridge.wire.errors import ConfigurationError
from processors.testing import Changes, TransformDriver
from tests.unit.processors.build import compiled, declare


def count_changes(row, state):
    """How often the status changed, and what it was before."""
    if row["status"] == "poison":
        state["changes"] = 1_000
        raise ValueError("poison")
    before, state["status"] = state.get("status"), row["status"]
    state["changes"] = state.get("changes", -1) + (before != row["status"])
    if row["status"] == "hidden":
        return None
    return {"status": row["status"], "before": before, "changes": state["changes"]}


SCHEMA = {"status": "string", "before": "string", "changes": "bigint"}
COUNTED = declare(
    lambda s: s.select("dynamodb.NewImage.status.S").apply_stateful(count_changes, schema=SCHEMA),
    name="counted_changes",
)


@pytest.fixture
def changes():
    return Changes(key=["id"])


def item(status, name="a"):
    return {"id": name, "status": status}


def only(driver):
    (row,) = driver.table().values()
    return row["status"], row["before"], row["changes"]


def test_the_memory_lasts_over_changes_checkpoints_and_restarts(tmp_path, changes):
    with TransformDriver(COUNTED, state_dir=tmp_path) as driver:
        first = changes.insert(item("new"))
        driver.send(first, changes.modify(item("paid")), first)  # a late copy counts for nothing
        assert only(driver) == ("paid", "new", 1)
        driver.commit()
    with TransformDriver(COUNTED, state_dir=tmp_path) as driver:
        driver.send(changes.modify(item("sent")))
        assert only(driver) == ("sent", "paid", 2)
        assert driver.rows()[-1]["_key"] == '{"id":{"S":"a"}}'


def test_a_failing_function_is_a_dead_letter_and_leaves_the_memory_as_it_was(changes):
    with TransformDriver(COUNTED) as driver:
        driver.send(changes.insert(item("new")), changes.modify(item("poison")))
        (letter,) = driver.dead_letters()
        assert "raised ValueError at" in letter.reason
        driver.send(changes.modify(item("paid")))
        assert only(driver) == ("paid", "new", 1)


def test_none_is_no_row_and_a_removed_item_begins_anew(changes):
    with TransformDriver(COUNTED) as driver:
        driver.send(changes.insert(item("new")), changes.modify(item("hidden")))
        assert driver.table() == {}
        driver.send(changes.modify(item("paid")))
        assert only(driver) == ("paid", "hidden", 2)
        driver.send(changes.remove(item("paid")))
        assert driver.table() == {}
        driver.send(changes.insert(item("new")))
        assert only(driver) == ("new", None, 0)


def test_what_a_scan_did_not_meet_is_forgotten(changes):
    newer = Changes(key=["id"], epoch=2_000)
    with TransformDriver(COUNTED) as driver:
        driver.send(changes.insert(item("x", "gone")), changes.insert(item("x", "stays")))
        driver.commit()
        driver.send(newer.read(item("y", "stays")), newer.sealed("orders"))
        driver.send(newer.insert(item("z", "gone")), newer.modify(item("z", "stays")))
        rows = {row["_key"]: row["before"] for row in driver.rows()[-2:]}
        assert rows == {'{"id":{"S":"gone"}}': None, '{"id":{"S":"stays"}}': "y"}


def test_a_memory_that_is_no_json_is_set_aside(changes):
    def keeps_a_set(row, state):
        state["seen"] = {row["status"]}
        return row

    kept = declare(
        lambda s: s.select("dynamodb.NewImage.status.S").apply_stateful(
            keeps_a_set, schema={"status": "string"}
        )
    )
    with TransformDriver(kept) as driver:
        driver.send(changes.insert(item("x")))
        (letter,) = driver.dead_letters()
        assert "JSON" in letter.reason
        assert driver.table() == {}


@pytest.mark.parametrize(
    ("chain", "options", "fragment"),
    [
        (lambda s: s.apply_stateful(count_changes, schema=SCHEMA), {}, "behind select"),
        (lambda s: s.select("eventID").apply_stateful(count_changes, schema={}), {}, "schema"),
        (
            lambda s: s.select("dynamodb.NewImage.id.S").apply_stateful(
                count_changes, schema={"id": "string"}
            ),
            {"key": ["id"]},
            "one row per item",
        ),
    ],
)
def test_what_can_not_work_is_said_at_once(chain, options, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        compiled(chain, **options)
