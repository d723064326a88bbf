"""One run of one runner: start it, let it settle, open the tap, meter it, check what arrived.

The CPU counted begins with the last look before the first record was served and ends with the first
look that saw all of them committed; starting up and shutting down are not in it. The runner, the
streams server and the broker are processes of their own.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridge.wire.kafka import KafkaConfig, committed_ends
from bridge.wire.topics import DEFAULT_PARTITIONS, TopicNames, TopicSpec, admin, ensure_topics
from tests.benchmarks import answers, meter
from tests.benchmarks.gate import Arrivals, check_topic
from tests.benchmarks.streams_server import Load, order_of
from tests.fault import lab
from tests.parts.brokers import Broker, delete_topics
from tests.parts.ports import free_port
from tests.parts.process import Process
from tests.parts.waiting import wait_until

CONNECTOR, BOTO_LOOP, FLOOR = "connector", "boto3 loop", "floor"
_LOOK_S = 0.1
_QUIET_S = 1.5
_ROOT = str(Path(__file__).parents[2])


@dataclass(frozen=True, slots=True)
class Look:
    """The runner at one moment: pages it was served, messages (and markers) it has committed."""

    at_s: float
    cpu_s: float
    server_cpu_s: float
    pages: int
    committed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run gave; `transactions` is how many wrote to the topic, per partition at most."""

    runner: str
    records: int
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    server_share: float
    transactions: float

    @property
    def per_cpu_s(self) -> float:
        """Records per CPU second."""
        return self.records / self.cpu_s

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds for a thousand records."""
        return self.cpu_s / self.records * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A connector with nothing to read: its share of a core and its call rates."""

    shards: int
    core_share: float
    get_records_per_s: float
    get_records_per_shard_s: int
    describe_stream_s: int
    peak_rss_bytes: int


