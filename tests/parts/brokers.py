"""Kafka brokers behind one protocol: the embedded one, Apache Kafka, or any at an address.

Each says what it can do, so that a test that needs more is deselected and listed, never passed.
"""

from __future__ import annotations

import base64
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bridge.control.local import broker_command, broker_program
from tests.parts.jars import jars
from tests.parts.ports import free_port
from tests.parts.process import PartFailedError, Process

# What is acknowledged survives SIGKILL of the broker.
DURABLE: Final = "durable"
# A transaction is aborted, and its producer fenced, at transaction.timeout.ms.
TXN_TIMEOUT: Final = "txn_timeout"
# A group member that died silently is removed at session.timeout.ms.
EXPIRY: Final = "expiry"
# Who reads committed records only gets all of them, also behind an aborted transaction of the same
# producer. (The embedded broker names that one again to who has passed it, and the client then
# leaves out what was committed next. Our stages read uncommitted records there.)
READ_BACK: Final = "read_back"
# The broker is ours: it can be stopped, killed, restarted and wiped.
RESTART: Final = "restart"
CAPABILITIES: Final = frozenset({DURABLE, TXN_TIMEOUT, EXPIRY, READ_BACK, RESTART})

# Seconds on a free machine; a test machine may be anything but.
START_TIMEOUT_S = 120.0


class Broker(Protocol):
    """A running Kafka-compatible broker."""

    name: str
    capabilities: frozenset[str]
    bootstrap: str

    def start(self) -> None:
        """Ready to be used on return, with the data of before."""

    def stop(self) -> None:
        """An orderly shutdown."""

    def kill(self) -> None:
        """SIGKILL."""

    def restart(self) -> None:
        """`stop` and `start`: same address, same data."""

    def wipe(self) -> None:
        """Forget all data; the next `start` is a new cluster at the same address."""


def answers(bootstrap: str) -> bool:
    """Whether a broker at this address tells its metadata within a second.

    Raises:
        KafkaException: it does not.
    """
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    return bool(client.list_topics(timeout=1).brokers)


