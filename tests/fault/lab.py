"""A connector under test: in a thread or in a process, and what it wrote, held against the journal.

The journal of the fake knows every version of every item; the topic, read with read_committed, must
hold each of them once, in order per item, with READ rows apart.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from bridge import DynamoDBSource
from bridge.connector.service import Connector, ConnectorConfig
from bridge.wire.attributes import canonical_key
from bridge.wire.envelope import (
    SETTLED,
    Sealed,
    change_key,
    change_origin,
    change_version,
    header,
)
from bridge.wire.errors import BrokerUnreachableError
from bridge.wire.kafka import KafkaConfig, committed_ends, read_to_end
from bridge.wire.topics import TopicNames, admin, existing_topics
from tests.fakes.dynamodb import History
from tests.parts.process import Process
from tests.parts.waiting import wait_until

REGION = "us-east-1"
ACCOUNT = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}


def config(kafka: KafkaConfig, *tables: str | DynamoDBSource, **settings: Any) -> ConnectorConfig:
    """A connector quick enough for tests."""
    sources = tuple(
        table
        if isinstance(table, DynamoDBSource)
        else DynamoDBSource(table_name=table, region=REGION)
        for table in tables
    )
    quick = {"transaction_interval_s": 0.1, "poll_idle_s": 0.2, "survey_interval_s": 1.0}
    return ConnectorConfig(kafka=kafka, sources=sources, **{**quick, **settings})


class Running:
    """A connector in a thread of this process, for the length of a `with`."""

    def __init__(self, chosen: ConnectorConfig) -> None:
        self.connector = Connector(chosen)
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connector-under-test", daemon=True)

    def _run(self) -> None:
        try:
            self.connector.run(self._stop)
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """An orderly end."""
        self._stop.set()
        self._thread.join(40)
        assert not self._thread.is_alive(), "the connector did not stop"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if kind is None and self.error is not None:
            raise self.error


def connector_process(
    kafka: KafkaConfig,
    endpoint: str,
    tables: Iterable[str],
    *,
    log: Path,
    name: str = "connector",
    **settings: Any,
) -> Process:
    """A connector as a process of its own, not yet started; see `tests.fault.connector_process`."""
    order = {
        "kafka": {
            "brokers": kafka.brokers,
            "namespace": kafka.namespace,
            "replica": kafka.replica,
            "static_membership": kafka.static_membership,
        },
        "tables": list(tables),
        "settings": settings,
    }
    command = [sys.executable, "-m", "tests.fault.connector_process", json.dumps(order)]
    account = {**ACCOUNT, "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION}
    root = str(Path(__file__).parents[2])
    return Process(name, command, log=log, environment={**account, "PYTHONPATH": root})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A message of a changes topic, decoded."""

    partition: int
    offset: int
    kafka_key: bytes
    event: str
    key: str
    version: str
    body: Mapping[str, Any]


@dataclass(slots=True)
class Topic:
    """Everything committed to a changes topic."""

    changes: list[Change] = field(default_factory=list)
    seals: list[tuple[int, int, Sealed]] = field(default_factory=list)

    def stream(self) -> list[Change]:
        """Changes that are no READ rows."""
        return [change for change in self.changes if change.event != "READ"]

    def reads(self) -> list[Change]:
        """READ rows."""
        return [change for change in self.changes if change.event == "READ"]


def read_topic(kafka: KafkaConfig, table: str) -> Topic:
    """Read `changes.<table>` with read_committed up to its end."""
    name = TopicNames(kafka.namespace).changes(table)
    count = existing_topics(admin(kafka)).get(name, 0)
    topic = Topic()
    for message in read_to_end(kafka, name, range(count)) if count else ():
        place, value = (message.partition(), message.offset()), message.value()
        control = header(message.headers(), "control")
        if control == SETTLED:
            continue
        if control:
            topic.seals.append((*place, Sealed.decode(value)))
            continue
        body = orjson.loads(value)
        topic.changes.append(
            Change(
                partition=place[0],
                offset=place[1],
                kafka_key=message.key(),
                event=body["eventName"],
                key=change_key(body),
                version=change_version(body, change_origin(body)),
                body=body,
            )
        )
    return topic


