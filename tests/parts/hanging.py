"""Leaves a transaction hanging as a broker does that shuts down at the wrong moment.

By hand, in Kafka's protocol: no client writes messages of a transaction its coordinator knows
nothing of. The broker must not ask the coordinator either: see `LenientBroker`.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping

from bridge.wire.envelope import Headers
from tests.parts.brokers import KafkaBroker

_PRODUCE, _INIT_PRODUCER_ID, _TXN_OFFSET_COMMIT = 0, 22, 28
_TRANSACTIONAL = 0x10
_CRC32C = 0x82F63B78
_TIMEOUT_S = 20


class LenientBroker(KafkaBroker):
    """Takes messages of transactions that were never begun, as brokers before Kafka 3.6 did."""

    def _more_settings(self) -> dict[str, str]:
        return {"transaction.partition.verification.enable": "false"}


class Hanging:
    """One transactional id's transaction that is written and never decided.

    Args:
        bootstrap: a cluster of one broker.
        transactional_id: whose; its owner must be gone.
    """

    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=_TIMEOUT_S)
        self._id = transactional_id
        self._producer, self._epoch = self._initialise()

    def _initialise(self) -> tuple[int, int]:
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            answer = self._ask(_INIT_PRODUCER_ID, 0, _text(self._id) + struct.pack(">i", 15_000))
            error, producer, epoch = struct.unpack_from(">hqh", answer, 4)
            if error == 0:
                return producer, epoch
            # A coordinator that loads or moves.
            assert error in (14, 15, 16, 51), error
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def write(
        self, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers
    ) -> None:
        """A message in a partition, undecided for ever."""
        batch = self._batch(key, value, headers)
        body = _text(self._id) + struct.pack(">hii", -1, _TIMEOUT_S * 1000, 1)
        body += _text(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
        answer = self._ask(_PRODUCE, 3, body)
        (error,) = struct.unpack_from(">h", answer, 4 + 2 + len(topic) + 4 + 4)
        assert error == 0, error

    def move(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Positions of a group, by partition, undecided for ever."""
        body = _text(self._id) + _text(group) + struct.pack(">qh", self._producer, self._epoch)
        body += struct.pack(">i", 1) + _text(topic) + struct.pack(">i", len(positions))
        for partition, offset in positions.items():
            body += struct.pack(">iq", partition, offset) + _text("")
        answer = self._ask(_TXN_OFFSET_COMMIT, 0, body)
        (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
        assert error == 0, error

    def close(self) -> None:
        """Go; what hangs goes on hanging."""
        self._socket.close()

    def _batch(self, key: bytes, value: bytes | None, headers: Headers) -> bytes:
        record = b"\0" + _varint(0) + _varint(0)
        record += _sized(key) + _sized(value) + _varint(len(headers))
        for name, content in headers:
            record += _sized(name.encode()) + _sized(content)
        now_ms = int(time.time() * 1000)
        rest = struct.pack(">hiqqqhii", _TRANSACTIONAL, 0, now_ms, now_ms, self._producer,
                           self._epoch, 0, 1)  # fmt: skip
        rest += _sized(record)
        tail = struct.pack(">ibI", -1, 2, _crc32c(rest)) + rest
        return struct.pack(">qi", 0, len(tail)) + tail

    def _ask(self, api: int, version: int, body: bytes) -> bytes:
        request = struct.pack(">hhi", api, version, 1) + _text("tests") + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._read(4))
        return self._read(size)[4:]

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            piece = self._socket.recv(size - len(read))
            assert piece, "the broker closed the connection: it did not like the request"
            read += piece
        return read


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _sized(content: bytes | None) -> bytes:
    return b"\x01" if content is None else _varint(len(content)) + content


def _varint(number: int) -> bytes:
    zigzag, out = number << 1, bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def _crc32c(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC32C if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
