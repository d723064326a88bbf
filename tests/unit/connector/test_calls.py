"""The raw client against servers that behave as AWS and its emulators do, and do not."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from bridge.connector.calls import Endpoint, RawClient
from bridge.connector.failures import Failure, Trouble
from bridge.connector.signing import Keys

Answerer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Server:
    """Answers each POST with the next of `answers`; the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answerer] = []
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append((dict(self.headers), body))
                position = min(len(outer.seen), len(outer.answers)) - 1
                outer.answers[position](self, body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def answer(
    body: bytes, status: int = 200, *, close: bool = False, cut: int = 0, **headers: str
) -> Answerer:
    def send(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if close:
            handler.send_header("Connection", "close")
        handler.send_header("Content-Length", str(len(body) + cut))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = close or cut > 0

    return send


def hang_up(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    handler.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[RawClient]:
    client = raw(server)
    yield client
    client.close()


def raw(server: Server, **more: Any) -> RawClient:
    endpoint = Endpoint(url=server.url, region="us-west-2", target="DynamoDBStreams_20120810")
    return RawClient(endpoint, lambda: Keys("AK", "secret"), **more)


def fails(client: RawClient) -> Failure:
    with pytest.raises(Failure) as caught:
        client.call("GetRecords", {})
    return caught.value


def test_it_asks_as_aws_wants_and_keeps_the_connection(server: Server, client: RawClient) -> None:
    server.answers = [answer(b"{}")]
    for _ in range(3):
        assert client.call("GetRecords", {"ShardIterator": "it"}) == b"{}"
    headers, body = server.seen[0]
    assert headers["X-Amz-Target"] == "DynamoDBStreams_20120810.GetRecords"
    assert headers["Content-Type"] == "application/x-amz-json-1.0"
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")
    assert orjson.loads(body) == {"ShardIterator": "it"}
    assert server.connections == 1


def test_a_connection_closed_while_idle_is_made_anew(server: Server, client: RawClient) -> None:
    server.answers = [answer(b"1"), hang_up, answer(b"2")]
    assert client.call("GetRecords", {}) == b"1"
    assert client.call("GetRecords", {}) == b"2"
    assert server.connections == 2


def test_a_server_that_keeps_nothing_alive_will_do(server: Server, client: RawClient) -> None:
    server.answers = [answer(b"{}", close=True)]
    assert [client.call("GetRecords", {}) for _ in range(3)] == [b"{}"] * 3
    assert server.connections == 3


def test_a_server_that_only_hangs_up_is_unavailable(server: Server, client: RawClient) -> None:
    server.answers = [hang_up]
    assert fails(client).trouble is Trouble.UNAVAILABLE


def test_nobody_there_is_unavailable(server: Server, client: RawClient) -> None:
    server.close()
    failure = fails(client)
    assert failure.trouble is Trouble.UNAVAILABLE
    assert server.url in failure.text


def test_an_answer_that_is_cut_short_is_none(server: Server, client: RawClient) -> None:
    server.answers = [answer(b'{"Records":[', cut=10)]
    assert fails(client).trouble is Trouble.UNAVAILABLE


def test_the_checksum_is_checked_where_it_is_sent(server: Server, client: RawClient) -> None:
    right = str(zlib.crc32(b"{}"))
    server.answers = [answer(b"{}", x_amz_crc32=right), answer(b"{ }", x_amz_crc32=right)]
    assert client.call("GetRecords", {}) == b"{}"
    assert fails(client).trouble is Trouble.UNAVAILABLE


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"__type":"com.amazonaws.dynamodb.v20120810#ExpiredIteratorException"}', {}),
        (b'{"__type":"ExpiredIteratorException","message":"m"}', {}),
        (b"", {"x_amzn_errortype": "ExpiredIteratorException:"}),
    ],
)
def test_errors_are_known_however_they_are_spelled(
    server: Server, client: RawClient, body: bytes, headers: dict[str, str]
) -> None:
    server.answers = [answer(body, 400, **headers)]
    assert fails(client).trouble is Trouble.EXPIRED


def test_a_page_of_html_is_told_by_its_status(server: Server, client: RawClient) -> None:
    server.answers = [answer(b"<html>", 502), answer(b"<html>", 404)]
    assert fails(client).trouble is Trouble.UNAVAILABLE
    assert fails(client).trouble is Trouble.INVALID


def test_refused_credentials_are_reported_and_a_wrong_clock_is_learned(server: Server) -> None:
    refusals: list[bool] = []
    client = raw(server, now=lambda: 1_763_900_000.0, refused=lambda: refusals.append(True))
    refusal = b'{"__type":"com.amazon.coral.service#InvalidSignatureException"}'
    server.answers = [answer(refusal, 400), answer(b"{}")]
    assert fails(client).trouble is Trouble.DENIED
    assert refusals == [True]
    client.call("GetRecords", {})
    client.close()
    wrong, right = (headers["X-Amz-Date"] for headers, _ in server.seen)
    assert wrong.startswith("20251123T")
    assert right > wrong
