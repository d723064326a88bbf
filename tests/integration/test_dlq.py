"""Dead letters on a broker: looked at, put back exactly once, given up."""

from __future__ import annotations

import json

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition

from bridge.control import replay as replaying
from bridge.control.letters import Selection, grouped, read_letters, read_marks
from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import stamp, stamp_record
from bridge.wire.kafka import written_bounds
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from tests.integration.conftest import HEAD
from tests.parts.waiting import wait_until
from tests.product.oracle import read_topic

pytestmark = [pytest.mark.integration]

ALL = Selection(everything=True)
COUNT = 7


@pytest.fixture
def names(kafka):
    """Topics with the letters of COUNT changes and one row, each from the place it names."""
    names = TopicNames(kafka.namespace)
    topics = [names.changes("orders"), names.rows("out"), names.dead_letters("copy")]
    ensure_topics(admin(kafka), [TopicSpec(name=name, partitions=2) for name in topics])
    producer = Producer(kafka.producer())
    for offset in range(COUNT):
        change = stamp_record(b'{"eventName":"INSERT","n":%d}' % offset, stamp(7, "s", "arn"))
        producer.produce(topics[0], change, key=b"k", partition=1)
        cause = DeadLetter("processor", "copy", topics[0], 1, offset, "TypeError", "no")
        producer.produce(topics[2], change, key=b"k", partition=1, headers=cause.headers(None))
    row = [("schema", b"f"), ("offset", b"3")]
    producer.produce(topics[1], b'{"_key":"k"}', key=b"k", partition=0, headers=row)
    cause = DeadLetter("sink", "out", topics[1], 0, 0, "UnfitValueError", "no")
    producer.produce(topics[2], b'{"_key":"k"}', key=b"k", headers=cause.headers(row), partition=0)
    assert producer.flush(20) == 0
    return names


def put_back(kafka, names):
    """The numbers of the changes that were put back, and the partitions they lie in."""
    found = [m for m in read_topic(kafka, names.changes("orders")) if b'"for"' in m.value()]
    return sorted(orjson.loads(m.value())["n"] for m in found), {m.partition() for m in found}


def test_a_replay_puts_every_letter_back_once_also_when_it_was_killed(kafka, names, monkeypatch):
    monkeypatch.setattr(replaying, "_BATCH", 3)
    write, calls = replaying._Writer.write, []

    def dies_in_the_second(self, batch, state):
        calls.append(len(batch))
        if len(calls) == 2:
            self._producer.begin_transaction()
            self._producer.produce(names.changes("orders"), b'{"for":"never"}', partition=1)
            self._producer.flush(20)
            raise KeyboardInterrupt
        write(self, batch, state)

    monkeypatch.setattr(replaying._Writer, "write", dies_in_the_second)
    monkeypatch.setattr(replaying._Writer, "__exit__", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        replaying.replay(kafka, "copy", 2, ALL, dry_run=False)
    monkeypatch.undo()

    again = replaying.replay(kafka, "copy", 2, ALL, dry_run=False)
    third = replaying.replay(kafka, "copy", 2, ALL, dry_run=False)

    assert (again.done, third.done) == (COUNT + 1 - 3, 0)
    assert put_back(kafka, names) == (list(range(COUNT)), {1})
    rows = read_topic(kafka, names.rows("out"))
    assert [(m.value(), m.headers(), m.partition()) for m in rows] == [
        (b'{"_key":"k"}', [("schema", b"f"), ("offset", b"3")], 0)
    ] * 2
    assert set(read_marks(kafka, "copy").values()) == {"replayed"}


def test_what_was_dropped_is_not_replayed_and_a_dry_run_changes_nothing(kafka, names):
    dry = replaying.replay(kafka, "copy", 2, ALL, dry_run=True)
    dropped = replaying.drop(kafka, "copy", 2, Selection(error="UnfitValueError"), dry_run=False)

    assert (dry.done, dropped.done) == (COUNT + 1, 1)
    assert put_back(kafka, names) == ([], set())
    assert replaying.replay(kafka, "copy", 2, ALL, dry_run=False).done == COUNT
    groups = grouped(read_letters(kafka, "copy", 2), read_marks(kafka, "copy"))
    assert [(g.error, g.open, g.replayed, g.dropped) for g in groups] == [
        ("TypeError", 0, COUNT, 0),
        ("UnfitValueError", 0, 0, 1),
    ]


def test_what_lies_below_the_log_start_is_refused(kafka, names):
    place = TopicPartition(names.changes("orders"), 1, 4)
    client = admin(kafka)
    for done in client.delete_records([place]).values():
        done.result(timeout=20)
    assert written_bounds(client, place.topic, [1])[1].start == 4

    outcome = replaying.replay(kafka, "copy", 2, Selection(error="TypeError"), dry_run=False)

    assert outcome.done == COUNT - 4
    assert list(outcome.refused.values()) == [4]
    assert put_back(kafka, names)[0] == [4, 5, 6]


NARROW = (
    HEAD
    + """
@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource(
        table_name="{table}", region="us-west-2")))}},
    output_mapping={{"out": Output(Dataset(id="{dataset}"))}},
)
def copy_{number}(items):
    return items.select(
        "cast(cast(dynamodb.NewImage.orderTotal.N as decimal(6,2)) as string) as total",
    )
"""
)


@pytest.mark.real
@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_a_mended_transform_takes_what_it_could_not_take_before(product):
    made = product(existing=30, keys=30, text=NARROW)
    made.pipeline.start()

    def ls():
        done = made.pipeline.command("dlq", "ls", "--json")
        return json.loads(done.stdout)["letters"]

    expected = made.source()
    # Each item comes twice, by the scan and by the stream that holds its insertion.
    wait_until(
        lambda: sum(e["open"] for e in ls()) + 2 * len(made.rows(("total",))) == 2 * len(expected),
        timeout_s=90,
        what="every item in the table or in the dead letters",
    )
    before = ls()
    assert [(e["stage"], e["owner"]) for e in before] == [("processor", "copy_0")]
    shown = made.pipeline.command("dlq", "show", "copy_0", before[0]["newest"], "--json")
    assert "decimal(6,2)" in json.loads(shown.stdout)["reason"]

    assert made.pipeline.stages["processor"].stop() == 0
    made.pipeline.file.write_text(
        made.pipeline.file.read_text().replace("decimal(6,2)", "decimal(18,2)")
    )
    refused = made.pipeline.command("dlq", "replay", "copy_0")
    assert (refused.returncode, "no letter is selected" in refused.stderr) == (2, True)
    done = made.pipeline.command("dlq", "replay", "copy_0", "--all", "--json")
    assert json.loads(done.stdout)["replayed"] == before[0]["open"]
    made.pipeline.environment["TAILRACE_ACCEPT_CHANGE"] = "1"
    made.pipeline.disarm("processor")
    made.pipeline.start("processor")
    wait_until(
        lambda: len(made.rows(("total",))) == len(expected),
        timeout_s=90,
        what="every item in the table",
    )
