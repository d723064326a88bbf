"""HTTP in front of a world: JSON 1.0 of both services on one endpoint, and `/_control`.

One thread runs an event loop; connections are kept alive, and answers carry AWS's checksum and
request id. Delays are really waited, off the world's lock; resets really reset (RST).
"""

import asyncio
import contextlib
import socket
import struct
import threading
import zlib
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import orjson

from tests.fakes.dynamodb import control
from tests.fakes.dynamodb.errors import AwsError, NoAnswerError, invalid
from tests.fakes.dynamodb.operations import OPERATIONS
from tests.fakes.dynamodb.world import Answer, World

_HEAD_BYTES_MAX = 64 * 1024
_START_TIMEOUT_S = 10.0
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


class Request:
    """One HTTP request: its path, its headers (names in lower case) and its body."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.path = first.split(" ")[1]
        pairs = (line.partition(":") for line in lines if line)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.body = body

    @property
    def keep_alive(self) -> bool:
        """Whether the connection is to stay."""
        return self.headers.get("connection", "").lower() != "close"


class FakeDynamoDB:
    """A server of one world; start it with `with`, or `start` and `stop`."""

    def __init__(self, world: World, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.world = world
        self._address = (host, port)
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="fake-dynamodb", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        """The URL for both services and for `/_control`."""
        return f"http://{self._address[0]}:{self._address[1]}"

    def start(self) -> Self:
        """Listen; raises OSError when the port is taken."""
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S):
            raise TimeoutError("the fake DynamoDB did not start")
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def stop(self) -> None:
        """Close every connection and stop listening."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(stopping.set)
            self._thread.join(_START_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._connected, *self._address, limit=_HEAD_BYTES_MAX)
        self._address = server.sockets[0].getsockname()[:2]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A turn of the loop lets the closed connections end.
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        try:
            with contextlib.suppress(*gone):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        request = Request(head, b"")
        request.body = await reader.readexactly(int(request.headers.get("content-length", "0")))
        try:
            status, answer = self._answer(request)
        except NoAnswerError as error:
            await asyncio.sleep(error.delay_s)
            _reset(writer)
            return False
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        writer.write(_encoded(status, answer, self.world.clock.now(), request.keep_alive))
        await writer.drain()
        return request.keep_alive

    def _answer(self, request: Request) -> tuple[int, Answer]:
        if request.path == "/_control":
            status, body = control.handle(self.world, request.body)
            return status, Answer(body=body)
        try:
            return 200, self._aws(request)
        except AwsError as error:
            return error.status, Answer(body=orjson.dumps(error.body()), delay_s=error.delay_s)

    def _aws(self, request: Request) -> Answer:
        service, _, name = request.headers.get("x-amz-target", "").partition(".")
        known = OPERATIONS.get(name)
        if known is None or known.service != service:
            raise AwsError("UnknownOperationException", f"The fake does not know {service}.{name}")
        access_key = self._access_key(request.headers)
        try:
            payload: Any = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            raise AwsError("SerializationException", "The body is not JSON") from None
        if not isinstance(payload, dict):
            raise invalid("The body must be a JSON object")
        return self.world.answer(name, payload, access_key=access_key)

    def _access_key(self, headers: dict[str, str]) -> str:
        authorization = headers.get("authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 ") or "Signature=" not in authorization:
            raise AwsError(
                "MissingAuthenticationTokenException", "Request is missing Authentication Token"
            )
        _require_close_clocks(headers, self.world)
        return authorization.partition("Credential=")[2].partition("/")[0]


def _require_close_clocks(headers: dict[str, str], world: World) -> None:
    skew_max_s = world.settings.clock_skew_max_s
    if skew_max_s is None:
        return
    signed = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(signed.timestamp() - world.clock.now()) > skew_max_s:
        raise AwsError(
            "InvalidSignatureException",
            f"Signature not yet current or expired: {headers['x-amz-date']}",
        )


def _reset(writer: asyncio.StreamWriter) -> None:
    # Closing with a linger of zero sends RST, which is what a broken path looks like.
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _encoded(status: int, answer: Answer, now_s: float, keep_alive: bool) -> bytes:
    checksum = zlib.crc32(answer.body) ^ answer.bad_checksum
    moment = datetime.fromtimestamp(now_s, UTC)
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\n"
        "Server: Server\r\n"
        f"Date: {moment:%a, %d %b %Y %H:%M:%S} GMT\r\n"
        "Content-Type: application/x-amz-json-1.0\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n"
        f"x-amzn-RequestId: {uuid4().hex.upper()}\r\n"
        f"x-amz-crc32: {checksum}\r\n\r\n"
    )
    return head.encode() + answer.body
