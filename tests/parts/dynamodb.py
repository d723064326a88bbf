"""DynamoDB with streams: Amazon's DynamoDB Local, moto, or whatever answers at an address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from tests.parts.aws import NOT_YET, client, credentials, credentials_of_the_environment
from tests.parts.jars import jars
from tests.parts.ports import free_port
from tests.parts.process import PartFailedError, Process

START_TIMEOUT_S = 120.0
TAGS: Final = "tags"  # tables can be tagged, and found by their tags
CAPABILITIES: Final = frozenset({TAGS})


class DynamoDB:
    """A DynamoDB endpoint with streams, at an address; subclasses start one."""

    name = "address"
    capabilities = CAPABILITIES  # it is taken at its word

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._credentials = credentials_of_the_environment()

    @property
    def environment(self) -> dict[str, str]:
        """What a process of ours needs in its environment to use this endpoint."""
        endpoints = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS")
        return {**self._credentials, **dict.fromkeys(endpoints, self.endpoint)}

    def client(self, service: str = "dynamodb") -> Any:
        """A client of `dynamodb` or `dynamodbstreams`."""
        return client(service, self.endpoint, self._credentials)

    def start(self) -> None:
        """Check that it answers.

        Raises:
            PartFailedError: it does not.
        """
        try:
            self.client().list_tables(Limit=1)
        except NOT_YET as error:
            raise PartFailedError(f"no DynamoDB answers at {self.endpoint}: {error}") from error

    def stop(self) -> None:
        """Nothing: it is not ours."""


_LOCAL_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"


class DynamoDBLocal(DynamoDB):
    """Amazon's DynamoDB Local, in memory."""

    name = "local"
    capabilities = CAPABILITIES - {TAGS}

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        super().__init__(f"http://127.0.0.1:{self._port}")
        self._credentials = credentials()
        self._log = folder / "dynamodb.log"
        self._process: Process | None = None

    def start(self) -> None:
        folder = jars("dynamodb")
        jvm = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        jvm += [f"-Djava.library.path={folder}"]
        main = ["-cp", str(folder / "*"), _LOCAL_MAIN]
        options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(self._port)]
        self._process = Process("DynamoDB Local", [*jvm, *main, *options], log=self._log)
        self._process.start()
        self._process.await_ready(
            lambda: self.client().list_tables(Limit=1), timeout_s=START_TIMEOUT_S, expected=NOT_YET
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()


class MotoServer(DynamoDB):
    """moto: DynamoDB (one shard per stream, never split) and S3 in one process."""

    name = "moto"

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        super().__init__(f"http://127.0.0.1:{self._port}")
        self._credentials = credentials()
        self._log = folder / "moto.log"
        self._process: Process | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = Process("moto", command, log=self._log)
        self._process.start()
        self._process.await_ready(
            lambda: self.client().list_tables(Limit=1), timeout_s=START_TIMEOUT_S, expected=NOT_YET
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()


def capabilities(choice: str) -> frozenset[str]:
    """What the DynamoDB of this `--dynamodb` value can do, without starting it."""
    return (DynamoDBLocal if choice == "local" else DynamoDB).capabilities


def dynamodb(choice: str, folder: Path) -> DynamoDB:
    """The endpoint of this `--dynamodb` value, not yet started; its files go to `folder`."""
    match choice:
        case "moto":
            return MotoServer(folder)
        case "local":
            return DynamoDBLocal(folder)
        case address:
            return DynamoDB(address)
