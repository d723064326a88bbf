"""A pipeline that is well, to be spoiled by each test in one way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bridge.connector.checkpoints import Generation, Position, SealedMark, Segment, Shard
from bridge.connector.view import CheckpointView
from bridge.control.status.facts import Facts, LakeTable, Route, TopicFacts, Waiting
from bridge.wire.reports import Heard, Report

NOW_S = 1_800_000_000.0
ARN = "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2026"
ROUTE = Route(dataset="out", transform="fold", tables=("orders",), file="orders.py")
CHANGES, ROWS = "ns.changes.orders", "ns.rows.out"


def heard(stage: str, *, ago_s: float = 2.0, **fields: Any) -> Heard:
    """A process that was heard of so long ago."""
    covers = {"connector": "orders", "processor": "fold", "sink": "out"}[stage]
    thing = {"connector": {"table": "orders", "lag_s": 0.5, "snapshot": None}}
    thing |= {"processor": {"transform": "fold"}, "sink": {"dataset": "out", "stalled": None}}
    name = "fold" if stage == "processor" else "orders.py"
    report = Report(
        stage=stage,  # type: ignore[arg-type]
        name=name,
        host="h",
        pid=len(stage),
        covers=(covers,),
        started_s=NOW_S - 5_000,
        things=(thing[stage],),
    )
    return Heard(replace(report, **fields), NOW_S - ago_s)


def checkpoints(*, done: bool = True, sealed: bool = True) -> CheckpointView:
    """A feed whose scan of two segments is done to half or whole."""
    view = CheckpointView(namespace_id="id")
    records = [
        Generation(
            table="orders",
            epoch=7,
            arn=ARN,
            segments=2,
            consistent=False,
            reason="first",
            at_s=int(NOW_S) - 100,
        ),
        Shard(arn=ARN, shard="s-1", parent=None, first=True),
        Position(arn=ARN, shard="s-1", epoch=7, sequence="1", ended=True),
        Shard(arn=ARN, shard="s-2", parent="s-1"),
        Segment(table="orders", epoch=7, index=0, done=True),
        Segment(table="orders", epoch=7, index=1, done=done),
        *([SealedMark(table="orders", epoch=7)] if sealed else []),
    ]
    for record in records:
        view.apply(record.key(), record.value())
    return view


def well(**changed: Any) -> Facts:
    """All is well but for what is changed."""
    facts = Facts(
        at_s=NOW_S,
        namespace="ns",
        routes=(ROUTE,),
        topics={CHANGES: TopicFacts(4, 900, NOW_S - 3), ROWS: TopicFacts(4, 800)},
        waiting={("ns.fold", CHANGES): Waiting(0), ("ns.sink.out", ROWS): Waiting(0)},
        checkpoints=checkpoints(),
        reports=(heard("connector"), heard("processor"), heard("sink")),
        lake={"out": LakeTable(3, NOW_S - 2, False)},
    )
    return replace(facts, **changed)
