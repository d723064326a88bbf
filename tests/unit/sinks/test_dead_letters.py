"""What does not fit leaves the way of everything else, and is never lost."""

from __future__ import annotations

import pytest

from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.schemas import Column, Schema
from sinks.table import TableError
from tests.unit.sinks.build import SCHEMAS, FakeMessage, Log, Refusing, World, version


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def commit_all(writer, log, schemas=SCHEMAS):
    return writer.commit(log.batch(dict(writer.ledger.offsets)), schemas)


def test_a_row_that_does_not_fit_is_set_aside_before_the_commit_that_passes_it(world):
    log = Log()
    log.upsert("good", 1)
    log.upsert("bad", 2, order_id="bad", total="1.005")
    version_then = []
    writer = world.writer()
    writer._write_dead_letters = lambda unfit: version_then.append(
        (len(unfit), world.writer().ledger.offsets)
    )
    done = commit_all(writer, log)
    assert version_then == [(1, {})]
    assert done.dead_lettered == 1
    assert world.rows() == {"good": version(1)}
    assert world.writer().ledger.offsets == {0: 2}


def test_nothing_passes_a_dead_letter_that_kafka_does_not_take(world):
    log, writer = Log(), world.writer()
    log.upsert("bad", 2, order_id="bad", total="x")

    def refuse(_unfit):
        raise BrokerUnreachableError("no answer")

    writer._write_dead_letters = refuse
    with pytest.raises(BrokerUnreachableError):
        commit_all(writer, log)
    assert world.writer().ledger.offsets == {}


def test_an_older_row_takes_the_place_of_a_newer_that_does_not_fit(world):
    """In separate batches it would; the result must not depend on where a batch ends."""
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    log.upsert("a", 2, order_id="a", total="x")
    done = commit_all(writer, log)
    assert (done.upserted, done.dead_lettered) == (1, 1)
    assert world.rows() == {"a": version(1)}


def test_a_batch_tried_again_writes_its_dead_letters_once(world):
    log, writer = Log(), world.writer(engine=Refusing())
    log.upsert("a", 1)
    log.upsert("bad", 2, order_id="bad", total="x")
    batch = log.batch({})
    with pytest.raises(TableError):
        writer.commit(batch, SCHEMAS)
    assert writer.commit(batch, SCHEMAS).dead_lettered == 1
    assert len(world.dead) == 1


def test_an_unreadable_message_is_passed_by_as_a_dead_letter(world):
    log, writer = Log(), world.writer()
    log.append(FakeMessage(b"{"))
    log.upsert("a", 1)
    commit_all(writer, log)
    assert world.rows() == {"a": version(1)}
    assert world.dead[0].place == (0, 0)


def test_new_columns_come_in_by_a_commit_of_their_own_and_old_rows_hold_null(world):
    log, writer = Log(), world.writer()
    log.upsert("a", 1)
    commit_all(writer, log)
    more = (*next(iter(SCHEMAS.values())).columns, Column("note", "string"))
    newer = Schema("orders", "process_orders", more)
    schemas = {**SCHEMAS, newer.fingerprint: newer}
    log.upsert("b", 2, schema=newer, order_id="b", total="1", note="n")
    log.upsert("c", 3)  # the older schema still, in the same batch
    before = world.version()
    commit_all(writer, log, schemas)
    assert world.version() == before + 2
    found = {key: row["note"] for key, row in world.view().rows(["note"])}
    assert found == {"a": None, "b": "n", "c": None}


def test_a_type_the_table_lacks_never_reaches_it(world):
    log, writer = Log(), world.writer()
    first = Schema("orders", "t", (Column("n", "bigint"),))
    second = Schema("orders", "t", (Column("n", "double"),))
    schemas = {schema.fingerprint: schema for schema in (first, second)}
    log.upsert("a", 1, schema=first, n=1)
    commit_all(writer, log, schemas)
    log.upsert("b", 2, schema=second, n=2.5)
    log.upsert("c", 3, schema=second, n=3.0)
    commit_all(writer, log, schemas)
    assert {key: row["n"] for key, row in world.view().rows(["n"])} == {"a": 1, "c": 3}
    assert "the table is int64" in world.dead[0].reason
