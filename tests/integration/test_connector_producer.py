"""A bucket's producer: no report of what arrived, and yet nothing that did not arrive commits."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

import orjson
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from prometheus_client import REGISTRY

from bridge.connector.bucket import Bucket, CommitPolicy, producer_settings
from bridge.connector.fetch import Budget
from bridge.connector.keyed import Keyed
from bridge.connector.work import Composer, Message, Run, ShardPage, Work
from bridge.wire.kafka import KafkaConfig, read_to_end, written_bounds
from bridge.wire.topics import TopicNames, TopicSpec, admin, ensure_topics
from tests.parts.brokers import Broker
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration]

_SMALL_BYTES = 2000


def test_a_message_the_broker_refuses_makes_the_transaction_abort(
    broker: Broker, namespace: str
) -> None:
    kafka = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)
    topic = f"{namespace}.small"
    small = {"max.message.bytes": str(_SMALL_BYTES)}
    ensure_topics(admin(kafka), [TopicSpec(name=topic, partitions=1, settings=small)])
    settings = producer_settings(kafka, f"{namespace}.connector.0")
    assert settings["delivery.report.only.error"] is True
    producer = Producer({**settings, "compression.type": "none"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(topic, b"fits", b"k")
    producer.flush(20)
    producer.produce(topic, b"x" * 10_000, b"k")
    with pytest.raises(KafkaException) as refused:
        producer.commit_transaction(20)
    assert refused.value.args[0].txn_requires_abort()
    producer.abort_transaction(20)
    assert list(read_to_end(kafka, topic, [0])) == []


class Halting(Composer):
    """The first time goes on behind the first message only when the broker has written it.

    Then what is refused follows what was taken, and the numbers of the producer's messages have a
    hole. Later times do not wait: some brokers refuse even the first message until it is aborted.
    """

    def bind(self, client: AdminClient) -> None:
        self._client = client
        self._halts = True

    def _written(self) -> int:
        return written_bounds(self._client, self.changes["orders"], [0])[0].end

    def runs(self, batch: Iterable[Work], now_s: float) -> Iterator[Run | Message]:
        pieces, before = super().runs(batch, now_s), self._written()
        first = next(pieces)
        assert isinstance(first, Run)
        yield replace(first, records=first.records[:1])
        if self._halts:
            wait_until(lambda: self._written() > before, timeout_s=30, what="the first message")
            self._halts = False
        yield replace(first, records=first.records[1:])
        yield from pieces


def test_a_bucket_commits_what_was_refused_once_the_broker_takes_it(
    broker: Broker, namespace: str
) -> None:
    kafka = KafkaConfig(brokers=broker.bootstrap, namespace=namespace)
    names, topics = TopicNames(namespace), admin(kafka)
    small = {"max.message.bytes": str(_SMALL_BYTES)}
    changes = TopicSpec(name=names.changes("orders"), partitions=1, settings=small)
    checkpoints = TopicSpec(name=names.checkpoints, partitions=1, compacted=True)
    ensure_topics(topics, [changes, checkpoints])
    failures: list[BaseException] = []
    composer = Halting(
        bucket=0,
        checkpoints=checkpoints.name,
        changes={"orders": changes.name},
        dead_letters=names.dead_letters("connector"),
        epochs={"arn": 7},
    )
    composer.bind(topics)
    bucket = Bucket(
        kafka,
        composer,
        policy=CommitPolicy(interval_s=0.1, finish_timeout_s=30.0),
        budget=Budget(1024 * 1024),
        fenced=lambda _bucket, error: failures.append(error),
    )
    aborts = _aborts()
    bucket.start()
    large = [Keyed(b"k", b'{"n":%d,"x":"%s"}' % (n, _random_text(n))) for n in range(1, 20)]
    bucket.put(_page([Keyed(b"k", b'{"n":0}'), *large], 19), urgent=True)
    wait_until(lambda: failures or _aborts() >= aborts + 2, timeout_s=60, what="two aborts")
    assert failures == []
    assert list(read_to_end(kafka, changes.name, [0])) == []
    assert list(read_to_end(kafka, checkpoints.name, [0])) == []
    _allow(topics, changes.name, 1024 * 1024)
    wait_until(lambda: failures or not bucket.turns.busy, timeout_s=60, what="a commit")
    bucket.put(_page([Keyed(b"k", b'{"n":20}')], 20))
    bucket.finish()
    assert bucket.join()
    assert failures == []
    came = [message.value() for message in read_to_end(kafka, changes.name, [0])]
    numbers = [orjson.loads(value)["n"] for value in came if value]
    assert numbers == list(range(21))
    positions = [message.value() for message in read_to_end(kafka, checkpoints.name, [0])]
    assert [orjson.loads(value)["sequence"] for value in positions if value] == ["19", "20"]


def _page(records: list[Keyed], last: int) -> ShardPage:
    return ShardPage(table="orders", arn="arn", shard="s", records=records, sequence=str(last))


def _random_text(seed: int) -> bytes:
    """A kilobyte and a half that does not compress below what the topic takes."""
    return random.Random(seed).randbytes(1500).hex().encode()


def _aborts() -> float:
    return REGISTRY.get_sample_value("tailrace_connector_aborts_total") or 0.0


def _allow(topics: AdminClient, topic: str, size_bytes: int) -> None:
    entry = ConfigEntry(
        "max.message.bytes", str(size_bytes), incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in topics.incremental_alter_configs([resource]).values():
        future.result(timeout=20)
