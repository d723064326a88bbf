"""When a scan that was asked for is complete, and how far it is before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.connector.checkpoints import (
    AddressedScan,
    AddressedSegment,
    Generation,
    Request,
    SealedMark,
    Segment,
)
from bridge.connector.view import CheckpointView
from bridge.control.bar import Bar
from bridge.control.scans import Scan, follow
from bridge.wire.kafka import KafkaConfig

ARN = "arn:aws:dynamodb:r:1:table/t/stream/1"
FOR_ALL = Scan("t", None, "r-1", 7)
FOR_ONE = Scan("t", "lines", "r-1", 7)
BEFORE = Generation(table="t", epoch=7, arn=ARN, segments=2, consistent=False, reason="", at_s=1)
AFTER = replace(BEFORE, epoch=9)
ADDRESSED = AddressedScan(
    table="t", transform="lines", id="r-1", epoch=7, arn=ARN, segments=2, at_s=1
)


def view(*records: Any) -> CheckpointView:
    found = CheckpointView()
    for record in (BEFORE, SealedMark(table="t", epoch=7), *records):
        found.apply(record.key(), record.value())
    return found


def segment(index: int, items: int, *, done: bool = False) -> Segment:
    return Segment(table="t", epoch=9, index=index, items=items, done=done)


def mine(index: int, items: int, *, done: bool = False) -> AddressedSegment:
    return AddressedSegment(
        table="t", transform="lines", id="r-1", epoch=7, index=index, items=items, done=done
    )


REQUEST = Request(table="t", id="r-1", at_s=1)


@pytest.mark.parametrize(
    ("records", "epoch", "ratio"),
    [
        ((REQUEST,), None, 0.0),
        # A feed that began for another reason does not answer it while it is still asked for.
        ((REQUEST, AFTER), None, 0.0),
        ((AFTER,), None, 0.0),
        ((AFTER, segment(0, 25)), None, 0.25),
        ((AFTER, segment(0, 60, done=True), segment(1, 4_000)), None, 0.99),
        ((AFTER, segment(0, 60, done=True), segment(1, 40, done=True)), None, 0.99),
        ((AFTER, SealedMark(table="t", epoch=9)), 9, 0.0),
        ((replace(AFTER, segments=0),), 9, 0.0),
    ],
    ids=["asked", "other", "begun", "quarter", "nearly", "not sealed", "sealed", "changes only"],
)
def test_a_scan_for_all(records: tuple[Any, ...], epoch: int | None, ratio: float) -> None:
    found = view(*records)
    assert FOR_ALL.complete(found) == epoch
    assert FOR_ALL.ratio(found, 100) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("records", "epoch", "ratio"),
    [
        ((replace(REQUEST, addressed_to="lines"),), None, 0.0),
        ((ADDRESSED,), None, 0.0),
        ((replace(ADDRESSED, id="other", done=True),), None, 0.0),
        ((ADDRESSED, mine(0, 50, done=True), mine(1, 25)), None, 0.75),
        ((replace(ADDRESSED, done=True), mine(0, 50, done=True), mine(1, 50, done=True)), 7, 1.0),
        ((AFTER, SealedMark(table="t", epoch=9)), 9, 0.0),
    ],
    ids=["asked", "begun", "another's", "under way", "done", "covered by one for all"],
)
def test_a_scan_for_one(records: tuple[Any, ...], epoch: int | None, ratio: float) -> None:
    found = view(*records)
    assert FOR_ONE.complete(found) == epoch
    assert FOR_ONE.ratio(found, 100) == pytest.approx(ratio)


def test_it_is_followed_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = iter(
        [view(REQUEST), view(AFTER, segment(0, 50)), view(AFTER, SealedMark(table="t", epoch=9))]
    )

    class Committed:
        def now(self) -> CheckpointView:
            return next(looks)

    monkeypatch.setattr("bridge.control.scans.connectors_of", lambda *_: (100, False))
    slept: list[float] = []
    with Bar(shown=True) as bar:
        epoch = follow(
            KafkaConfig(brokers="nowhere:1"), Committed(), FOR_ALL, bar, sleep=slept.append
        )
    assert (epoch, len(slept)) == (9, 2)
    assert "scan of t" in capsys.readouterr().err


def test_a_bar_shows_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar() as bar:
        bar.step("letters", 3)
        assert list(bar.counting("abc")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
