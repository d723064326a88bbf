"""One row per element, kept in step with the list: through the driver, with the real RocksDB."""

import pytest

from bridge.wire.errors import ConfigurationError
from processors.testing import Changes, TransformDriver
from tests.unit.processors.build import change, compiled, declare

LINES = declare(
    lambda s: s.explode("dynamodb.NewImage.lines.L as line").select(
        "dynamodb.NewImage.orderId.S as order_id",
        "line.M.no.N as line_no",
        "line.M.sku.S as sku",
    ),
    key=["order_id", "line_no"],
)


def order(*lines, order_id="o-1"):
    return {"orderId": order_id, "lines": [{"no": no, "sku": f"sku-{no}"} for no in lines]}


def key(no, order_id="o-1"):
    return f'{{"line_no":{{"N":"{no}"}},"order_id":{{"S":"{order_id}"}}}}'


@pytest.fixture
def changes():
    return Changes(key=["orderId"])


@pytest.fixture
def driver():
    with TransformDriver(LINES) as opened:
        yield opened


def operations(driver):
    return [(row["_op"], row["_key"]) for row in driver.rows()]


def test_vanished_lines_are_retracted_with_the_version_of_the_change(driver, changes):
    driver.send(changes.insert(order(1, 2)), changes.modify(order(2, 3)))
    assert operations(driver) == [
        ("upsert", key(1)),
        ("upsert", key(2)),
        ("delete", key(1)),
        ("upsert", key(2)),
        ("upsert", key(3)),
    ]
    assert {row["_version"][-3:] for row in driver.rows()[2:]} == {"102"}
    assert set(driver.table()) == {key(2), key(3)}


def test_remove_retracts_every_line_also_across_checkpoints(driver, changes):
    driver.send(changes.insert(order(1, 2)))
    driver.commit()
    driver.send(changes.remove(order()))
    driver.commit()
    assert driver.table() == {}
    assert operations(driver)[2:] == [("delete", key(1)), ("delete", key(2))]


def test_an_emptied_and_a_missing_list_leave_nothing(driver, changes):
    driver.send(changes.insert(order(1)), changes.modify(order()))
    assert driver.table() == {}
    driver.send(changes.modify(order(5)), changes.modify({"orderId": "o-1"}))
    assert driver.table() == {}


def test_what_is_not_newer_is_dropped(driver, changes):
    first, second = changes.insert(order(1)), changes.modify(order(2))
    driver.send(first, second, first, second, changes.read(order(9)))
    assert len(driver.rows()) == 3
    assert set(driver.table()) == {key(2)}


def test_a_late_copy_can_not_bring_a_removed_item_back(driver, changes):
    insert = changes.insert(order(1))
    driver.send(insert, changes.remove(order()))
    driver.commit()
    driver.send(insert, changes.read(order(1)))
    assert driver.table() == {}
    driver.send(changes.insert(order(4)))
    assert set(driver.table()) == {key(4)}


def test_a_new_generation_replaces_the_old_and_its_seal_is_a_floor(driver, changes):
    newer = Changes(key=["orderId"], epoch=2_000)
    driver.send(changes.insert(order(1, 2)), newer.read(order(2)))
    assert set(driver.table()) == {key(2)}
    driver.send(newer.sealed("orders"))
    driver.commit()
    driver.send(changes.insert(order(7, order_id="o-2")))
    assert set(driver.table()) == {key(2)}
    driver.send(newer.insert(order(7, order_id="o-2")))
    assert set(driver.table()) == {key(2), key(7, "o-2")}


def test_a_lower_seal_does_not_lower_the_floor(driver, changes):
    newer = Changes(key=["orderId"], epoch=2_000)
    driver.send(newer.sealed("orders"), changes.sealed("orders"), changes.insert(order(1)))
    assert driver.rows() == []


def test_state_survives_a_restart(tmp_path, changes):
    with TransformDriver(LINES, state_dir=tmp_path) as first:
        first.send(changes.insert(order(1, 2)))
        first.commit()
    with TransformDriver(LINES, state_dir=tmp_path) as second:
        second.send(changes.modify(order(2)))
        assert operations(second) == [("delete", key(1)), ("upsert", key(2))]


