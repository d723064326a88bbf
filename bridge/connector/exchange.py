"""One request and its answer over a connection that is kept, without `http.client`.

That one parses the headers of each answer as those of a mail and sends a request in two parts. A
shard without changes is asked again and again, so what a call costs is most of what it costs.
What is read here is HTTP/1.1 as any server or proxy may send it: a body of a told length, in
chunks, or up to the end of the connection.
Source: RFC 9112, HTTP/1.1.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

_LINE_MAX = 65536
_LINES_MAX = 200
_OPENING = "POST / HTTP/1.1\r\nAccept-Encoding: identity\r\n"
_BODILESS = frozenset({204, 304})


class AnswerError(Exception):
    """What came is not an answer, or not all of one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` by their names in small letters, the last one of a name; `ends`: the connection
    can't be used again."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ends: bool


class Exchange:
    """Requests over one connected socket, one after the other; it is closed with this."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._stream: BinaryIO = connected.makefile("rb")

    def close(self) -> None:
        """Close the connection."""
        try:
            self._stream.close()
        finally:
            self._socket.close()

    def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST to `/`; the headers say all but the length.

        Raises:
            ConnectionError: the connection ended before an answer began.
            OSError, AnswerError: no answer, or a part of one; the connection is of no more use.
            ValueError: headers that can't be sent.
        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not lines.count("\r") == lines.count("\n") == len(headers):
            raise ValueError("a header of more than one line")
        head = f"{_OPENING}{lines}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode("latin-1") + body)
        version, status = self._status()
        found = self._headers()
        while 100 <= status < 200:
            version, status = self._status()
            found = self._headers()
        said = found.get("connection", "").lower()
        ends = "close" in said or (version == b"HTTP/1.0" and "keep-alive" not in said)
        if status in _BODILESS:
            return Answer(status, found, b"", ends)
        if "transfer-encoding" in found:
            if found["transfer-encoding"].lower() != "chunked":
                raise AnswerError("a transfer encoding nobody asked for")
            return Answer(status, found, self._chunks(), ends)
        length = found.get("content-length")
        if length is None:
            return Answer(status, found, self._stream.read(), ends=True)
        if not length.isdecimal():
            raise AnswerError("a length that is no number")
        return Answer(status, found, self._exactly(int(length)), ends)

    def _status(self) -> tuple[bytes, int]:
        line = self._stream.readline(_LINE_MAX)
        if not line:
            raise ConnectionResetError("closed before it answered")
        version, _, rest = line.partition(b" ")
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit():
            raise AnswerError("no status line")
        return version, int(rest[:3])

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for _ in range(_LINES_MAX):
            line = self._stream.readline(_LINE_MAX)
            if line in (b"\r\n", b"\n"):
                return found
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not line.endswith(b"\n"):
                raise AnswerError("headers that are cut short")
            found[name.lower()] = value.strip()
        raise AnswerError("too many headers")

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := self._chunk_size():
            parts.append(self._exactly(size))
            if self._stream.readline(_LINE_MAX) not in (b"\r\n", b"\n"):
                raise AnswerError("a chunk of another length than it said")
        self._headers()  # trailers
        return b"".join(parts)

    def _chunk_size(self) -> int:
        try:
            return int(self._stream.readline(_LINE_MAX).partition(b";")[0], 16)
        except ValueError:
            raise AnswerError("a chunk without its length") from None

    def _exactly(self, size: int) -> bytes:
        body = self._stream.read(size)
        if len(body) != size:
            raise AnswerError("an answer that is cut short")
        return body
