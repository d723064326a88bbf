"""An HTTP proxy before AWS parts that writes down which IAM action each request needs.

It is a process of its own: delta-rs holds this interpreter's lock while it waits for an answer.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.parts.ports import free_port
from tests.parts.process import Process

Call = tuple[str, str]
"""IAM action and ARN, as far as the request tells it; what is not understood has none."""


class Recorder:
    """Forwards everything to `endpoint` unchanged; a context manager.

    The host header stays, so that signatures stay valid.
    """

    def __init__(self, endpoint: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self._file = folder / "calls.jsonl"
        self.endpoint = f"http://127.0.0.1:{self._port}"
        command = [sys.executable, "-m", "tests.parts.recorder"]
        self._process = Process(
            "recorder",
            [*command, urlsplit(endpoint).netloc, str(self._port), str(self._file)],
            log=folder / "recorder.log",
            environment={"PYTHONPATH": str(Path(__file__).parents[2])},
        )

    @property
    def calls(self) -> set[Call]:
        """What was asked until now."""
        lines = self._file.read_text().splitlines()
        return {(action, arn) for action, arn in map(json.loads, lines)}

    def forget(self) -> None:
        """Begin anew."""
        os.truncate(self._file, 0)

    def _answers(self) -> bool:
        socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        return True

    def __enter__(self) -> Self:
        self._file.touch()
        self._process.start()
        self._process.await_ready(self._answers, timeout_s=30, expected=OSError)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target = ""
    file = -1

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lowered = {name.lower(): value for name, value in self.headers.items()}
        target = lowered.get("x-amz-target")
        found = list(_dynamodb(target, body) if target else _s3(self.command, self.path, lowered))
        for call in found or [("unknown", f"{self.command} {self.path} {target or ''}")]:
            os.write(self.file, json.dumps(call).encode() + b"\n")
        self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        upstream = http.client.HTTPConnection(self.target, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "transfer-encoding"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            head = self.command == "HEAD"
            size = answer.getheader("Content-Length") if head else len(content)
            self.send_header("Content-Length", str(size or 0))
            self.end_headers()
            if not head:
                self.wfile.write(content)
        except OSError:
            self.close_connection = True
        finally:
            upstream.close()

    def log_message(self, *_: object) -> None:
        """Nothing."""


for _verb in ("GET", "PUT", "POST", "HEAD", "DELETE"):
    setattr(_Handler, f"do_{_verb}", _Handler._forward)


def _dynamodb(target: str, body: bytes) -> Iterator[Call]:
    service, _, operation = target.partition(".")
    if not service.startswith("DynamoDB"):
        return
    asked = json.loads(body or b"{}")
    action = f"dynamodb:{operation}"
    if operation in ("GetRecords", "DescribeStream", "GetShardIterator"):
        # GetRecords names no stream but in its iterator.
        yield action, asked.get("StreamArn") or "arn:aws:dynamodb:r:1:table/?/stream/?"
    elif "RequestItems" in asked:
        for table in asked["RequestItems"]:
            yield action, f"arn:aws:dynamodb:r:1:table/{table}"
    elif operation == "ListStreams" or "TableName" not in asked:
        yield action, "*"
    else:
        yield action, f"arn:aws:dynamodb:r:1:table/{asked['TableName']}"


def _s3(method: str, path: str, headers: dict[str, str]) -> Iterator[Call]:
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    if method == "GET" and not key:
        yield "s3:ListBucket", arn
    elif method in ("GET", "HEAD") and key:
        yield "s3:GetObject", arn
    elif method == "PUT" and key:
        yield "s3:PutObject", arn
        if "x-amz-copy-source" in headers:
            yield (
                "s3:GetObject",
                "arn:aws:s3:::" + unquote(headers["x-amz-copy-source"]).lstrip("/"),
            )
    elif method == "POST" and ("uploads" in query or "uploadId" in query):
        yield "s3:PutObject", arn
    elif method == "POST" and "delete" in query:
        yield "s3:DeleteObject", f"{arn}/*"
    elif method == "DELETE" and key:
        yield ("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"), arn


if __name__ == "__main__":
    _Handler.target = sys.argv[1]
    _Handler.file = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Handler).serve_forever()
