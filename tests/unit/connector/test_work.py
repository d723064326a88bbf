"""What goes into one transaction, and with which epoch."""

from __future__ import annotations

import orjson

from bridge.connector.backlog import Backlog
from bridge.connector.checkpoints import Bump, Segment
from bridge.connector.keyed import Keyed
from bridge.connector.work import (
    Composer,
    EpochMark,
    Marks,
    Message,
    SegmentPage,
    ShardPage,
    Work,
)
from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import change_origin, header
from bridge.wire.namespace import decode_key

ARN = "arn"


def composer(epoch: int = 7) -> Composer:
    return Composer(
        bucket=3,
        checkpoints="checkpoints",
        changes={"orders": "changes"},
        dead_letters="dead",
        epochs={ARN: epoch},
    )


def page(sequence: str, *records: Keyed, shard: str = "s", size_bytes: int = 10) -> ShardPage:
    return ShardPage(
        table="orders",
        arn=ARN,
        shard=shard,
        records=records,
        sequence=sequence,
        size_bytes=size_bytes,
    )


def bump(epoch: int) -> EpochMark:
    return EpochMark(Bump(arn=ARN, bucket=3, epoch=epoch))


def mark(name: bytes = b"m") -> Marks:
    return Marks((Message("checkpoints", name, b"v", partition=0),))


KEYED = Keyed(b"k", b'{"eventName":"INSERT","dynamodb":{}}')


def test_changes_come_before_the_last_position_of_each_shard() -> None:
    batch = [page("1", KEYED), page("2", KEYED), page("9", KEYED, shard="t")]
    messages = list(composer().compose(batch, 100.5))
    assert [message.topic for message in messages] == ["changes"] * 3 + ["checkpoints"] * 2
    assert all(message.partition == 3 for message in messages[3:])
    positions = {m.key: orjson.loads(m.value or b"") for m in messages[3:]}
    assert positions[b'["position","arn","s"]']["sequence"] == "2"
    assert positions[b'["position","arn","t"]']["sequence"] == "9"
    change = orjson.loads(messages[0].value or b"")
    assert change_origin(change).epoch == 7
    assert change["eventSourceARN"] == ARN


def test_a_record_without_a_key_is_a_dead_letter_and_its_page_goes_on() -> None:
    poison = Keyed(None, b"\xff", "no key")
    letter, change, _ = composer().compose([page("1", poison, KEYED)], 0)
    assert (letter.topic, letter.value) == ("dead", b"\xff")
    assert DeadLetter.from_headers(letter.headers).reason == "no key"
    assert change.topic == "changes"


def test_a_scan_carries_its_own_epoch_and_its_progress() -> None:
    segment = Segment(table="orders", epoch=9, index=1, start='{"id":{"S":"a"}}', items=1)
    row, progress = composer().compose([SegmentPage(arn=ARN, segment=segment, records=[KEYED])], 0)
    assert change_origin(orjson.loads(row.value or b"")).epoch == 9
    assert (progress.key, progress.value) == (segment.key(), segment.value())


def drain(backlog: Backlog, bytes_max: int = 1000) -> list[list[Work]]:
    batches = []
    while backlog:
        batches.append(backlog.take(bytes_max))
    return batches


def test_bumps_and_marks_go_alone_and_nothing_overtakes_them() -> None:
    work = [page("1"), page("2"), bump(8), page("3"), mark(), mark(b"n"), page("4")]
    backlog = Backlog(composer())
    for one in work:
        backlog.put(one)
    batches = drain(backlog)
    assert batches == [work[0:2], [work[2]], [work[3]], [work[4]], [work[5]], [work[6]]]


def test_what_follows_a_committed_bump_carries_its_epoch() -> None:
    backlog = Backlog(composer(7))
    backlog.put(bump(8))
    batch = backlog.take(1000)
    assert backlog.composer.epochs[ARN] == 7
    backlog.settle(batch)
    assert backlog.composer.epochs[ARN] == 8


def test_a_transaction_is_bounded_in_bytes() -> None:
    backlog = Backlog(composer())
    for number in range(5):
        backlog.put(page(str(number), size_bytes=400))
    assert [len(batch) for batch in drain(backlog, 800)] == [2, 2, 1]
    assert backlog.size_bytes == 0


def test_what_is_urgent_stays_so_until_it_is_taken() -> None:
    backlog = Backlog(composer())
    backlog.put(page("1"))
    assert not backlog.urgent
    backlog.put(mark(), urgent=True)
    backlog.take(1000)
    assert backlog.urgent
    backlog.take(1000)
    assert not backlog.urgent


def test_only_checkpoint_keys_are_expected_back() -> None:
    backlog = Backlog(composer())
    backlog.expect([Message("changes", b"control", b"", 0), Message("checkpoints", b"k", None, 0)])
    assert backlog.pending == {b"k"}
    assert not backlog.claim(b"k")
    assert backlog.claim(b"other")


def test_a_thing_is_begun_once() -> None:
    backlog = Backlog(composer())
    assert backlog.begin("read", "a")
    assert not backlog.begin("read", "a")
    assert backlog.begin("read", "b")


def test_settling_touches_every_partition_of_the_bucket_and_of_its_tables():
    found = list(composer().settling({"changes": 2, "checkpoints": 8, "other": 3}))
    places = [(message.topic, message.partition) for message in found]
    assert places == [("checkpoints", 3), ("changes", 0), ("changes", 1)]
    assert decode_key(found[0].key or b"") == ["settled", 3]
    assert {header(message.headers, "control") for message in found[1:]} == {"settled"}
