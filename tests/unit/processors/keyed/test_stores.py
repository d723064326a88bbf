"""Quix's stores in key order, against a plain dict: over checkpoints and between them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.stores import QuixShelf, QuixStore
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
            elif step == "commit":
                driver.commit()
            else:
                begin, end, last, but = given_
                inside = sorted(k for k in expected if begin <= k < end and k != but)
                edge = (inside[-1] if last else inside[0]) if inside else None
                found = store.edge(begin, end, last=last, but=but)
                assert found == (edge and (edge, expected[edge]))
        assert dict(QuixStore(transaction(driver), b"{}").entries()) == expected
