"""Many datasets, many processes: one writer per table, and another within 15 s when it dies."""

from __future__ import annotations

import time

import pytest

from bridge.wire.kafka import KafkaConfig
from bridge.wire.leases import bucket_of
from bridge.wire.topics import DEFAULT_BUCKETS
from tests.integration.sink_feed import Feed
from tests.integration.test_sink_kills import Sinks
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.needs("expiry"), pytest.mark.timeout(240)]

STANDBY_S = 15.0


@pytest.fixture
def kafka(broker, namespace):
    return KafkaConfig(brokers=broker.bootstrap, namespace=namespace)


@pytest.fixture
def sinks(kafka, tmp_path):
    sinks = Sinks(kafka, tmp_path)
    yield sinks
    for process in sinks.processes:
        process.kill()


def feeds_of(kafka, names):
    feeds = [Feed(kafka, dataset=name) for name in names]
    for feed in feeds:
        feed.create(with_namespace=False)
        feed.upsert("first", 1)
        feed.flush()
    feeds[0].name_it()
    return feeds


def names_in_both_halves(count=6):
    """Datasets whose buckets two processes share evenly, whoever gets which half."""
    names = [f"d{number}" for number in range(99)]
    buckets = {name: bucket_of(DEFAULT_BUCKETS, name) for name in names}
    low = [name for name in names if buckets[name] < DEFAULT_BUCKETS // 2][: count // 2]
    high = [name for name in names if buckets[name] >= DEFAULT_BUCKETS // 2][: count // 2]
    return [*low, *high]


def test_datasets_spread_over_processes_and_a_killed_one_is_replaced_in_time(kafka, sinks):
    names = names_in_both_halves()
    feeds = feeds_of(kafka, names)
    one = sinks.start(datasets=names, replica="one", static=False)
    for feed in feeds:
        sinks.await_versions(feed.expected(), feed.dataset)
    two = sinks.start(datasets=names, replica="two", static=False)
    for process, word in ((two, "lease acquired"), (one, "lease given up")):
        wait_until(
            lambda process=process, word=word: word in process.log_tail(500),
            timeout_s=60,
            what=word,
        )
    for sequence, feed in enumerate(feeds, 2):
        feed.upsert("second", sequence)
        feed.flush()
    for feed in feeds:
        sinks.await_versions(feed.expected(), feed.dataset)
    one.kill()
    killed_s = time.monotonic()
    for sequence, feed in enumerate(feeds, 20):
        feed.upsert("third", sequence)
        feed.flush()
    for feed in feeds:
        sinks.await_versions(feed.expected(), feed.dataset)
    assert time.monotonic() - killed_s < STANDBY_S
