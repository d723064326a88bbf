"""Trouble beyond a kill: brokers restarted or wiped, a zombie sink, deleted records, poison."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer, TopicPartition

from bridge.wire.deadletter import DeadLetter
from bridge.wire.kafka import written_bounds
from bridge.wire.topics import TopicNames, admin
from tests.integration.conftest import COPY_COLUMNS
from tests.parts.waiting import wait_until
from tests.product.oracle import check_changes, check_rows, expected_copies, read_topic

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(300)]


def in_sync(made) -> None:
    made.await_equal(expected_copies, COPY_COLUMNS)


def verified(made) -> None:
    in_sync(made)
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report


@pytest.mark.real
@pytest.mark.needs("restart")
def test_a_broker_that_restarts_is_waited_for(product, own_broker):
    made = product(existing=50, keys=80, broker=own_broker)
    made.pipeline.start()
    in_sync(made)
    for number, _ in enumerate(made.workload.batches(400)):
        if number == 5:
            own_broker.restart()
    verified(made)
    check_changes(made.kafka, made.workload)
    check_rows(made.kafka, "out")


@pytest.mark.real
@pytest.mark.needs("restart")
def test_kafka_wiped_under_an_existing_lake_is_filled_anew_and_loses_what_vanished(
    product, own_broker
):
    made = product(existing=60, keys=60, broker=own_broker)
    made.pipeline.start()
    made.workload.run(100)
    in_sync(made)
    for name in made.pipeline.stages:
        assert made.pipeline.stages[name].stop() == 0
    own_broker.stop()
    own_broker.wipe()
    own_broker.start()
    # Nobody watches while items change and vanish.
    made.workload.run(100)
    made.pipeline.start()
    made.workload.run(100)
    verified(made)


@pytest.mark.needs("expiry")
def test_a_paused_sink_that_wakes_after_its_successor_took_over_is_rejected(product):
    made = product(existing=50, keys=60)
    made.pipeline.start()
    in_sync(made)
    zombie = made.pipeline.stages["sink"]
    made.pipeline.start("sink:2")
    made.workload.run(50)
    owner = "sink" if _owns(zombie) else "sink:2"
    other = "sink:2" if owner == "sink" else "sink"
    made.workload.run(50)
    made.pipeline.stages[owner].pause()
    made.workload.run(100)
    in_sync(made)  # the successor works on
    made.pipeline.stages[owner].resume()
    made.workload.run(100)
    verified(made)
    made.pipeline.stages[other].stop()
    made.workload.run(100)
    verified(made)  # the one that was a zombie serves again
    check_rows(made.kafka, "out")


def _owns(stage) -> bool:
    """Whether the stage's last word on leases is one that holds the dataset's bucket."""
    lines = [line for line in stage.log.read_text().splitlines() if "lease" in line]
    return bool(lines) and "acquired" in lines[-1] and "[]" not in lines[-1]


def delete_everything(made, topic: str) -> None:
    client = admin(made.kafka)
    partitions = client.list_topics(timeout=20).topics[topic].partitions
    ends = written_bounds(client, topic, partitions)
    wanted = [TopicPartition(topic, p, bounds.end) for p, bounds in ends.items() if bounds.end]
    assert wanted
    for future in client.delete_records(wanted).values():
        future.result(timeout=30)


@pytest.mark.real
@pytest.mark.parametrize("stage", ["sink", "processor"])
def test_records_deleted_before_they_were_read_stop_the_stage_until_a_backfill(product, stage):
    made = product(existing=40, keys=60)
    made.pipeline.start()
    in_sync(made)
    stages = made.pipeline.stages
    assert stages[stage].stop() == 0
    made.workload.run(100)
    names = TopicNames(made.kafka.namespace)
    topic = names.rows("out") if stage == "sink" else names.changes(made.workload.table)
    before = {p: b.end for p, b in bounds_of(made, topic).items()}
    wait_until(
        lambda: (
            sum(b.end for b in bounds_of(made, topic).values()) - sum(before.values()) >= 0
            and quiet(made, topic)
        ),
        timeout_s=60,
        what="the topic to have everything",
    )
    delete_everything(made, topic)
    stages[stage].start()
    assert stages[stage].wait(timeout_s=60) == 1
    said = stages[stage].log_tail()
    consumer = f"sink:{'out'}" if stage == "sink" else "processor:copy_0"
    command = f"tailrace backfill {made.workload.table} --accept-gap {consumer}"
    assert "GAP" in said
    assert command in said
    result = made.pipeline.command(*command.split()[1:], "--wait", "--json")
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["complete"] is True
    assert said["epoch"] > said["epoch_before"]
    stages[stage].start()
    made.workload.run(50)
    verified(made)


def bounds_of(made, topic):
    client = admin(made.kafka)
    return written_bounds(client, topic, client.list_topics(timeout=20).topics[topic].partitions)


def quiet(made, topic) -> bool:
    """Whether every write of the workload has become a message of the topic."""
    count = sum(
        1 for message in read_topic(made.kafka, topic) if message.key() and not control(message)
    )
    return bool(count >= made.workload.writes)


def control(message) -> bool:
    return any(name == "control" for name, _ in message.headers() or ())


@pytest.mark.real
def test_poison_is_set_aside_with_its_cause_and_the_rest_goes_on(product):
    made = product(existing=20, keys=30)
    made.pipeline.start()
    in_sync(made)
    names = TopicNames(made.kafka.namespace)
    producer = Producer(made.kafka.producer())
    poison = [b"not json", b"[]", b'{"dynamodb":{}}', b'{"tailrace":{"v":1,"epoch":1}}', b""]
    for partition, value in enumerate(poison):
        topic = names.changes(made.workload.table)
        producer.produce(topic, key=b"poison", value=value, partition=partition % 4)
    assert producer.flush(20) == 0
    made.workload.run(100)
    verified(made)
    letters = read_topic(made.kafka, names.dead_letters("copy_0"))
    assert sorted(letter.value() or b"" for letter in letters) == sorted(poison)
    for letter in letters:
        cause = DeadLetter.from_headers(letter.headers())
        assert cause.stage == "processor"
        assert cause.reason
        assert cause.offset >= 0
