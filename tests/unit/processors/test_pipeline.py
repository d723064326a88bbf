"""Messages in, messages out: dead letters, control records, addressees, unknown versions."""

import orjson
import pytest

from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import CONTROL_KEY, Sealed, header, settled_headers, settled_value
from bridge.wire.errors import ConfigurationError, UnknownVersionError
from processors import metrics
from processors.testing import Changes, Sent, TransformDriver
from tests.unit.processors.build import declare

TRANSFORM = declare(
    lambda s: s.select("dynamodb.NewImage.id.S", "dynamodb.NewImage.n.N as n"), name="numbers"
)
EXPLODED = declare(
    lambda s: s.explode("dynamodb.NewImage.l.L as x").select("dynamodb.NewImage.id.S", "x.N as n"),
    key=["id", "n"],
    name="exploded",
)


@pytest.fixture
def changes():
    return Changes(key=["id"])


@pytest.fixture(params=[TRANSFORM, EXPLODED], ids=["stateless", "stateful"])
def driver(request):
    with TransformDriver(request.param) as opened:
        yield opened


def edited(sent, edit):
    """The same message with its decoded value changed."""
    record = orjson.loads(sent.value)
    edit(record)
    return Sent(sent.key, orjson.dumps(record), sent.headers)


def drop(*path):
    def edit(record):
        for name in path[:-1]:
            record = record[name]
        del record[path[-1]]

    return edit


def put(value, *path):
    def edit(record):
        for name in path[:-1]:
            record = record[name]
        record[path[-1]] = value

    return edit


POISON = [
    lambda c: Sent(b"k", b"junk", [("mine", b"1")]),
    lambda c: Sent(b"k", b""),
    lambda c: Sent(b"k", b"[1]"),
    lambda c: Sent(b"k", b"{}"),
    lambda c: Sent(b"k", b'{"dynamodb":{}}'),
    lambda c: Sent(b"k", b"[" * 2000 + b"]" * 2000),
    lambda c: edited(c.insert({"id": "1"}), drop("tailrace")),
    lambda c: edited(c.insert({"id": "1"}), drop("dynamodb", "Keys")),
    lambda c: edited(c.insert({"id": "1"}), drop("dynamodb", "NewImage")),
    lambda c: edited(c.insert({"id": "1"}), drop("dynamodb", "SequenceNumber")),
    lambda c: edited(c.insert({"id": "1"}), drop("eventName")),
    lambda c: edited(c.insert({"id": "1"}), put("9" * 41, "dynamodb", "SequenceNumber")),
    lambda c: edited(c.insert({"id": "1"}), put([], "dynamodb", "NewImage")),
    lambda c: edited(c.insert({"id": "1", "l": [1]}), put(5, "dynamodb", "NewImage", "id")),
    lambda c: Sent(CONTROL_KEY, b"{}", [("v", b"1"), ("control", b"sealed")]),
]


@pytest.mark.parametrize("poison", POISON)
def test_a_poison_record_is_set_aside_whole_and_the_next_is_processed(driver, changes, poison):
    bad = poison(changes)
    driver.send(bad, changes.insert({"id": "2", "n": 1, "l": [1]}))
    driver.commit()
    (written,) = [m for m in driver.written if ".dlq." in m.topic]
    assert (written.key, written.value) == (bad.key, bad.value or None) or written.value == b""
    letter = DeadLetter.from_headers(written.headers)
    assert (letter.stage, letter.owner) == ("processor", driver.compiled.name)
    assert (letter.topic, letter.partition, letter.offset) == ("test.changes.orders", 0, 0)
    assert letter.error
    assert letter.reason
    assert "\n" not in letter.reason
    assert "Traceback" in letter.traceback
    assert [row["id"] for row in driver.rows()] == ["2"]
    assert driver.committed() == 2


def test_the_original_headers_are_kept(driver):
    driver.send(Sent(b"k", b"junk", [("mine", b"1")]))
    (written,) = driver.written
    assert header(written.headers, "mine") == "1"