class StreamsServer:
    """The server in a process of its own, for the length of a `with`."""

    def __init__(self, load: Load, folder: Path) -> None:
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        module = "tests.benchmarks.streams_server"
        command = [sys.executable, "-m", module, order_of(load, self._port)]
        self.process = Process(
            "streams server", command, log=folder / "server.log", environment={"PYTHONPATH": _ROOT}
        )

    def ask(self, operation: str) -> dict[str, int]:
        """A call of ours: Begin or Stats."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("POST", "/", body=b"{}", headers={"X-Amz-Target": f"Bench.{operation}"})
        answer: dict[str, int] = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def __enter__(self) -> Self:
        self.process.start()
        self.process.await_ready(lambda: self.ask("Stats"), timeout_s=30, expected=OSError)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()


class Race:
    """A course: one load and one broker, run by any runner.

    Args:
        broker: where the messages go.
        folder: for logs.
        load: what is read.
        interval_s: of the transactions.
        poll_idle_s: how rarely the connector asks a shard that has nothing.
        settings: more of the connector's.
    """

    def __init__(
        self,
        broker: Broker,
        folder: Path,
        load: Load,
        *,
        interval_s: float = 1.0,
        poll_idle_s: float = 1.0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._broker = broker
        self._folder = folder
        self._load = load
        self._interval_s = interval_s
        self._settings = {"poll_idle_s": poll_idle_s, **(settings or {})}

    def run(self, runner: str) -> Figures:
        """One run from an empty topic, behind the gate.

        Raises:
            AssertionError: a record is missing, doubled or out of order.
        """
        with self._set_up(runner) as course:
            course.await_settled()
            looks = course.watch()
            peak = meter.peak_rss_bytes(course.process.pid)
            course.process.stop()
            records = course.check()
        first = [look for look in looks if look.pages == 0][-1]
        last = _first_complete(looks)
        wall_s = last.at_s - first.at_s
        return Figures(
            runner=runner,
            records=records,
            cpu_s=last.cpu_s - first.cpu_s,
            wall_s=wall_s,
            peak_rss_bytes=peak,
            server_share=(last.server_cpu_s - first.server_cpu_s) / wall_s,
            transactions=(last.committed - looks[0].committed - records) / DEFAULT_PARTITIONS,
        )

    def idle(self, seconds: float) -> Idle:
        """The connector alone, with nothing to read, for so long after it settled."""
        with self._set_up(CONNECTOR) as course:
            course.await_settled()
            calls = course.server.ask("Stats")["get_records"]
            begun_s, cpu_s = time.monotonic(), meter.cpu_s(course.process.pid)
            time.sleep(seconds)
            wall_s = time.monotonic() - begun_s
            share = (meter.cpu_s(course.process.pid) - cpu_s) / wall_s
            stats = course.server.ask("Stats")
            peak = meter.peak_rss_bytes(course.process.pid)
        return Idle(
            shards=self._load.shards,
            core_share=share,
            get_records_per_s=(stats["get_records"] - calls) / wall_s,
            get_records_per_shard_s=stats["get_records_per_shard_s"],
            describe_stream_s=stats["describe_stream_s"],
            peak_rss_bytes=peak,
        )

    def _set_up(self, runner: str) -> Course:
        namespace = f"bench-{uuid.uuid4().hex[:8]}"
        kafka = KafkaConfig(
            brokers=self._broker.bootstrap,
            namespace=namespace,
            static_membership="expiry" not in self._broker.capabilities,
        )
        server = StreamsServer(self._load, self._folder)
        log = self._folder / f"{namespace}.log"
        if runner == CONNECTOR:
            process = lab.connector_process(
                kafka,
                server.endpoint,
                [answers.TABLE],
                log=log,
                transaction_interval_s=self._interval_s,
                **self._settings,
            )
        else:
            process = self._simple_runner(runner, kafka, server.endpoint, log)
        return Course(runner, self._load, kafka, server, process)

    def _simple_runner(self, runner: str, kafka: KafkaConfig, endpoint: str, log: Path) -> Process:
        order = {
            "brokers": kafka.brokers,
            "kafka": {"brokers": kafka.brokers, "namespace": kafka.namespace},
            "topic": TopicNames(kafka.namespace).changes(answers.TABLE),
            "shards": self._load.shards,
            "records": self._load.records,
            "interval_s": self._interval_s,
        }
        module = "boto_loop" if runner == BOTO_LOOP else "floor"
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", json.dumps(order)]
        environment = {**lab.ACCOUNT, "AWS_ENDPOINT_URL": endpoint, "PYTHONPATH": _ROOT}
        environment["AWS_REGION"] = environment["AWS_DEFAULT_REGION"] = answers.REGION
        return Process(runner, command, log=log, environment=environment)


class Course:
    """A runner and its surroundings, for the length of a `with`."""

    def __init__(
        self, runner: str, load: Load, kafka: KafkaConfig, server: StreamsServer, process: Process
    ) -> None:
        self.runner = runner
        self.load = load
        self.kafka = kafka
        self.server = server
        self.process = process
        self._topic = TopicNames(kafka.namespace).changes(answers.TABLE)
        self._admin = admin(kafka)

    def __enter__(self) -> Self:
        ensure_topics(self._admin, [TopicSpec(name=self._topic, partitions=DEFAULT_PARTITIONS)])
        self.server.__enter__()
        self.process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.server.__exit__(kind, error, traceback)
        delete_topics(self.kafka.brokers, self.kafka.namespace)

    def committed(self) -> int:
        """Where the topic's partitions end for a read_committed reader, summed up."""
        ends = committed_ends(self._admin, self._topic, range(DEFAULT_PARTITIONS))
        return sum(ends.values())

    def await_settled(self) -> None:
        """Wait until every shard is being asked and nothing more is written."""
        self._await(
            lambda: (
                self.server.ask("Stats")["calls_least"] >= 2
                and self.server.ask("Stats")["shards_asked"] == self.load.shards
            ),
            "every shard to be asked twice",
        )
        if self.runner == CONNECTOR:
            self._await(lambda: self.committed() >= DEFAULT_PARTITIONS, "the empty scan's seals")
        time.sleep(1.0)

    def watch(self) -> list[Look]:
        """Open the tap and look until all is committed and nothing more comes."""
        looks = [self._look(0)]
        self.server.ask("Begin")
        goal = looks[0].committed + self.load.total

        def quiet() -> bool:
            served = self.server.ask("Stats")["pages_served"]
            done = served == self.load.busy * self.load.pages
            looks.append(self._look(served, counted=done))
            return looks[-1].committed >= goal and _quiet_s(looks) >= _QUIET_S

        self._await(quiet, "everything to be committed")
        return looks

    def _look(self, pages: int, *, counted: bool = True) -> Look:
        return Look(
            time.monotonic(),
            meter.cpu_s(self.process.pid),
            meter.cpu_s(self.server.process.pid),
            pages,
            self.committed() if counted else 0,
        )

    def _await(self, predicate: Any, what: str) -> None:
        def asked() -> bool:
            assert self.process.alive, f"{self.runner} ended:\n{self.process.log_tail()}"
            return bool(predicate())

        try:
            wait_until(asked, timeout_s=300.0, what=what, interval_s=_LOOK_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.process.log_tail()}") from None

    def check(self) -> int:
        """The gate; how many messages arrived."""
        arrivals = Arrivals(self.load, ready_made=self.runner == FLOOR)
        return check_topic(self.kafka, self._topic, range(DEFAULT_PARTITIONS), arrivals)


def _first_complete(looks: list[Look]) -> Look:
    """The first look that saw as much committed as the last one."""
    return next(look for look in looks if look.committed == looks[-1].committed)


def _quiet_s(looks: list[Look]) -> float:
    return looks[-1].at_s - _first_complete(looks).at_s
