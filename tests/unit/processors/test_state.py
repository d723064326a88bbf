"""What is remembered of an item, and how often the stores are asked for it."""

from __future__ import annotations

import pytest

from bridge.wire.version import encode_version, epoch_floor
from processors import state

ITEM = b'{"orderId":{"S":"o-1"}}'


class CountedStore:
    """A store that keeps a list of what was asked of it."""

    def __init__(self):
        self.kept, self.calls = {}, []

    def get(self, key):
        self.calls.append(("get", key))
        return self.kept.get(key)

    def set(self, key, value):
        self.calls.append(("set", key))
        self.kept[key] = value

    def delete(self, key):
        self.calls.append(("delete", key))
        self.kept.pop(key, None)

    def entries(self):
        yield from list(self.kept.items())


@pytest.fixture
def stores():
    return state.Stores(CountedStore(), CountedStore(), None)


def calls(stores):
    made = [("live", *call) for call in stores.live.calls]
    made += [("tombstones", *call) for call in stores.tombstones.calls]
    stores.live.calls.clear()
    stores.tombstones.calls.clear()
    return made


def seen(stores, sequence, *keys, epoch=10):
    version = encode_version(epoch, sequence)
    memory = state.recall(stores, ITEM)
    if memory.is_stale(version):
        return False
    if keys:
        state.remember(stores, ITEM, memory, version, keys)
    else:
        state.forget(stores, ITEM, memory, version)
    return True


def test_a_change_of_an_item_that_is_there_is_one_look_and_one_write(stores):
    assert seen(stores, 1, "a")
    calls(stores)
    assert seen(stores, 2, "a", "b")
    assert calls(stores) == [("live", "get", ITEM), ("live", "set", ITEM)]


def test_nothing_is_deleted_that_is_not_there(stores):
    assert seen(stores, 1, "a")
    assert ("tombstones", "delete", ITEM) not in calls(stores)
    assert seen(stores, 2)
    assert ("live", "delete", ITEM) in calls(stores)
    assert seen(stores, 3)
    assert ("live", "delete", ITEM) not in calls(stores)
    assert seen(stores, 4, "a")
    assert ("tombstones", "delete", ITEM) in calls(stores)
    assert stores.tombstones.kept == {}


def test_an_item_is_there_or_removed_never_both(stores):
    for sequence, keys in enumerate([("a",), (), (), ("a", "b"), ("b",), (), ("c",)], start=1):
        assert seen(stores, sequence, *keys)
        assert not seen(stores, sequence, *keys)
        assert not seen(stores, sequence - 1, "late")
        assert len(stores.live.kept) + len(stores.tombstones.kept) == 1


def test_the_floor_is_read_once_and_seen_at_once_where_it_rises(stores):
    stores.live.kept[state.FLOOR_KEY] = b"10"
    assert seen(stores, 1, "a")
    assert seen(stores, 2, "a")
    assert calls(stores).count(("live", "get", state.FLOOR_KEY)) == 1
    stores.raise_floor(12)
    assert stores.live.kept[state.FLOOR_KEY] == b"12"
    assert not seen(stores, 3, "a", epoch=11)
    assert seen(stores, 0, "a", epoch=12)
    stores.raise_floor(11)
    assert stores.live.kept[state.FLOOR_KEY] == b"12"
    assert stores.floor == epoch_floor(12)


def test_a_floor_of_nine_digits_is_a_number_not_a_text(stores):
    stores.raise_floor(999_999_999)
    stores.raise_floor(1_000_000_000)
    assert stores.live.kept[state.FLOOR_KEY] == b"1000000000"
    assert not seen(stores, 5, "a", epoch=999_999_999)
    assert seen(stores, 5, "a", epoch=1_000_000_000)
