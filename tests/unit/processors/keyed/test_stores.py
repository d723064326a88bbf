"""Quix's stores in key order, against a plain dict: over checkpoints and between them."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quixstreams.state.base.transaction import PartitionTransactionCache
from quixstreams.state.metadata import SEPARATOR as QUIX_SEPARATOR

from processors.quix import Application, Marker
from processors.stores import SEPARATOR, QuixShelf, QuixStore
from processors.testing import TransformDriver
from tests.unit.processors.build import declare

COUNTED = declare(
    lambda s: s.select("dynamodb.NewImage.status.S").group_by("status").agg(n="count()"),
    name="counted",
)
KEYS = st.binary(min_size=1, max_size=2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.binary(max_size=2)),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("commit")),
        st.tuples(st.just("edge"), KEYS, KEYS, st.booleans(), st.none() | KEYS),
    ),
    max_size=30,
)


def transaction(driver):
    context = driver._application._processing_context
    topic = "test._contributions.rows"
    (stream_id,) = driver._application._dataframe_registry.get_stream_ids(topic)
    return context.checkpoint.get_store_transaction(stream_id, 0, "live")


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_store_is_a_sorted_dict_across_checkpoints(steps):
    with TransformDriver(COUNTED) as driver:
        expected = {}
        for step, *given_ in steps:
            open_now = transaction(driver)
            store = QuixStore(open_now, b"{}")
            QuixShelf(open_now).own.set(b"a", b"another's")
            QuixShelf(open_now).of(b'{"other":1}').set(b"a", b"another's")
            if step == "set":
                store.set(*given_)
                expected[given_[0]] = given_[1]
            elif step == "delete":
                store.delete(*given_)
                expected.pop(given_[0], None)
            elif step == "get":
                assert store.get(*given_) == expected.get(*given_)
            elif step == "commit":
                driver.commit()
            else:
                begin, end, last, but = given_
                inside = sorted(k for k in expected if begin <= k < end and k != but)
                edge = (inside[-1] if last else inside[0]) if inside else None
                found = store.edge(begin, end, last=last, but=but)
                assert found == (edge and (edge, expected[edge]))
        assert dict(QuixStore(transaction(driver), b"{}").entries()) == expected


def test_what_we_write_is_where_quix_looks_for_it():
    with TransformDriver(COUNTED) as driver:
        now = transaction(driver)
        store = QuixStore(now, b"p")
        store.set(b"a", b"1")
        now.set_bytes(b"b", b"2", b"p")
        assert (now.get_bytes(b"a", b"p"), store.get(b"b")) == (b"1", b"2")
        driver.commit()
        now = transaction(driver)
        store = QuixStore(now, b"p")
        assert (now.get_bytes(b"a", b"p"), store.get(b"b")) == (b"1", b"2")
        store.delete(b"a")
        now.delete(b"b", b"p")
        assert now.get_bytes(b"a", b"p") is store.get(b"b") is None
        driver.commit()
        assert list(QuixStore(transaction(driver), b"p").entries()) == []


@pytest.mark.parametrize("write", [lambda s: s.set(b"a", b"1"), lambda s: s.delete(b"a")])
def test_nothing_is_written_into_a_checkpoint_that_is_over(write):
    with TransformDriver(COUNTED) as driver:
        store = QuixStore(transaction(driver), b"p")
        store.set(b"a", b"1")
        driver.commit()
        with pytest.raises(RuntimeError, match="is over"):
            write(store)


def test_what_the_last_checkpoint_wrote_is_not_read_again():
    with TransformDriver(COUNTED) as driver:
        now = transaction(driver)
        QuixStore(now, b"p").set(b"a", b"1")
        QuixStore(now, b"p").delete(b"b")
        driver.commit()
        store = QuixStore(transaction(driver), b"p")
        store._stored = None  # not asked
        assert (store.get(b"a"), store.get(b"b")) == (b"1", None)
        driver.commit()
        store = QuixStore(transaction(driver), b"p")
        assert store.get(b"a") == b"1"
        assert store._last_updated == {}


def test_after_an_assignment_state_is_read_for_it_may_have_been_recovered(monkeypatch):
    monkeypatch.setattr(Application, "_assign_partitions", lambda *_: None)
    with TransformDriver(COUNTED) as driver:
        now = transaction(driver)
        QuixStore(now, b"p").set(b"a", b"1")
        driver.commit()
        now._partition.get_or_create_column_family("default")[b"p|a"] = b"2"  # as recovery does
        driver._application._assign_partitions([])
        assert QuixStore(transaction(driver), b"p").get(b"a") == b"2"


@pytest.mark.parametrize("prepared", [False, True])
def test_what_was_never_committed_is_not_found(prepared):
    with TransformDriver(COUNTED) as driver:
        now = transaction(driver)
        QuixStore(now, b"p").set(b"a", b"1")
        driver.commit()
        given_up = now._partition.begin()
        QuixStore(given_up, b"p").set(b"a", b"2")
        QuixStore(given_up, b"p").set(b"b", b"2")
        if prepared:
            given_up.prepare()
        store = QuixStore(now._partition.begin(), b"p")
        assert (store.get(b"a"), store.get(b"b")) == (b"1", None)


def test_a_checkpoints_changes_lie_where_they_are_looked_for():
    """Pinned: `QuixStore` reads and writes them there itself."""
    cache = PartitionTransactionCache()
    cache.set(b"p|a", b"1", b"p")
    cache.delete(b"p|b", b"p")
    assert cache._updated == {"default": {b"p": {b"p|a": b"1"}}}
    assert cache._deleted == {"default": {b"p|b"}}
    assert cache._empty is False
    assert (QUIX_SEPARATOR, cache.get(b"p|b", b"p")) == (SEPARATOR, Marker.DELETED)


def test_what_a_checkpoint_keeps_takes_no_more_than_it_is_long():
    with TransformDriver(COUNTED) as driver:
        made, now = orjson.dumps({"n": 1}), transaction(driver)
        QuixStore(now, b"p").set(b"a", made)
        kept = QuixStore(now, b"p").get(b"a")
        assert kept == made
        assert kept is not made  # it holds on to kilobytes