def test_what_was_not_committed_is_not_remembered(tmp_path, changes):
    insert = changes.insert(order(1))
    with TransformDriver(LINES, state_dir=tmp_path) as first:
        first.send(insert)
    with TransformDriver(LINES, state_dir=tmp_path) as second:
        second.send(insert)
        assert operations(second) == [("upsert", key(1))]


def test_two_rows_of_one_key_are_set_aside_and_leave_the_state_alone(driver, changes):
    driver.send(changes.insert(order(1)), changes.modify(order(2, 2)))
    (letter,) = driver.dead_letters()
    assert "same key (order_id, line_no)" in letter.reason
    assert set(driver.table()) == {key(1)}
    driver.send(changes.modify(order(3)))
    assert set(driver.table()) == {key(3)}


def test_a_null_in_the_key_is_set_aside(driver, changes):
    driver.send(changes.insert({"orderId": "o-1", "lines": [{"sku": "x"}]}))
    (letter,) = driver.dead_letters()
    assert "a key column is null" in letter.reason


def test_numbers_in_keys_are_canonical(driver, changes):
    driver.send(changes.insert({"orderId": "o-1", "lines": [{"no": 1.0 and 1, "sku": "x"}]}))
    assert set(driver.table()) == {key(1)}


def test_lists_in_lists_and_filters_between():
    nested = declare(
        lambda s: (
            s.explode("dynamodb.NewImage.boxes.L as box")
            .filter("box.M.kind.S = 'full'")
            .explode("box.M.parts.L as part")
            .select("dynamodb.NewImage.id.S", "box.M.no.N as box", "part.S as part")
            .filter("part <> 'b'")
        ),
        key=["id", "box", "part"],
    )
    boxes = [
        {"no": 1, "kind": "full", "parts": ["a", "b"]},
        {"no": 2, "kind": "empty", "parts": ["c"]},
        {"no": 3, "kind": "full", "parts": ["d"]},
        {"no": 4, "kind": "full"},
    ]
    with TransformDriver(nested) as driver:
        driver.send(Changes(key=["id"]).insert({"id": "i", "boxes": boxes}))
        found = [(row["box"], row["part"]) for row in driver.rows()]
    assert found == [("1", "a"), ("3", "d")]


@pytest.mark.parametrize(
    ("columns", "key_columns", "fragment"),
    [
        (["line.M.no.N as no"], [], "explode makes several rows of one item"),
        (["line.M.no.N as no"], ["id", "no"], "key names 'id', which is not selected"),
        (["line.M.no.N as no"], ["no"], "holds no attribute of the item's own key"),
        (["dynamodb.NewImage.id.S", "eventID"], ["id", "eventID"], "'eventID' describes the event"),
        (["dynamodb.NewImage.id.S", "line.M.ok.BOOL"], ["id", "ok"], "'ok' is a boolean"),
    ],
)
def test_a_key_that_can_not_work_is_refused_before_anything_starts(columns, key_columns, fragment):
    with pytest.raises(ConfigurationError) as caught:
        compiled(
            lambda s: s.explode("dynamodb.NewImage.lines.L as line").select(*columns),
            key=key_columns,
        )
    assert fragment in str(caught.value)


def test_a_key_without_the_tables_key_is_refused_at_its_first_change():
    flow = compiled(
        lambda s: s.explode("dynamodb.NewImage.lines.L as line").select(
            "dynamodb.NewImage.other.S", "line.M.no.N as no"
        ),
        key=["other", "no"],
    )
    image = {"id": {"S": "1"}, "other": {"S": "x"}, "lines": {"L": []}}
    with pytest.raises(ConfigurationError, match=r"Select dynamodb.NewImage.id.S without a cast"):
        flow.evaluate(change(new=image))


def test_a_key_without_explode_retracts_the_row_of_the_old_key():
    by_status = declare(
        lambda s: s.select("dynamodb.NewImage.id.S", "dynamodb.NewImage.status.S"),
        key=["id", "status"],
    )
    changes = Changes(key=["id"])
    with TransformDriver(by_status) as driver:
        driver.send(changes.insert({"id": "1", "status": "new"}))
        driver.send(changes.modify({"id": "1", "status": "done"}))
        assert list(driver.table()) == ['{"id":{"S":"1"},"status":{"S":"done"}}']
