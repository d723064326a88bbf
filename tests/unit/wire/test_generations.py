"""Generations: what the records say together, and what is announced."""

from __future__ import annotations

import pytest

from bridge.control.rebuild import announce
from bridge.wire.envelope import Origin, Sealed
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import (
    Building,
    Generations,
    TransformRecord,
    datasets_of,
    from_messages,
    named,
)
from bridge.wire.namespace import encode_key, encode_value
from processors.admission import Admission
from processors.revision import generation_of, is_over, unlike


def flow(**columns: str) -> dict:
    return {"table": "orders", "key": [], "steps": [], "columns": columns}


OLD, NEW = {"out": flow(total="n")}, {"out": flow(total="s")}
BUILDING = TransformRecord(OLD, building=Building(2, NEW), last=2)


class Written:
    """A message of `_transforms`."""

    def __init__(self, key: bytes, value: bytes) -> None:
        self._key, self._value = key, value

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value


def switched(dataset: str, generation: int) -> Written:
    key = encode_key("switched", "copy", dataset)
    return Written(key, encode_value({"generation": generation}))


def known(record: TransformRecord, *more: Written) -> Generations:
    return from_messages([Written(b"copy", record.value()), *more])  # type: ignore[list-item]


def test_the_first_generation_has_plain_names_and_the_record_it_always_had():
    assert (named("out", 1), named("out", 2)) == ("out", "out.g2")
    assert TransformRecord({}).value() == b'{"flows":{},"v":1}'
    assert datasets_of({"a from x": {}, "a from y": {}, "b": {}}) == ("a", "b")


@pytest.mark.parametrize(
    "record", [TransformRecord(OLD), BUILDING, TransformRecord(NEW, 3, last=4)]
)
def test_a_record_is_read_back_as_it_was_written(record):
    assert TransformRecord.read(record.value(), "here") == record


def test_a_generation_is_current_once_all_its_datasets_have_changed_over():
    two = TransformRecord({**OLD, "b": flow()}, building=Building(2, {**NEW, "b": flow()}), last=2)
    none, one = known(two), known(two, switched("out", 2))
    both = known(two, switched("out", 2), switched("b", 2))
    assert [none.current(d) for d in ("out", "b")] == [1, 1]
    assert [none.building(d) for d in ("out", "b")] == [2, 2]
    assert [one.current(d) for d in ("out", "b")] == [2, 1]
    assert [one.building(d) for d in ("out", "b")] == [None, 2]
    assert one.transforms["copy"] == two
    assert both.transforms["copy"] == TransformRecord({**NEW, "b": flow()}, 2, last=2)
    assert known(both.transforms["copy"]).current("out") == 2
    assert Generations().current("out") == 1


def test_what_runs_is_current_or_built_or_neither():
    assert generation_of(None, NEW) == 1
    assert generation_of(BUILDING, OLD) == 1
    assert generation_of(BUILDING, NEW) == 2
    assert generation_of(BUILDING, {"out": flow(total="b")}) is None
    assert generation_of(BUILDING, {"out": flow(total="n", more="s")}) == 1
    assert [is_over(BUILDING, g) for g in (1, 2, 3)] == [False, False, True]
    assert is_over(TransformRecord(NEW, 2, last=2), 1)


def test_a_rebuild_is_announced_under_a_number_nobody_had():
    found = announce(TransformRecord(OLD), NEW, {"out"}, "here")
    assert (found.generation, found.record) == (2, BUILDING)
    assert found.changes == ("column total of out was n, is s",)
    assert announce(TransformRecord(OLD), NEW, {"out.g2"}, "here").generation == 3
    assert announce(TransformRecord(OLD, last=5), NEW, (), "here").generation == 6
    added = announce(TransformRecord(OLD), {"out": flow(total="n", more="s")}, (), "here")
    assert added.changes == ("column more of out is new",)
    assert announce(BUILDING, NEW, (), "here").record is None


@pytest.mark.parametrize(
    ("record", "now", "said"),
    [
        (TransformRecord(OLD), OLD, "what runs already"),
        (BUILDING, {"out": flow(total="b")}, "is being built"),
        (TransformRecord(OLD), {"other": flow()}, "other, out"),
        (TransformRecord(OLD), {"out": {**flow(), "table": "t2"}}, "other tables"),
    ],
)
def test_what_can_not_be_rebuilt_is_refused(record, now, said):
    with pytest.raises(ConfigurationError, match=said):
        announce(record, now, (), "here")


def test_datasets_and_tables_stay():
    assert unlike(OLD, NEW) is None
    assert unlike(OLD, {**NEW, "b": flow()}) == "datasets came or went: b"


def test_a_generation_takes_its_own_scan_and_seal_and_replays_but_no_half_scan():
    topic = "t.changes.orders"
    new = Admission("copy", {topic: {0: 10}}, {}, "copy.g2", {topic: 7})
    old = Admission("copy")
    read, above = {"eventName": "READ"}, (0, 10)
    assert new.takes(read, Origin(7, "s", "copy.g2"), topic, above)
    assert not old.takes(read, Origin(7, "s", "copy.g2"), topic, above)
    assert new.takes({"eventName": "MODIFY"}, Origin(7, "s", "copy"), topic, above)

    def taken(admission, epoch, addressed_to):
        sealed = Sealed("orders", epoch, 0, 1, addressed_to=addressed_to)
        return admission.seal(sealed.encode(), topic, above) is not None

    assert taken(new, 7, "copy.g2")
    assert not taken(old, 7, "copy.g2")
    assert not taken(new, 7, "copy")
    # Of the epoch whose scan may have begun before: a part of its items was not taken.
    assert not taken(new, 7, None)
    assert taken(new, 8, None)
