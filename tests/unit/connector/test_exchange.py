"""An answer read by our own reader is the one that http.client reads, or none for both."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from bridge.connector.exchange import AnswerError, Exchange

OK = b"HTTP/1.1 200 OK\r\n"
GOOD = {
    "a length": OK + b"Content-Length: 5\r\nX-Amz-CRC32:  12 \r\n\r\nhello",
    "nothing": OK + b"content-length:0\r\n\r\n",
    "large": OK + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}",
    "another status": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>",
    "it goes on": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
    "chunks and trailers": OK
    + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\na: b\r\n\r\n",
    "until the end": OK + b"\r\nall of it",
    "the old version": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "the old version, kept": b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    "it closes": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "no body at all": b"HTTP/1.1 204 No Content\r\n\r\n",
}
BAD = {
    "cut short": OK + b"Content-Length: 6\r\n\r\nhello",
    "a cut chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhello",
    "no end of chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "a chunk without length": OK + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
}
# What http.client lets pass, though it is none.
ODD = {
    "cut headers": OK + b"Content-Length: 0\r\nDate",
    "a length of no number": OK + b"Content-Length: +2\r\n\r\n{}",
    "another encoding": OK + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "a chunk of another length": OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
    "no end of headers": OK + b"a: b\r\n" * 300 + b"\r\n",
}
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def send(theirs: socket.socket, answer: bytes) -> None:
    def each() -> None:
        with contextlib.suppress(OSError):  # who has read all of it may have closed already
            theirs.sendall(answer[:1000])
            theirs.sendall(answer[1000:])
            theirs.shutdown(socket.SHUT_WR)

    threading.Thread(target=each, daemon=True).start()  # it may be more than a buffer takes


def read_by_the_library(answer: bytes) -> tuple[int, dict[str, str], bytes, bool]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send(theirs, answer)
        response = http.client.HTTPResponse(ours, method="POST")
        response.begin()
        headers = {name.lower(): value.strip() for name, value in response.headers.items()}
        return response.status, headers, response.read(), response.will_close


@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD)
def test_it_reads_what_the_library_reads(pair: Pair, answer: bytes) -> None:
    ours, theirs = pair
    send(theirs, answer)
    found = Exchange(ours).post({}, b"")
    assert (found.status, found.headers, found.body, found.ends) == read_by_the_library(answer)


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_what_is_none_for_the_library_is_none(pair: Pair, answer: bytes) -> None:
    with pytest.raises((http.client.HTTPException, ValueError)):
        read_by_the_library(answer)
    send(pair[1], answer)
    with pytest.raises(AnswerError):
        Exchange(pair[0]).post({}, b"")


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_it_is_stricter_than_the_library(pair: Pair, answer: bytes) -> None:
    send(pair[1], answer)
    with pytest.raises(AnswerError):
        Exchange(pair[0]).post({}, b"")


def test_an_end_before_the_answer_is_told_apart(pair: Pair) -> None:
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        Exchange(pair[0]).post({}, b"")


def test_the_request_is_one_and_the_connection_serves_the_next(pair: Pair) -> None:
    ours, theirs = pair
    exchange = Exchange(ours)
    for number in range(3):
        theirs.sendall(OK + b"Content-Length: 1\r\n\r\n%d" % number)
        assert exchange.post({"Host": "h", "X-A": "b"}, b"{}").body == b"%d" % number
        asked = theirs.recv(1000)
        assert asked == (
            b"POST / HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: h\r\nX-A: b\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )
    exchange.close()
    assert theirs.recv(1) == b""


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\n", "a\r", "\u20ac"])
def test_no_header_is_sent_that_is_two(pair: Pair, value: str) -> None:
    with pytest.raises(ValueError, match=r"more than one line|codec"):
        Exchange(pair[0]).post({"X-A": value}, b"")
