"""Columns found in items: the table decides which one takes an attribute of which type."""

from decimal import Decimal

import pytest

from bridge.wire.schemas import Column, Schema
from sinks.columns import found_columns
from tests.unit.sinks.build import Log, World, row_message

NUMBER, TEXT = "decimal(38,18)", "string"


def schema(*columns):
    return Schema("orders", "process_orders", tuple(columns))


# Two processors that met the types in another order, and so propose other names.
NUMBER_FIRST = schema(Column("price", NUMBER, "N"), Column("price__s", TEXT, "S"))
TEXT_FIRST = schema(Column("price", TEXT, "S"), Column("price__n", NUMBER, "N"))
SCHEMAS = {found.fingerprint: found for found in (NUMBER_FIRST, TEXT_FIRST)}
ROWS = {
    "a": (NUMBER_FIRST, {"price": "1"}),
    "b": (NUMBER_FIRST, {"price__s": "one"}),
    "c": (TEXT_FIRST, {"price": "two"}),
    "d": (TEXT_FIRST, {"price__n": "2"}),
}
EXPECTED = {
    "a": (Decimal(1), None),
    "b": (None, "one"),
    "c": (None, "two"),
    "d": (Decimal(2), None),
}


def fill(world, batches, rows=ROWS, schemas=SCHEMAS):
    """Commit the rows of each batch, as a new owner each time; the last writer."""
    log, start = Log(), {0: 0}
    for batch in batches:
        for key in batch:
            found, columns = rows[key]
            log.append(row_message(key, 1, schema=found, **columns))
        writer = world.writer()
        writer.commit(log.batch(start), schemas)
        start = dict(writer.ledger.offsets)
    return writer


@pytest.mark.parametrize("batches", ["abcd", "dcba", "cbad", ["abcd"], ["ad", "cb"], ["dc", "ab"]])
def test_processors_that_name_one_attribute_otherwise_agree_in_the_table(tmp_path, batches):
    world = World(tmp_path)
    fill(world, batches)
    names = {column.tag: column.name for column in found_columns(world.view().schema)}
    assert sorted(names) == ["N", "S"]
    assert sorted(names.values()) in (["price", "price__n"], ["price", "price__s"])
    rows = dict(world.view().rows())
    assert {k: (row[names["N"]], row[names["S"]]) for k, row in rows.items()} == EXPECTED
    assert not world.dead


def test_texts_and_documents_are_told_apart_although_both_lie_as_text(tmp_path):
    one, other = schema(Column("data", TEXT, "S")), schema(Column("data", "json", "M"))
    rows = {"a": (one, {"data": "{}"}), "b": (other, {"data": "{}"})}
    world = World(tmp_path)
    fill(world, "ab", rows, {s.fingerprint: s for s in (one, other)})
    found = dict(world.view().rows(["data", "data__m"]))
    assert found == {"a": {"data": "{}", "data__m": None}, "b": {"data": None, "data__m": "{}"}}


def test_a_declared_column_takes_the_attribute_that_fits_it(tmp_path):
    declared, found = schema(Column("price", NUMBER)), NUMBER_FIRST
    rows = {"a": (declared, {"price": "1"}), "b": (found, {"price": "2", "price__s": None})}
    world = World(tmp_path)
    fill(world, "ab", rows, {s.fingerprint: s for s in (declared, found)})
    found = dict(world.view().rows(["price"]))
    assert found == {"a": {"price": Decimal(1)}, "b": {"price": Decimal(2)}}


def test_a_third_spelling_has_no_column_and_its_rows_are_set_aside(tmp_path):
    spelled = schema(
        Column("status", TEXT, "S"), Column("Status__s", TEXT, "S"), Column("STATUS", TEXT, "S")
    )
    rows = {
        "a": (spelled, {"status": "x", "Status__s": "y"}),
        "b": (spelled, {"STATUS": "z"}),
    }
    world = World(tmp_path)
    fill(world, ["ab"], rows, {spelled.fingerprint: spelled})
    assert dict(world.view().rows(["status", "Status__s"])) == {
        "a": {"status": "x", "Status__s": "y"}
    }
    assert ["capitals" in letter.reason for letter in world.dead] == [True]


def test_names_people_would_not_give_a_column_survive_the_table(tmp_path):
    names = ["a.b", "a`b", "a'b", 'a"b', "$x", "größe", "日本", "1x", "select", "source", "target"]
    odd = schema(*(Column(name, TEXT, "S") for name in names))
    rows = {"a": (odd, dict.fromkeys(names, "1"))}
    world = World(tmp_path)
    fill(world, "a", rows, {odd.fingerprint: odd})
    log = Log()
    log.append(row_message("old", 0, schema=odd))  # offset 0 is in the table already
    log.append(row_message("a", 2, schema=odd, **dict.fromkeys(names, "2")))
    world.writer().commit(log.batch({0: 1}), {odd.fingerprint: odd})
    assert dict(world.view().rows(names)) == {"a": dict.fromkeys(names, "2")}