class _OwnBroker:
    """A broker that runs as our child, with its data in a folder of ours."""

    name: str
    capabilities: frozenset[str]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._port = free_port()
        self.bootstrap = f"127.0.0.1:{self._port}"
        self._process: Process | None = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        if self._process is not None and self._process.alive:
            raise PartFailedError(f"the {self.name} broker is already running")
        self._data.mkdir(parents=True, exist_ok=True)
        log = self._folder / "broker.log"
        self._process = Process(f"{self.name} broker", self._command(), log=log)
        self._process.start()
        self._process.await_ready(
            lambda: answers(self.bootstrap), timeout_s=START_TIMEOUT_S, expected=KafkaException
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def wipe(self) -> None:
        if self._process is not None and self._process.alive:
            raise PartFailedError(f"stop the {self.name} broker before wiping it")
        shutil.rmtree(self._data, ignore_errors=True)


class EmbeddedBroker(_OwnBroker):
    """noida-db: from the package index, starts at once, forgets its last second on SIGKILL."""

    name = "embedded"
    capabilities = frozenset({RESTART})

    def _command(self) -> list[str]:
        return broker_command(broker_program(), self._data, self._port)


# The quick compiler alone: half the processor time in a life as short as a test run's.
_JVM = ["java", "-Xms128m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_JVM += ["-XX:+ExitOnOutOfMemoryError"]


class KafkaBroker(_OwnBroker):
    """Apache Kafka 4, one node in KRaft mode, everything that waits in production made quick.

    Args:
        folder: for its data and its log.
        detours: further listeners: name to the port they advertise, which is a proxy's. Who
            bootstraps through that proxy is led through it for everything. The ports the proxies
            have to connect to are in `behind`.
    """

    name = "kafka"
    capabilities = CAPABILITIES

    def __init__(self, folder: Path, detours: Mapping[str, int] | None = None) -> None:
        super().__init__(folder)
        self._protocols: Mapping[str, str] = {}
        self._detours = {name.upper(): port for name, port in (detours or {}).items()}
        self.behind = {name: free_port() for name in detours or {}}
        self._controller_port = free_port()
        self._properties = folder / "server.properties"

    def _command(self) -> list[str]:
        if not (self._data / "meta.properties").exists():
            self._format()
        level = "-Dorg.apache.logging.log4j.level=WARN"
        return [*_JVM, level, "-cp", self._classpath(), "kafka.Kafka", str(self._properties)]

    def _format(self) -> None:
        self._properties.write_text(self._settings())
        # The tool would take an id that begins with a hyphen for an option.
        cluster = base64.urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        tool = [*_JVM, "-cp", self._classpath(), "kafka.tools.StorageTool", "format"]
        log = self._folder / "format.log"
        command = [*tool, "-t", cluster, "-c", str(self._properties), *self._format_options()]
        with Process("kafka storage format", command, log=log) as formatting:
            if formatting.wait(timeout_s=START_TIMEOUT_S) != 0:
                raise PartFailedError(f"Kafka's storage format failed:\n{formatting.log_tail()}")

    def _format_options(self) -> list[str]:
        return []

    def _more_settings(self) -> dict[str, str]:
        return {}

    def _classpath(self) -> str:
        return str(jars("kafka") / "*")

    def _settings(self) -> str:
        bound = {"PLAINTEXT": self._port} | {n.upper(): port for n, port in self.behind.items()}
        advertised = {"PLAINTEXT": self._port} | self._detours
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": _addresses({**bound, "CONTROLLER": self._controller_port}),
            "advertised.listeners": _addresses(advertised),
            "listener.security.protocol.map": ",".join(
                f"{name}:{self._protocols.get(name, 'PLAINTEXT')}"
                for name in (*bound, "CONTROLLER")
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._data),
            # Topics are created by who owns them; a missing one must show.
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # Quick where production is patient.
            # After SIGKILL the old registration must expire before the same node may come back.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
            "log.retention.check.interval.ms": "1000",
            "log.initial.task.delay.ms": "1000",
            "log.segment.delete.delay.ms": "1000",
            "log.cleaner.backoff.ms": "1000",
        }
        settings |= self._more_settings()
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


class AddressBroker:
    """A broker somebody else runs: Kafka, Redpanda or MSK. It is taken at its word."""

    name = "address"
    capabilities = CAPABILITIES - {RESTART}

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        try:
            answers(self.bootstrap)
        except KafkaException as error:
            message = f"no broker answers at {self.bootstrap}: {error.args[0].str()}"
            raise PartFailedError(message) from error

    def stop(self) -> None:
        """Nothing: it is not ours."""

    def kill(self) -> None:
        raise PartFailedError(f"the broker at {self.bootstrap} is not ours to kill")

    def restart(self) -> None:
        raise PartFailedError(f"the broker at {self.bootstrap} is not ours to restart")

    def wipe(self) -> None:
        raise PartFailedError(f"the broker at {self.bootstrap} is not ours to wipe")


def capabilities(choice: str) -> frozenset[str]:
    """What the broker of this `--broker` value can do, without starting it."""
    own = {"embedded": EmbeddedBroker.capabilities, "kafka": KafkaBroker.capabilities}
    return own.get(choice, AddressBroker.capabilities)


def broker(choice: str, folder: Path) -> Broker:
    """The broker of this `--broker` value, not yet started; its files go to `folder`."""
    match choice:
        case "embedded":
            return EmbeddedBroker(folder)
        case "kafka":
            return KafkaBroker(folder)
        case address:
            return AddressBroker(address)


def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete the topics a test run left on a broker that goes on living."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    names = [name for name in client.list_topics(timeout=10).topics if name.startswith(prefix)]
    for deleted in client.delete_topics(names).values() if names else ():
        deleted.result(30)
