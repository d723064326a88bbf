"""Files in order that take the place of others: the same rows, whatever their types, and bounds."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.clustering import parts_of, sort_part
from sinks.known_keys import KnownKeys
from sinks.sorted_files import _Bounds, _statistics
from sinks.table import Snapshot, TableError, TableStore

SCHEMA = pa.schema(
    [
        pa.field("_key", pa.string(), nullable=False),
        pa.field("_version", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("n", pa.int64()),
        pa.field("total", pa.decimal128(38, 18)),
        pa.field("ratio", pa.float64()),
        pa.field("ok", pa.bool_()),
        pa.field("raw", pa.binary()),
        pa.field("day", pa.date32()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("address", pa.struct([("city", pa.string()), ("lines", pa.list_(pa.string()))])),
        pa.field("City of, odd/name", pa.string()),
    ]
)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def made(chance: random.Random, number: int) -> dict:
    def maybe(value):
        return value if chance.random() < 0.8 else None

    return {
        "_key": f"k{number:05d}",
        "_version": f"1.{number}",
        "text": maybe(chance.choice(["", "ä", "x" * 300, "\U0001f600" * 80])),
        "n": maybe(chance.randrange(-(2**63), 2**63)),
        "total": maybe(Decimal("-12345678901234567890.123456789012345678")),
        "ratio": maybe(chance.choice([float("inf"), -0.0, 1.5])),
        "ok": maybe(chance.random() < 0.5),
        "raw": maybe(chance.randbytes(5)),
        "day": maybe(dt.date(2026, 1, 1) + dt.timedelta(days=chance.randrange(900))),
        "at": maybe(dt.datetime(2026, 1, 1, 0, 0, 0, chance.randrange(10**6), tzinfo=dt.UTC)),
        "address": maybe({"city": maybe("Oslo"), "lines": maybe(["a", None])}),
        "City of, odd/name": maybe(chance.choice(["o'hare", "a/b=c%20"])),
    }


@pytest.fixture(params=[[], ["City of, odd/name"], ["day"], ["ok", "n"]], ids=str)
def store(request, tmp_path):
    found = TableStore(str(tmp_path / "table"), {})
    measured = "_key,_version,n,at,text,day"
    found.create(
        SCHEMA, name="t", description="",
        properties={"delta.dataSkippingStatsColumns": measured}, partition_by=request.param,
    )  # fmt: skip
    chance = random.Random(3)
    for start in range(0, 120, 40):
        rows = [made(chance, number) for number in range(start, start + 40)]
        if "n" in request.param:
            rows = [{**row, "n": row["n"] and row["n"] % 2} for row in rows]
        snapshot = found.open()
        assert snapshot is not None
        snapshot.append(pa.Table.from_pylist(rows, SCHEMA), {"offset": start})
    return found


def contents(store) -> list[str]:
    rows = store.open().reader().read_all()
    return sorted(map(repr, rows.select(SCHEMA.names).to_pylist()))


def latest(store) -> Snapshot:
    found = store.open()
    assert found is not None
    return found


@pytest.mark.parametrize("order", [["_key"], ["at", "_key"], ["text", "n", "_key"]])
def test_sorted_rows_are_the_same_rows_of_any_type(store, order):
    before, parts = contents(store), parts_of(latest(store))
    for part in parts:
        sort_part(latest(store), order, part, [], lambda: True)
    assert contents(store) == before
    files = latest(store).files()
    assert files.num_rows == len(parts)
    assert sum(files["num_records"].to_pylist()) == 120
    assert latest(store).transaction("offset") == 80
    latest(store).append(
        pa.Table.from_pylist([made(random.Random(9), 999)], SCHEMA), {"offset": 99}
    )
    assert len(contents(store)) == 121


def test_queries_by_the_bounds_of_sorted_files_find_what_is_there(store):
    everything = latest(store).reader().read_all().to_pylist()
    for part in parts_of(latest(store)):
        sort_part(latest(store), ["at", "_key"], part, [], lambda: True)
    for row in everything[::7]:
        if row["at"] is None:
            continue
        micros = (row["at"] - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(
            microseconds=1
        )
        for operator in ("=", "<=", ">="):
            found = latest(store).rows_where(
                f"at {operator} to_timestamp_micros({micros})", ["_key"]
            )
            assert row["_key"] in found["_key"].to_pylist()


def test_the_log_says_that_no_row_changed(store):
    part = parts_of(latest(store))[0]
    version = latest(store).version
    sort_part(latest(store), ["_key"], part, [], lambda: True)
    (commit,) = latest(store).history(1)
    assert commit["tailrace.sorted"] == "_key"
    log = f"{store.uri}/_delta_log/{version + 1:020d}.json"
    with open(log, "rb") as file:
        actions = [orjson.loads(line) for line in file]
    changes = [action[kind]["dataChange"] for action in actions for kind in action
               if kind in ("add", "remove")]  # fmt: skip
    assert len(changes) >= 2
    assert not any(changes)


def test_keys_that_were_known_stay_known(store):
    known = KnownKeys()
    assert known.lacks(latest(store), ["new"])
    reads = []
    known._read = reads.append
    part = parts_of(latest(store))[0]
    sort_part(latest(store), ["_key"], part, [], lambda: True)
    assert known.lacks(latest(store), ["new"])
    assert not known.lacks(latest(store), ["k00001"])
    assert not reads


def test_a_commit_that_came_first_is_not_undone(store):
    stale = latest(store)
    (part, *_) = parts_of(stale)
    row = {**made(random.Random(9), 999)}
    latest(store).append(pa.Table.from_pylist([row], SCHEMA), {"offset": 99})
    before = contents(store)
    with pytest.raises(TableError):
        sort_part(stale, ["_key"], part, [], lambda: True)
    assert contents(store) == before


moments = st.datetimes(timezones=st.just(dt.UTC))
columns = st.one_of(
    st.lists(st.one_of(st.none(), st.text(alphabet=st.characters(codec="utf-8"), max_size=90))),
    st.lists(st.one_of(st.none(), moments)),
)


@given(columns)
def test_bounds_are_never_narrower_than_the_values(values):
    of = (
        pa.timestamp("us", "UTC")
        if any(isinstance(v, dt.datetime) for v in values)
        else pa.string()
    )
    bounds = _Bounds()
    half = len(values) // 2
    for part in (values[:half], values[half:]):
        bounds.add(pa.chunked_array([pa.array(part, of)]))
    said = orjson.loads(_statistics(len(values), {"c": bounds}))
    assert said["nullCount"] == {"c": values.count(None)}
    known = [value for value in values if value is not None]
    if "c" not in said["minValues"]:
        return
    low, high = said["minValues"]["c"], said["maxValues"]["c"]
    if of == pa.string():
        assert len(low) <= 64
        assert len(high) <= 64
        assert low <= min(known)
        assert max(known) <= high
    else:
        assert dt.datetime.fromisoformat(low) <= min(known)
        assert max(known) <= dt.datetime.fromisoformat(high)


def test_a_text_that_nothing_short_exceeds_has_no_bounds():
    bounds = _Bounds()
    bounds.add(pa.chunked_array([["a", "\U0010ffff" * 65]]))
    assert orjson.loads(_statistics(2, {"c": bounds}))["maxValues"] == {}
    bounds = _Bounds()
    bounds.add(pa.chunked_array([["\ud7ff" * 65]]))
    above = orjson.loads(_statistics(1, {"c": bounds}))["maxValues"]["c"]
    assert above == "\ud7ff" * 63 + "\ue000"
