"""The sink against a broker: rows topic in, Delta table out."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from decimal import Decimal

import pytest
from confluent_kafka import Consumer, TopicPartition

from bridge.wire.errors import ConfigurationError, GapError
from bridge.wire.kafka import KafkaConfig
from bridge.wire.namespace import GapAcceptance
from bridge.wire.schemas import Column, Schema, register_schema
from bridge.wire.topics import admin
from sinks.dataset import Dataset, Target
from sinks.reader import datasets, open_table, query
from sinks.service import Sink, SinkConfig
from tests.integration.sink_feed import COLUMNS, TABLE, TRANSFORM, Feed, key_of
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration]


@pytest.fixture
def kafka(broker, namespace):
    return KafkaConfig(brokers=broker.bootstrap, namespace=namespace, static_membership=True)


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


@pytest.fixture
def feed(kafka):
    feed = Feed(kafka)
    feed.create()
    return feed


def target(dataset="orders"):
    return Target(Dataset(id=dataset, tags=["t"], description="orders"), (TABLE,))


def config(kafka, lake, **settings):
    settings = {"targets": (target(),), "freshness_s": 0.1, **settings}
    return SinkConfig(kafka=kafka, lake=lake, **settings)


@contextmanager
def running(config):
    sink, stop, errors = Sink(config), threading.Event(), []

    def run():
        try:
            sink.run(stop)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    sink.errors = errors
    try:
        yield sink
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def versions(lake, dataset="orders"):
    table = open_table(lake, dataset)
    return {} if table is None else {k: r["_version"] for k, r in table.rows(["_version"])}


def await_rows(lake, expected, timeout_s=30):
    wait_until(lambda: versions(lake) == expected, timeout_s=timeout_s, what="the table's rows")


def await_sealed(lake):
    wait_until(
        lambda: (t := open_table(lake, "orders")) is not None and not t.loading,
        timeout_s=30,
        what="the seal",
    )


def test_rows_become_a_table_that_follows_upserts_and_deletes(feed, kafka, lake):
    for i in range(100):
        feed.upsert(f"o-{i}", 0)
    feed.seal(1)
    feed.flush()
    with running(config(kafka, lake)) as sink:
        await_rows(lake, feed.expected())
        await_sealed(lake)
        feed.upsert("o-1", 5, order_id="o-1", total="12.345678901234567890"[:21])
        feed.delete("o-2", 6)
        feed.upsert("o-2", 4)
        feed.flush()
        await_rows(lake, feed.expected())
        assert sink.health() is None
    row = open_table(lake, "orders").lookup([key_of("o-1")])[key_of("o-1")]
    assert row["total"] == Decimal("12.345678901234567890"[:21])
    assert row["_event_time"].isoformat() == "2026-11-23T14:00:00+00:00"
    counted = query(lake, "select count(*) as n from orders").read_all().to_pylist()
    assert counted == [{"n": 99}]


def test_a_restart_goes_on_where_the_table_is_not_where_kafka_says(feed, kafka, lake):
    feed.upsert("a", 1)
    feed.flush()
    with running(config(kafka, lake)):
        await_rows(lake, feed.expected())
    # Somebody moves the group's offsets far ahead: they are a hint for tools, nothing more.
    group = Consumer(kafka.consumer(group=f"{kafka.namespace}.sink.orders"))
    ahead = [TopicPartition(feed.topic, p, 1_000) for p in range(feed.partitions)]
    group.commit(offsets=ahead, asynchronous=False)
    group.close()
    feed.upsert("b", 2)
    feed.flush()
    with running(config(kafka, lake)):
        await_rows(lake, feed.expected())


def test_a_sink_waits_for_what_other_stages_create(kafka, lake):
    feed = Feed(kafka)
    with running(config(kafka, lake)) as sink:
        wait_until(sink.status, timeout_s=20, what="the lease")
        wait_until(
            lambda: sink.status()[0].phase == "waiting", timeout_s=20, what="a waiting worker"
        )
        feed.create(with_namespace=False)
        feed.upsert("a", 1)
        feed.flush()
        assert versions(lake) == {}
        feed.name_it()
        await_rows(lake, feed.expected())


def test_offsets_deleted_before_they_were_read_stop_the_sink(feed, kafka, lake):
    for i in range(10):
        feed.upsert("a", i)
    feed.flush()
    with running(config(kafka, lake)):
        await_rows(lake, feed.expected())
    for i in range(10, 20):
        feed.upsert("a", i)
    feed.flush()
    place = TopicPartition(feed.topic, feed.partition("a"), 15)
    client = admin(kafka)  # its futures die with it
    for deleted in client.delete_records([place]).values():
        deleted.result(20)
    with running(config(kafka, lake)) as sink:
        wait_until(lambda: sink.errors, timeout_s=30, what="the sink to stop")
    error = sink.errors[0]
    assert isinstance(error, GapError)
    assert "offsets 10 to 14" in str(error)
    assert "tailrace backfill orders --accept-gap sink:orders" in str(error)


def test_a_gap_a_person_accepted_is_passed(feed, kafka, lake):
    for i in range(10):
        feed.upsert("a", i)
    feed.flush()
    partition = feed.partition("a")
    client = admin(kafka)
    for deleted in client.delete_records([TopicPartition(feed.topic, partition, 5)]).values():
        deleted.result(20)
    with running(config(kafka, lake)) as sink:
        wait_until(lambda: sink.errors, timeout_s=30, what="the sink to stop")
        assert "offsets 0 to 4" in str(sink.errors[0])
    accepted = GapAcceptance("sink:orders", feed.topic, {partition: 10})
    key, value = accepted.encode()
    feed.producer.produce(feed.names.checkpoints, value, key, partition=0)
    feed.flush()
    with running(config(kafka, lake)):
        await_rows(lake, feed.expected())


def test_an_unknown_schema_holds_its_partition_alone(feed, kafka, lake):
    later = Schema("orders", TRANSFORM, (*COLUMNS, Column("note", "string")))
    held = next(n for n in "abcdef" if feed.partition(n) == 0)
    free = next(n for n in "abcdef" if feed.partition(n) == 1)
    feed.upsert(held, 1)
    feed.flush()
    with running(config(kafka, lake)) as sink:
        await_rows(lake, feed.expected())
        before = feed.expected()
        feed.upsert(held, 2, schema=later, order_id="x", total="1", note="n")
        feed.upsert(free, 3)
        feed.flush()
        await_rows(lake, {**before, key_of(free): feed.expected()[key_of(free)]})
        assert later.fingerprint in sink.health()
        register_schema(kafka, later)
        await_rows(lake, feed.expected())
        wait_until(lambda: sink.health() is None, timeout_s=10, what="health")


def test_many_datasets_by_one_process(kafka, lake):
    feeds = [Feed(kafka, dataset=name) for name in ("one", "two", "three")]
    for feed in feeds:
        feed.create(with_namespace=False)
        feed.upsert(feed.dataset, 1)
        feed.flush()
    feeds[0].name_it()
    targets = tuple(target(feed.dataset) for feed in feeds)
    with running(config(kafka, lake, targets=targets)):
        for feed in feeds:
            wait_until(
                lambda feed=feed: versions(lake, feed.dataset) == feed.expected(),
                timeout_s=30,
                what=feed.dataset,
            )


def test_two_outputs_into_one_dataset_are_refused(kafka, lake):
    with pytest.raises(ConfigurationError, match="two outputs"):
        Sink(config(kafka, lake, targets=(target(), target())))


def test_a_table_on_s3(feed, kafka, s3, namespace):
    lake, options = s3.uri(namespace), s3.storage_options
    for i in range(20):
        feed.upsert(f"o-{i}", i)
    feed.delete("o-3", 99)
    feed.seal(1)
    feed.flush()
    with running(config(kafka, lake, storage_options=options)):
        wait_until(
            lambda: (t := open_table(lake, "orders", options)) is not None and not t.loading,
            timeout_s=60,
            what="the seal",
        )
        feed.upsert("o-1", 100)
        feed.flush()
        wait_until(
            lambda: (
                {
                    key: row["_version"]
                    for key, row in open_table(lake, "orders", options).rows(["_version"])
                }
                == feed.expected()
            ),
            timeout_s=60,
            what="the rows",
        )
    assert datasets(lake, options) == ["orders"]
    answer = query(lake, "select count(*) as n from orders", options).read_all().to_pylist()
    assert answer == [{"n": 19}]


@pytest.mark.needs("restart")
def test_a_wiped_kafka_under_an_old_table(own_broker, namespace, lake):
    kafka = KafkaConfig(brokers=own_broker.bootstrap, namespace=namespace, static_membership=True)
    old = Feed(kafka)
    old.create()
    for i in range(30):
        old.upsert(f"o-{i}", i)
    old.seal(1)
    old.flush()
    with running(config(kafka, lake)):
        await_rows(lake, old.expected())
        await_sealed(lake)
    own_broker.stop()
    own_broker.wipe()
    own_broker.start()
    new = Feed(kafka)
    new.create()
    new.upsert("o-1", 0, epoch=2)
    new.upsert("fresh", 0, epoch=2)
    new.seal(2)
    new.flush()
    with running(config(kafka, lake)):
        await_rows(lake, new.expected())
        await_sealed(lake)