def versions_by_item(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """Changes of each item in the topic's order; an item lies in one partition only."""
    found: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        found[change.key].append(change)
    for key, listed in found.items():
        assert len({change.partition for change in listed}) == 1, f"{key} lies in two partitions"
    return found


def check_against(history: History, table: str, topic: Topic) -> None:
    """Each version of each item once, in order; nothing else."""
    found = versions_by_item(topic.stream())
    wanted = {
        canonical_key(versions[0].keys).decode(): [
            str(version.sequence) for version in versions if version.sequence is not None
        ]
        for versions in history.items(table).values()
    }
    wanted = {key: numbers for key, numbers in wanted.items() if numbers}
    for key, numbers in wanted.items():
        got = [change.body["dynamodb"]["SequenceNumber"] for change in found.get(key, [])]
        assert got == numbers, f"{key}: {_difference(got, numbers)}"
    assert not set(found) - set(wanted), "items that nobody wrote"
    for key, changes in found.items():
        versions = [change.version for change in changes]
        assert versions == sorted(set(versions)), f"{key}: versions do not rise"


def _difference(got: list[str], wanted: list[str]) -> str:
    missing = [number for number in wanted if number not in got]
    doubled = sorted({number for number in got if got.count(number) > 1})
    return f"{len(missing)} missing {missing[:3]}, doubled {doubled[:3]}, of {len(wanted)}"


def replay(topic: Topic, floor: str = "") -> dict[str, Any]:
    """The table as a consumer sees it: of each item the newest version, READ rows included."""
    newest: dict[str, Change] = {}
    for change in topic.changes:
        if change.version >= floor and (
            change.key not in newest or change.version > newest[change.key].version
        ):
            newest[change.key] = change
    return {
        key: change.body["dynamodb"]["NewImage"]
        for key, change in newest.items()
        if change.event != "REMOVE"
    }


def await_changes(
    kafka: KafkaConfig, table: str, enough: Callable[[Topic], object], *, timeout_s: float = 40.0
) -> Topic:
    """Read the topic again and again until it holds enough."""
    last = Topic()

    def look() -> object:
        nonlocal last
        try:
            last = read_topic(kafka, table)
        except BrokerUnreachableError:
            return False  # a partition without a leader, a moment after it was created
        return enough(last)

    try:
        wait_until(look, timeout_s=timeout_s, what="enough changes", interval_s=0.3)
    except AssertionError as error:
        kinds = f"{len(last.stream())} changes, {len(last.reads())} rows, {len(last.seals)} seals"
        raise AssertionError(f"{error}; the topic holds {kinds}") from None
    return last


def await_quiet(kafka: KafkaConfig, table: str, *, quiet_s: float, timeout_s: float) -> None:
    """Wait until nothing has been committed to the topic for so long.

    It asks for offsets alone: reading a large topic again and again would take the processor away
    from the fake, which lives in this process.
    """
    topic, client = TopicNames(kafka.namespace).changes(table), admin(kafka)
    partitions = existing_topics(client)[topic]
    seen, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        found = sum(committed_ends(client, topic, range(partitions)).values())
        if found != seen:
            seen, since = found, time.monotonic()
        return time.monotonic() - since >= quiet_s

    wait_until(quiet, timeout_s=timeout_s, what="nothing more to be committed", interval_s=0.5)


def await_history(
    kafka: KafkaConfig, history: History, table: str, *, timeout_s: float = 40.0
) -> Topic:
    """Wait until as many changes have arrived as were written, then compare one by one."""
    topic = await_changes(
        kafka,
        table,
        lambda found: len(found.stream()) >= history.count(table),
        timeout_s=timeout_s,
    )
    check_against(history, table, topic)
    return topic
