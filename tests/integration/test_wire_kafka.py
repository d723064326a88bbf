"""The wire layer against a broker: reading to the end, leases, topics, schemas, the namespace."""

from __future__ import annotations

import threading

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from bridge.wire.errors import TopicError
from bridge.wire.kafka import KafkaConfig, log_bounds, read_to_end
from bridge.wire.leases import Lease
from bridge.wire.namespace import GapAcceptance, encode_value, namespace_key, read_namespace
from bridge.wire.schemas import Column, Schema, read_schemas, register_schema
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration]


@pytest.fixture
def kafka(broker, namespace):
    return KafkaConfig(brokers=broker.bootstrap, namespace=namespace)


@pytest.fixture
def topic(kafka):
    name = f"{kafka.namespace}.data"
    ensure_topics(admin(kafka), [TopicSpec(name=name, partitions=2)])
    return name


def transact(kafka, topic, values, *, commit, partition=0):
    producer = Producer(kafka.producer(transactional_id=f"{topic}.tx"))
    producer.init_transactions(20)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=partition)
    producer.flush(20)
    if commit:
        producer.commit_transaction(20)
    else:
        producer.abort_transaction(20)


def test_reading_to_the_end_sees_committed_records_only_and_passes_markers(kafka, topic):
    transact(kafka, topic, [b"a", b"b"], commit=True)
    transact(kafka, topic, [b"lost"], commit=False)
    transact(kafka, topic, [b"c"], commit=True)
    transact(kafka, topic, [b"lost too"], commit=False)
    assert [m.value() for m in read_to_end(kafka, topic, range(2))] == [b"a", b"b", b"c"]


def test_reading_to_the_end_waits_for_an_open_transaction_to_be_decided(kafka, topic):
    producer = Producer(kafka.producer(transactional_id=f"{topic}.open"))
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=1)
    producer.flush(20)
    decided = threading.Event()

    def decide():
        decided.set()
        producer.commit_transaction(20)

    timer = threading.Timer(1.0, decide)
    timer.start()
    assert [m.value() for m in read_to_end(kafka, topic, [1])] == [b"open"]
    assert decided.is_set()
    timer.join()


def test_reading_an_empty_partition_ends_at_once(kafka, topic):
    assert list(read_to_end(kafka, topic, range(2), timeout_s=10)) == []


def test_records_deleted_before_they_were_read_show_in_the_logs_bounds(kafka, topic):
    transact(kafka, topic, [b"a", b"b", b"c"], commit=True)
    client = admin(kafka)
    deleted = client.delete_records([TopicPartition(topic, 0, 2)])
    for future in deleted.values():
        future.result(timeout=20)
    consumer = Consumer(kafka.consumer(group=f"{topic}.bounds"))
    assert log_bounds(consumer, topic, 0).start == 2
    consumer.close()
    assert [m.value() for m in read_to_end(kafka, topic, [0])] == [b"c"]


def test_a_topic_of_another_size_is_refused_with_the_remedy(kafka, topic):
    with pytest.raises(TopicError, match=r"has 2 partitions, 3 are configured.*Set the configured"):
        ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=3)])
    free = TopicSpec(name=topic, partitions=3, exact=False)
    assert ensure_topics(admin(kafka), [free]) == {topic: 2}


def test_a_topic_too_small_for_the_largest_item_is_refused(kafka):
    spec = TopicSpec(
        name=f"{kafka.namespace}.small", partitions=1, settings={"max.message.bytes": "1000000"}
    )
    ensure_topics(admin(kafka), [spec])
    with pytest.raises(TopicError, match=r"max.message.bytes is 1000000"):
        ensure_topics(admin(kafka), [spec])


def test_schemas_are_acknowledged_before_use_and_read_by_fingerprint(kafka):
    names = TopicNames(kafka.namespace)
    ensure_topics(admin(kafka), [TopicSpec(name=names.schemas, partitions=1, compacted=True)])
    schemas = [Schema("d", "t", (Column(name, "string"),)) for name in "ab"]
    for schema in (*schemas, schemas[0]):
        assert register_schema(kafka, schema) == schema.fingerprint
    assert read_schemas(kafka) == {schema.fingerprint: schema for schema in schemas}


def test_the_namespace_is_read_with_its_accepted_gaps(kafka):
    topic = TopicNames(kafka.namespace).checkpoints
    ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=2, compacted=True)])
    assert read_namespace(kafka).namespace_id is None
    producer = Producer(kafka.producer())
    key, value = GapAcceptance("sink:d", "rows.d", {0: 5}).encode()
    producer.produce(topic, key=namespace_key(), value=encode_value({"id": "abc"}), partition=0)
    producer.produce(topic, key=key, value=value, partition=0)
    producer.flush(20)
    state = read_namespace(kafka)
    assert state.namespace_id == "abc"
    assert state.accepted == {("sink:d", "rows.d"): {0: 5}}


class Holder:
    def __init__(self):
        self.buckets: frozenset[int] = frozenset()
        self.events: list[tuple[str, frozenset[int]]] = []

    def acquired(self, buckets):
        self.buckets = buckets
        self.events.append(("acquired", buckets))

    def revoked(self, buckets):
        self.buckets = frozenset()
        self.events.append(("revoked", buckets))

    def lost(self, buckets):
        self.buckets = frozenset()
        self.events.append(("lost", buckets))


def member(kafka, topic, replica, *, static=False):
    # A static member keeps its place when it closes; a dynamic one gives it back at once.
    holder = Holder()
    config = KafkaConfig(
        brokers=kafka.brokers,
        namespace=kafka.namespace,
        replica=replica,
        static_membership=static,
    )
    lease = Lease(config, topic=topic, group=f"{topic}.lease", stage="test", holder=holder)
    lease.start()
    return lease, holder


def test_leases_are_handed_over_whole_and_every_assignment_is_a_new_owner(kafka):
    topic = f"{kafka.namespace}._leases"
    ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=6)])
    everything = frozenset(range(6))
    first, first_holder = member(kafka, topic, "1")
    wait_until(lambda: first_holder.buckets == everything, timeout_s=30, what="one owner of all")
    second, second_holder = member(kafka, topic, "2")

    def shared():
        return (
            len(first_holder.buckets) == len(second_holder.buckets) == 3
            and first_holder.buckets | second_holder.buckets == everything
        )

    wait_until(shared, timeout_s=40, what="the buckets shared by two")
    assert ("revoked", everything) in first_holder.events
    second.stop()
    wait_until(lambda: first_holder.buckets == everything, timeout_s=40, what="all back with one")
    first.stop()
    assert first_holder.buckets == frozenset()
    assert first_holder.events[-1] == ("revoked", everything)
    first.check()


@pytest.mark.parametrize("static", [False, True])
def test_a_worker_that_was_fenced_comes_back_as_a_new_owner(kafka, static):
    topic = f"{kafka.namespace}._leases"
    ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=2)])
    lease, holder = member(kafka, topic, "1", static=static)
    everything = frozenset(range(2))
    wait_until(lambda: holder.buckets == everything, timeout_s=30, what="the first assignment")
    lease.rejoin()
    wait_until(
        lambda: [kind for kind, _ in holder.events].count("acquired") == 2,
        timeout_s=40,
        what="a second assignment",
    )
    assert [kind for kind, _ in holder.events] == ["acquired", "revoked", "acquired"]
    lease.stop()
