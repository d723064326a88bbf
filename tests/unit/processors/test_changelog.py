"""Changelogs written the short way hold what Quix's own way would have written."""

from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from quixstreams.internal_producer import InternalProducer
from quixstreams.state.rocksdb import RocksDBStorePartition

from processors.changelog import SwiftChangelog, quicken
from processors.outbox import ClientOutbox
from processors.quix import ChangelogProducer, PartitionTransactionStatus

TOPIC = "changelog__group--topic--live"


def as_written(headers):
    return list(headers.items() if isinstance(headers, Mapping) else headers)


class Kafka:
    """Quix's producer and the client under it; what either was given, and what is reported."""

    def __init__(self):
        self._producer = SimpleNamespace(_producer=SimpleNamespace(produce=self.by_client))
        self.messages, self.callbacks, self.reported = [], [], []

    def produce(self, *, topic, partition, key, value, headers, on_delivery):
        assert on_delivery is None
        self.messages.append((topic, partition, key, value, as_written(headers)))

    def by_client(self, topic, value, key, partition, on_delivery, _none, _now, headers):
        self.messages.append((topic, partition, key, value, as_written(headers)))
        self.callbacks.append(on_delivery)

    def _on_delivery(self, error, message):
        self.reported.append((error, message))


@pytest.fixture
def kafka():
    return Kafka()


@pytest.fixture
def partition(tmp_path, kafka):
    opened = RocksDBStorePartition(
        path=str(tmp_path / "store"), changelog_producer=ChangelogProducer(TOPIC, 3, kafka)
    )
    yield opened
    opened.close()


def checkpoint(partition, kafka, *, short):
    """What a transaction with changes leaves in the changelog."""
    transaction = partition.begin()
    if short:
        quicken(transaction, ClientOutbox(kafka))
        quicken(transaction, ClientOutbox(kafka))  # as for a second flow
        assert isinstance(transaction._changelog_producer, SwiftChangelog)
    for number in range(3):
        transaction.set_bytes(b"k%d" % number, b"v", prefix=b"p")
    transaction.delete(b"k0", prefix=b"p")
    transaction.prepare(processed_offsets={"changes": 41})
    assert transaction._status is PartitionTransactionStatus.PREPARED
    return list(kafka.messages)


def test_the_messages_are_quixs_own(partition, kafka):
    quix = checkpoint(partition, kafka, short=False)
    assert len(quix) == 3
    kafka.messages.clear()
    assert checkpoint(partition, kafka, short=True) == quix


def test_the_last_message_alone_is_reported_to_quix(partition, kafka):
    checkpoint(partition, kafka, short=True)
    *others, last = kafka.callbacks
    assert others == [None, None]
    delivered = object()
    last(None, delivered)
    assert kafka.reported == [(None, delivered)]


def test_nothing_changed_writes_nothing(partition, kafka):
    transaction = partition.begin()
    quicken(transaction, ClientOutbox(kafka))
    transaction.prepare(processed_offsets={"changes": 41})
    assert kafka.messages == []


def test_a_producer_that_is_not_the_outboxs_keeps_quixs_way(partition, kafka):
    for outbox in (ClientOutbox(Kafka()), object()):
        transaction = partition.begin()
        quicken(transaction, outbox)
        assert isinstance(transaction._changelog_producer, ChangelogProducer)


def test_quix_keeps_the_offset_of_what_is_reported():
    quix = InternalProducer.__new__(InternalProducer)
    quix._error, quix._tp_offsets = None, {}
    quix._producer = SimpleNamespace(_broker_available=lambda: None)
    swift = SwiftChangelog(ChangelogProducer(TOPIC, 3, quix), ClientOutbox(quix))
    message = SimpleNamespace(topic=lambda: TOPIC, partition=lambda: 3, offset=lambda: 17)
    swift._delivered(None, message)
    assert quix.offsets == {(TOPIC, 3): 17}
