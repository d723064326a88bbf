"""S3: SeaweedFS, moto, or whatever answers at an address."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.parts.aws import (
    ACCESS_KEY,
    NOT_YET,
    SECRET_KEY,
    client,
    credentials,
    credentials_of_the_environment,
)
from tests.parts.dynamodb import MotoServer
from tests.parts.ports import free_ports
from tests.parts.process import PartFailedError, Process

START_TIMEOUT_S = 120.0


class S3:
    """A bucket at an S3 endpoint."""

    name = "address"
    bucket = "tailrace-test-lake"

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._credentials = credentials_of_the_environment()

    @property
    def environment(self) -> dict[str, str]:
        """What a process of ours, or delta-rs as storage options, needs to use this endpoint."""
        return {
            **self._credentials,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    @property
    def storage_options(self) -> dict[str, str]:
        """For delta-rs, which reads the general endpoint variable only."""
        return {
            **self._credentials,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def uri(self, path: str) -> str:
        return f"s3://{self.bucket}/{path}"

    def client(self) -> Any:
        return client("s3", self.endpoint, self._credentials)

    def start(self) -> None:
        """Make sure of the bucket.

        Raises:
            PartFailedError: the endpoint does not answer or refuses.
        """
        try:
            self.make_bucket()
        except NOT_YET as error:
            raise PartFailedError(f"no S3 answers at {self.endpoint}: {error}") from error

    def make_bucket(self) -> bool:
        """Create the bucket unless it is there, and write one object."""
        s3 = self.client()
        names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        if self.bucket not in names:
            where = {"LocationConstraint": self._credentials["AWS_REGION"]}
            s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=where)
        s3.put_object(Bucket=self.bucket, Key="ready", Body=b"")
        return True

    def stop(self) -> None:
        """Nothing: it is not ours."""


class SeaweedFS(S3):
    """SeaweedFS from the package index: a real S3 server with conditional puts, loopback only."""

    name = "seaweedfs"

    def __init__(self, folder: Path) -> None:
        self._ports = free_ports(8)
        super().__init__(f"http://127.0.0.1:{self._ports[0]}")
        self._credentials = credentials()
        self._folder = folder
        self._process: Process | None = None

    def start(self) -> None:
        log = self._folder / "seaweedfs.log"
        self._process = Process("SeaweedFS", self._command(), log=log)
        self._process.start()
        self._process.await_ready(self.make_bucket, timeout_s=START_TIMEOUT_S, expected=NOT_YET)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            for port in self._ports:
                for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    socket.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        program = Path(sys.executable).with_name("weed")
        found = str(program) if program.exists() else shutil.which("weed")
        if found is None:
            raise PartFailedError("SeaweedFS is not installed: pip install '.[real]'")
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        names = ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc"]
        names += ["volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
        ports = [f"-{name}={port}" for name, port in zip(names, self._ports, strict=True)]
        loopback = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        s3 = ["-s3", f"-s3.config={self._identities()}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        size = ["-master.volumeSizeLimitMB=256", "-volume.max=64"]
        return [found, "server", f"-dir={data}", *loopback, *s3, *size, *ports]

    def _identities(self) -> Path:
        keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": [keys], "actions": actions}
        path = self._folder / "identities.json"
        path.write_text(json.dumps({"identities": [identity]}))
        return path


class MotoS3(S3):
    """moto's S3, in a process of its own."""

    name = "moto"

    def __init__(self, folder: Path) -> None:
        self._server = MotoServer(folder)
        super().__init__(self._server.endpoint)
        self._credentials = credentials()

    def start(self) -> None:
        self._server.start()
        super().start()

    def stop(self) -> None:
        self._server.stop()


def s3(choice: str, folder: Path) -> S3:
    """The bucket of this `--s3` value, not yet started; its files go to `folder`."""
    match choice:
        case "moto":
            return MotoS3(folder)
        case "seaweedfs":
            return SeaweedFS(folder)
        case address:
            return S3(address)
