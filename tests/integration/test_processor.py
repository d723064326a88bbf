"""A processor against a broker: rows, seals, positions, gaps, changed transforms, refusals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from bridge.wire.envelope import CONTROL_KEY, Sealed
from bridge.wire.errors import (
    ConfigurationError,
    GapError,
    TopicError,
    UnknownVersionError,
)
from bridge.wire.kafka import KafkaConfig, committed_ends, read_to_end
from bridge.wire.namespace import GapAcceptance, decode_key
from bridge.wire.schemas import read_schemas
from bridge.wire.topics import TopicSpec, admin, ensure_topics
from processors.loader import load_transforms
from processors.positions import Positions
from processors.provision import LIVE_STORE, TOMBSTONE_STORE, changelog_topic
from processors.service import Processor, ProcessorConfig
from processors.testing import Changes, Sent
from tests.integration.processor_feed import ORDER_LINES, ORDERS, Feed, workload
from tests.parts.waiting import wait_until

pytestmark = pytest.mark.integration

TIMEOUT_S = 60.0


@pytest.fixture
def feed(kafka: KafkaConfig) -> Feed:
    return Feed(kafka)


@pytest.fixture
def configure(kafka: KafkaConfig, tmp_path: Path) -> Callable[..., ProcessorConfig]:
    def configured(file: Path, **options: object) -> ProcessorConfig:
        (transform,) = load_transforms(file)
        return ProcessorConfig(
            kafka=kafka,
            transform=transform,
            state_dir=tmp_path / "state",
            commit_interval_s=0.2,
            wait_interval_s=0.5,
            **options,
        )

    return configured


class Running:
    """A processor in a thread, with what ended it."""

    def __init__(self, config: ProcessorConfig) -> None:
        self.processor = Processor(config)
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.processor.run(self._stop)
        except BaseException as error:
            self.error = error

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def ended(self) -> BaseException | None:
        """What ended it by itself."""
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "it still runs"
        return self.error


@contextmanager
def running(config: ProcessorConfig):
    processor = Running(config)
    processor.start()
    try:
        yield processor
    except AssertionError as error:
        raise AssertionError(f"{error}; the processor ended: {processor.error!r}") from error
    finally:
        processor.stop()
    assert processor.error is None


def await_expected(feed: Feed, file: Path) -> dict:
    expected = feed.expected(file)

    def seen() -> bool:
        return feed.has_rows(file) and feed.rows(file) == expected

    wait_until(seen, timeout_s=TIMEOUT_S, what="the expected rows", interval_s=0.3)
    return expected


def await_positions_at_end(feed: Feed, group: str) -> None:
    def at_end() -> bool:
        with Positions(feed.kafka, group) as positions:
            found = positions.committed(feed.topic, range(feed.partitions))
        return {p: offset or 0 for p, offset in found.items()} == ends(feed)

    wait_until(at_end, timeout_s=TIMEOUT_S, what="positions at the log's end", interval_s=0.2)


def ends(feed: Feed) -> dict[int, int]:
    return committed_ends(admin(feed.kafka), feed.topic, range(feed.partitions))


@pytest.mark.parametrize("file", [ORDERS, ORDER_LINES], ids=["orders", "order_lines"])
def test_changes_become_rows_in_their_own_partitions(feed, configure, file):
    feed.open()
    messages = workload(feed.changes, 300, seed=1)
    feed.send(*messages[:150])
    feed.send_aborted(*messages[150:160])
    with running(configure(file)) as ran:
        feed.send(*messages[150:], Sent(b"k", b"junk"))
        feed.seal()
        expected = await_expected(feed, file)
        assert ran.processor.health() is None
    changes = feed.read(feed.topic)
    for partition, rows in expected.items():
        keys = {key for key, _ in changes[partition]}
        assert {key for key, _ in rows} <= keys
        seal = Sealed(feed.table, feed.epoch, partition, feed.partitions).encode()
        assert rows[-1] == (CONTROL_KEY, seal)
    letters = feed.read(feed.names.dead_letters(ran.processor.compiled.name))
    assert [value for part in letters.values() for _, value in part] == [b"junk"]
    schema = ran.processor.compiled.schema
    assert read_schemas(feed.kafka)[schema.fingerprint] == schema


def test_a_restart_goes_on_where_it_stopped_and_an_idle_end_is_no_gap(feed, configure):
    feed.open()
    config = configure(ORDER_LINES)
    group = feed.names.group(config.transform.name)
    feed.send(*workload(feed.changes, 50, seed=2))
    with running(config):
        await_expected(feed, ORDER_LINES)
        await_positions_at_end(feed, group)
    before = feed.expected(ORDER_LINES)
    delete_up_to(feed, ends(feed))
    feed.changes = Changes(key=["orderId"], epoch=2_000)
    feed.send(*workload(feed.changes, 30, seed=3))
    with running(config):
        wait_until(
            lambda: sum(map(len, feed.rows(ORDER_LINES).values())) > sum(map(len, before.values())),
            timeout_s=TIMEOUT_S,
            what="rows of the second half",
        )


def test_what_follows_an_aborted_transaction_is_read_after_a_restart(feed, configure):
    feed.open()
    config = configure(ORDER_LINES)
    group = feed.names.group(config.transform.name)
    messages = workload(feed.changes, 120, seed=10)
    feed.send(*messages[:40])
    feed.send_aborted(*messages[40:80])
    with running(config):
        await_positions_at_end(feed, group)
    feed.send(*messages[40:])
    with running(config):
        await_expected(feed, ORDER_LINES)


def delete_up_to(feed: Feed, offsets: dict[int, int]) -> None:
    """As retention does."""
    places = [TopicPartition(feed.topic, p, offset) for p, offset in offsets.items()]
    client = admin(feed.kafka)
    for deleted in client.delete_records(places).values():
        deleted.result(timeout=TIMEOUT_S)


def test_changes_deleted_before_they_were_read_are_a_gap_with_the_command(feed, configure):
    feed.open()
    config = configure(ORDERS)
    group = feed.names.group(config.transform.name)
    feed.send(*workload(feed.changes, 50, seed=4))
    with running(config):
        await_expected(feed, ORDERS)
        await_positions_at_end(feed, group)
    feed.send(*workload(feed.changes, 50, seed=5))
    delete_up_to(feed, ends(feed))
    processor = Running(config)
    processor.start()
    error = processor.ended()
    assert isinstance(error, GapError)
    assert "were deleted before they were read" in str(error)
    command = "tailrace backfill orders --accept-gap processor:process_orders_stream"
    assert command in str(error)
    accepted = GapAcceptance("processor:process_orders_stream", feed.topic, ends(feed)).encode()
    feed._transaction([(feed.names.checkpoints, 0, Sent(*accepted))])
    with running(config):
        await_positions_at_end(feed, group)


def test_a_group_that_comes_too_late_asks_for_a_scan_of_its_own_and_goes_on(feed, configure):
    feed.open()
    feed.send(*workload(feed.changes, 20, seed=6))
    delete_up_to(feed, ends(feed))

    def requests():
        found = read_to_end(feed.kafka, feed.names.checkpoints, [0])
        keys = [decode_key(m.key()) for m in found if isinstance(m.key(), bytes)]
        return [key for key in keys if key[0] == "request"]

    for more in (20, 30):  # asked again after a restart, it is the same request
        with running(configure(ORDERS)):
            wait_until(requests, timeout_s=TIMEOUT_S, what="a request for a scan")
            feed.send(*workload(feed.changes, more, seed=7))
            wait_until(
                lambda least=more - 10: sum(map(len, feed.rows(ORDERS).values())) >= least,
                timeout_s=TIMEOUT_S,
                what="rows of later changes",
            )
    assert len({tuple(key) for key in requests()}) == 1


def test_it_waits_for_its_inputs_and_says_so(feed, configure):
    with running(configure(ORDERS)) as ran:
        wait_until(
            lambda: "waiting for topic" in (ran.processor.health() or ""),
            timeout_s=TIMEOUT_S,
            what="health to say what is missing",
        )
        feed.open()
        feed.send(*workload(feed.changes, 5, seed=7))
        await_expected(feed, ORDERS)
        assert ran.processor.health() is None


def test_stopping_while_it_waits_ends_at_once(feed, configure):
    with running(configure(ORDERS)):
        pass


def test_a_rows_topic_of_another_partition_count_is_refused(feed, configure):
    feed.open()
    topic = feed.names.rows("processed_orders")
    ensure_topics(admin(feed.kafka), [TopicSpec(name=topic, partitions=2)])
    processor = Running(configure(ORDERS))
    processor.start()
    error = processor.ended()
    assert isinstance(error, TopicError)
    assert "has 2 partitions" in str(error)


def test_changelogs_are_created_compacted_under_the_names_quix_uses(feed, configure):
    feed.open()
    feed.send(*workload(feed.changes, 20, seed=8))
    config = configure(ORDER_LINES)
    with running(config):
        await_expected(feed, ORDER_LINES)
    group = feed.names.group(config.transform.name)
    stored = feed.read(changelog_topic(group, feed.topic, LIVE_STORE))
    assert sum(map(len, stored.values())) > 0
    removed = feed.read(changelog_topic(group, feed.topic, TOMBSTONE_STORE))
    assert sum(map(len, removed.values())) > 0


def test_an_unknown_wire_version_stops_before_anything_is_written(feed, configure):
    feed.open()
    newer = b'{"dynamodb":{"Keys":{"orderId":{"S":"1"}}},"tailrace":{"v":2}}'
    feed.send(Sent(b"k", newer))
    processor = Running(configure(ORDERS))
    processor.start()
    assert isinstance(processor.ended(), UnknownVersionError)
    assert not any(feed.rows(ORDERS).values())


def write_transform(folder: Path, *columns: str) -> Path:
    path = folder / "mine.py"
    source = ORDERS.read_text().replace('        "dynamodb.NewImage.status.S as status",\n', "")
    added = "".join(f'        "{column}",\n' for column in columns)
    path.write_text(source.replace('        "eventName",\n', f'        "eventName",\n{added}'))
    return path


def test_a_changed_transform_stops_unless_columns_were_only_added(feed, configure, tmp_path):
    feed.open()
    feed.send(*workload(feed.changes, 5, seed=9))
    status = "dynamodb.NewImage.status.S as state"
    for columns in ((), (status,)):
        file = write_transform(tmp_path, *columns)
        with running(configure(file)):
            await_positions_at_end(feed, feed.names.group("process_orders_stream"))
    changed = configure(write_transform(tmp_path, status.replace(".S", ".N")))
    processor = Running(changed)
    processor.start()
    error = processor.ended()
    assert isinstance(error, ConfigurationError)
    assert "column state of processed_orders was dynamodb.NewImage.status.S string" in str(error)
    assert "TAILRACE_ACCEPT_CHANGE=1" in str(error)
    with running(replace(changed, accept_change=True)) as ran:
        wait_until(lambda: ran.processor.health() is None, timeout_s=TIMEOUT_S, what="health")
    with running(changed):
        time.sleep(0)
