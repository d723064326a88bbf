"""Keyed operators through the driver: both steps, the real RocksDB, against a plain reference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.envelope import header
from bridge.wire.errors import ConfigurationError
from processors import col, tumbling
from processors.columns import call
from processors.compiled import compile_transform
from processors.keyed.expected import ExpectedGroups
from processors.testing import Changes, TransformDriver, typed
from tests.unit.processors.build import compiled, declare

COLUMNS = (
    "dynamodb.NewImage.id.S",
    "dynamodb.NewImage.status.S",
    "cast(dynamodb.NewImage.total.N as decimal(12,2)) as total",
)


def by_status(stream):
    return (
        stream.select(*COLUMNS)
        .group_by("status")
        .agg(orders="count()", total="sum(total)", least="min(total)", most="max(total)")
    )


GROUPED = declare(by_status, name="grouped")
KEYED = declare(lambda s: s.select(*COLUMNS).key_by("status"), name="keyed")
FIRST = declare(lambda s: s.select(*COLUMNS).deduplicate("status"), name="deduplicated")


@pytest.fixture
def changes():
    return Changes(key=["id"])


def item(name, status=None, total=1):
    return {"id": name, "total": total} | ({"status": status} if status else {})


def test_groups_follow_their_items(changes):
    with TransformDriver(GROUPED) as driver:
        driver.send(changes.insert(item("a", "new", 5)), changes.insert(item("b", "new", 3)))
        driver.commit()
        driver.send(changes.modify(item("a", "done", 5)), changes.insert(item("c")))
        assert driver.table() == {
            '{"status":{"S":"new"}}': {
                "status": "new", "orders": 1, "total": "3.00", "least": "3.00", "most": "3.00",
            },
            '{"status":{"S":"done"}}': {
                "status": "done", "orders": 1, "total": "5.00", "least": "5.00", "most": "5.00",
            },
            '{"status":{"NULL":true}}': {
                "status": None, "orders": 1, "total": "1.00", "least": "1.00", "most": "1.00",
            },
        }  # fmt: skip
        driver.send(changes.remove(item("b")), changes.remove(item("a")), changes.remove(item("c")))
        assert driver.table() == {}


def test_aggregates_take_expressions_as_text_and_as_python(changes):
    both = declare(
        lambda s: (
            s.select(*COLUMNS)
            .group_by(col("status"))
            .agg(n="count(*)", double="sum(total * 2)", least=call("min", col("total")))
        ),
        name="both",
    )
    with TransformDriver(both) as driver:
        driver.send(changes.insert(item("a", "x", 5)), changes.insert(item("b", "x", 3)))
        (row,) = driver.table().values()
    assert (row["n"], float(row["double"]), row["least"]) == (2, 16, "3.00")


def shown(driver):
    return {row["status"]: row["id"] for row in driver.table().values()}


def test_key_by_shows_who_changed_last_and_the_next_when_that_leaves(changes):
    with TransformDriver(KEYED) as driver:
        driver.send(changes.insert(item("a", "x")), changes.insert(item("b", "x")))
        assert shown(driver) == {"x": "b"}
        driver.send(changes.modify(item("a", "x", 2)))
        assert shown(driver) == {"x": "a"}
        driver.send(changes.modify(item("a", "y", 2)))
        assert shown(driver) == {"x": "b", "y": "a"}
        driver.send(changes.modify(item("a")), changes.remove(item("b")))
        assert shown(driver) == {}


def test_deduplicate_shows_the_first_while_it_is_there(changes):
    with TransformDriver(FIRST) as driver:
        driver.send(changes.insert(item("a", "x")), changes.insert(item("b", "x")))
        driver.send(changes.modify(item("a", "x", 2)))
        assert shown(driver) == {"x": "a"}
        driver.send(changes.remove(item("a")))
        assert shown(driver) == {"x": "b"}


def test_a_scan_takes_back_what_vanished_and_stamps_what_stays_with_its_epoch(changes):
    newer = Changes(key=["id"], epoch=2_000)
    with TransformDriver(GROUPED) as driver:
        driver.send(changes.insert(item("a", "x")), changes.insert(item("b", "y")))
        driver.commit()
        driver.send(newer.read(item("a", "x")), newer.sealed("orders"))
        *_, gone, _seal = driver.written
        assert [row["status"] for row in driver.table().values()] == ["x"]
        assert (gone.row["_op"], gone.row["_key"]) == ("delete", '{"status":{"S":"y"}}')
        assert all(row["_version"] >= "0000002000" for row in driver.rows()[2:])
        seals = [m for m in driver.written if header(m.headers, "control") and ".rows." in m.topic]
        assert [seal.row["tailrace"]["epoch"] for seal in seals] == [2_000]
        driver.send(changes.insert(item("z", "x")))  # older than the seal
        assert [row["orders"] for row in driver.table().values()] == [1]


WINDOWED = declare(
    lambda s: (
        s.select(*COLUMNS, "eventName", "dynamodb.NewImage.at.N as at")
        .group_by("eventName")
        .window(tumbling("1 minute"), on="at", grace="1 minute")
        .agg(n="count()", total="sum(total)", last="last(total)")
    ),
    name="windowed",
)


def test_windows_count_changes_by_their_time_but_no_scan(changes):
    def at(name, seconds, total=1):
        return {"id": name, "at": seconds, "total": total}

    with TransformDriver(WINDOWED) as driver:
        driver.send(changes.read(at("r", 60)), changes.insert(at("a", 60)))
        driver.send(changes.insert(at("b", 119, 3)), changes.insert(at("c", 120)))
        driver.send(changes.insert(at("d", 61, 5)))  # late, but within the grace
        driver.send(changes.insert(at("e", 180)), changes.insert(at("f", 60)))  # too late
        driver.commit()
        found = [
            (row["window_start"], row["window_end"], row["n"], row["total"], row["last"])
            for row in driver.table().values()
        ]
        assert found == [
            ("1970-01-01T00:01:00.000000Z", "1970-01-01T00:02:00.000000Z", 3, "9.00", "3.00"),
            ("1970-01-01T00:02:00.000000Z", "1970-01-01T00:03:00.000000Z", 1, "1.00", "1.00"),
            ("1970-01-01T00:03:00.000000Z", "1970-01-01T00:04:00.000000Z", 1, "1.00", "1.00"),
        ]
        seal = changes.sealed("orders")
        driver.send(seal)
        assert driver.written[-1].row["tailrace"]["scanned"] is False


def test_a_sum_that_fits_no_column_is_set_aside_and_leaves_the_group_alone(changes):
    whole = declare(
        lambda s: (
            s.select("cast(dynamodb.NewImage.total.N as bigint) as total", *COLUMNS[:2])
            .group_by("status")
            .agg(total="sum(total)")
        ),
        name="whole",
    )
    with TransformDriver(whole) as driver:
        driver.send(changes.insert(item("a", "x", 2**62)), changes.insert(item("b", "x", 2**62)))
        (letter,) = driver.dead_letters()
        assert letter.topic == "test._contributions.rows"
        driver.send(changes.insert(item("c", "x", 1)))
        assert [row["total"] for row in driver.table().values()] == [2**62 + 1]


@pytest.mark.parametrize(
    ("chain", "fragment"),
    [
        (lambda s: s.key_by("status"), "behind select"),
        (lambda s: s.select(*COLUMNS).key_by(), "names no column"),
        (lambda s: s.select(*COLUMNS).key_by("nosuch"), "unknown"),
        (lambda s: s.select(*COLUMNS).group_by("status").agg(n="median(total)"), "no aggregate"),
        (lambda s: s.select(*COLUMNS).group_by("status").agg(n="sum(status)"), "makes no sense"),
        (lambda s: s.select(*COLUMNS).group_by("status").agg(n="total"), "an aggregate expected"),
        (lambda s: s.select(*COLUMNS).group_by("status").agg(n="sum(id, id)"), "one argument"),
        (lambda s: s.select(*COLUMNS).group_by("status").agg(n="sum(nosuch)"), "nosuch"),
        (lambda s: s.select(*COLUMNS).group_by("status").agg(n="sum()"), "of what"),
        (lambda s: s.select(*COLUMNS, "eventName").key_by("eventName"), "latest change"),
        (lambda s: by_status(s).select("status"), "nothing can follow"),
        (lambda s: s.group_by("eventName").window("1 hour"), "not a window"),
        (lambda s: s.group_by("eventName").window(tumbling("soon")), "not a duration"),
    ],
)
def test_what_can_not_work_is_said_at_once(chain, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        compiled(chain)


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["insert", "remove", "again", "scan", "commit"]),
        st.sampled_from(["x", "y", None]),
        st.integers(0, 3),
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.sets(st.sampled_from("abc")))
def test_the_table_is_the_aggregate_of_the_items_whatever_happens(steps, vanished):
    changes, items, sent = Changes(key=["id"]), {}, []
    with TransformDriver(GROUPED) as driver:
        for name, what, status, total in steps:
            if what == "commit":
                driver.commit()
            elif what == "again" and sent:
                driver.send(sent[total % len(sent)])
            elif what == "scan":
                # A new generation; what vanished meanwhile is in no stream.
                changes = Changes(key=["id"], epoch=changes.epoch + 1)
                for gone in vanished & items.keys():
                    del items[gone]
                driver.send(*map(changes.read, items.values()), changes.sealed("orders"))
            else:
                if what == "remove":
                    message = changes.remove(items.pop(name, item(name)))
                else:
                    items[name] = item(name, status, total)
                    message = changes.insert(items[name])
                sent.append(message)
                driver.send(message)
        found = {row["status"]: row for row in driver.table().values()}
        flow = driver.compiled.flow
    verified = ExpectedGroups(flow.keyed)
    for name, one in items.items():
        typed_item = {attribute: typed(value) for attribute, value in one.items()}
        verified.add(name, flow.expected(typed_item, ["id"]))
    assert {columns["status"]: columns for _, columns in verified.rows()} == found
    groups = {}
    for one in items.values():
        groups.setdefault(one.get("status"), []).append(one["total"])
    assert found == {
        status: {
            "status": status,
            "orders": len(totals),
            "total": f"{sum(totals)}.00",
            "least": f"{min(totals)}.00",
            "most": f"{max(totals)}.00",
        }
        for status, totals in groups.items()
    }


@pytest.mark.parametrize("method", ["key_by", "deduplicate"])
def test_rows_of_nothing_but_their_key(changes, method):
    bare = declare(
        lambda s: getattr(s.select("dynamodb.NewImage.status.S"), method)("status"), name="bare"
    )
    assert [column.name for column in compile_transform(bare).flow.schema.columns] == ["status"]
    with TransformDriver(bare) as driver:
        driver.send(changes.insert(item("a", "x")), changes.insert(item("b", "x")))
        driver.send(changes.remove(item("a", "x")))
        assert driver.table() == {'{"status":{"S":"x"}}': {"status": "x"}}
        driver.send(changes.modify(item("b", "y")))
        assert driver.table() == {'{"status":{"S":"y"}}': {"status": "y"}}
        driver.send(changes.remove(item("b")))
        assert driver.table() == {}


def test_an_aggregate_of_a_text_says_how_a_column_is_written():
    with pytest.raises(ConfigurationError) as caught:
        compiled(lambda s: s.select(*COLUMNS).group_by("status").agg(n=call("avg", "total")))
    assert "agg(n=\"avg('total')\")" in str(caught.value)
    assert "For a column write functions.avg(col(…))" in str(caught.value)


def test_an_event_without_the_time_of_its_window_is_set_aside_unless_a_filter_leaves_it_out(
    changes,
):
    def timed(stream, *conditions):
        stream = stream.select(*COLUMNS, "timestamp_seconds(dynamodb.NewImage.at.N) as at")
        for condition in conditions:
            stream = stream.filter(condition)
        return stream.group_by("status").window(tumbling("1 hour"), on="at").agg(n="count()")

    for conditions, letters in (((), 1), (("at is not null",), 0)):
        with TransformDriver(declare(lambda s, c=conditions: timed(s, *c), name="t")) as driver:
            driver.send(changes.insert(item("a", "x") | {"at": 1_700_000_000}))
            driver.send(changes.remove(item("a", "x")))
            found = driver.dead_letters()
            assert len(found) == letters
            assert [row["n"] for row in driver.table().values()] == [1]
            for letter in found:
                assert letter.reason.startswith("window(on=…): no time of the event. Leave")


def test_a_memory_that_counts_passes_over_the_items_of_a_new_snapshot(changes):
    def counted(row, state):
        state["n"] = state.get("n", 0) + (row["eventName"] != "READ")
        return {"n": state["n"]}

    counting = declare(
        lambda s: s.select("eventName").apply_stateful(counted, schema={"n": "bigint"}), name="n"
    )
    with TransformDriver(counting) as driver:
        driver.send(changes.insert(item("a")), changes.modify(item("a", "x")))
        driver.send(Changes(key=["id"], epoch=2000).read(item("a", "x")))
        assert [row["n"] for row in driver.rows()] == [1, 2, 2]