def test_a_number_that_does_not_fit_is_set_aside_with_the_cast_to_write(changes):
    with TransformDriver(TRANSFORM) as driver:
        driver.send(changes.insert({"id": "1", "n": 10**30}))
        (letter,) = driver.dead_letters()
    assert "cast(dynamodb.NewImage.n.N as double)" in letter.reason
    assert str(10**30) not in letter.reason


def test_a_seal_is_forwarded_unchanged_into_its_own_partition(driver, changes):
    sent = changes.sealed("orders")
    driver.send(changes.insert({"id": "1", "n": 1, "l": [1]}), sent)
    row, seal = driver.written
    assert seal.topic == row.topic == "test.rows.rows"
    assert (seal.key, seal.value, seal.headers) == (CONTROL_KEY, sent.value, Sealed.headers())
    assert (seal.partition, row.partition) == (0, None)


def test_a_settled_record_is_passed_over(driver):
    driver.send(Sent(CONTROL_KEY, settled_value(), settled_headers()))
    driver.commit()
    assert not driver.written
    assert driver.committed() == 1


def test_a_row_has_its_changes_key_and_the_headers_of_the_contract(driver, changes):
    driver.send(Sent(b"k", b"junk"), insert := changes.insert({"id": "1", "n": 1, "l": [1]}))
    row = driver.written[-1]
    assert row.key == insert.key
    assert dict(row.headers) == {
        "v": b"1",
        "schema": driver.compiled.schema.fingerprint.encode(),
        "offset": b"1",
    }
    assert row.row["_event_time"] == "2025-11-23T14:16:44Z"


def test_a_change_addressed_to_another_is_passed_over(driver, changes):
    mine, other = driver.compiled.name, "another"
    first = edited(changes.read({"id": "1", "n": 1, "l": [1]}), put(other, "tailrace", "for"))
    second = edited(changes.read({"id": "2", "n": 1, "l": [1]}), put(mine, "tailrace", "for"))
    driver.send(first, second)
    assert [row["id"] for row in driver.rows()] == ["2"]
    assert driver.dead_letters() == []


@pytest.mark.parametrize("place", ["change", "seal"])
def test_an_unknown_wire_version_stops(driver, changes, place):
    sent = changes.insert({"id": "1"}) if place == "change" else changes.sealed("orders")
    with pytest.raises(UnknownVersionError, match="Upgrade this stage"):
        driver.send(edited(sent, put(2, "tailrace", "v")))
    assert driver.written == []


def test_a_key_the_table_does_not_have_stops(changes):
    wrong = declare(
        lambda s: s.select("dynamodb.NewImage.a.S", "dynamodb.NewImage.id.S"), key=["a"]
    )
    with TransformDriver(wrong) as driver, pytest.raises(ConfigurationError, match="'id'"):
        driver.send(changes.insert({"id": "1", "a": "2"}))


def test_what_is_counted(changes):
    def value(metric, *labels):
        return metric.labels("counted", *labels)._value.get()

    counted = declare(
        lambda s: s.explode("dynamodb.NewImage.l.L as x").select(
            "dynamodb.NewImage.id.S", "x.N as n", "dynamodb.NewImage.t.S"
        ),
        key=["id", "n"],
        name="counted",
    )
    insert = changes.insert({"id": "1", "l": [1, 2], "t": 5})
    with TransformDriver(counted) as driver:
        driver.send(insert, insert, changes.modify({"id": "1", "l": [2]}), Sent(b"k", b"junk"))
    assert value(metrics.CHANGES) == 4
    assert value(metrics.ROWS, "upsert") == 3
    assert value(metrics.ROWS, "delete") == 1
    assert value(metrics.STALE) == 1
    assert value(metrics.DEAD_LETTERS) == 1
    assert value(metrics.TYPE_MISMATCHES, "dynamodb.NewImage.t.S") == 2  # once per change
