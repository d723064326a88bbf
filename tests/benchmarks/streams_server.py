"""A DynamoDB and Streams server made for speed: prepared answers, one table, no faults.

Run as `python -m tests.benchmarks.streams_server '{"port": …, "shards": …}'`. Until it is told to
begin every shard is empty, so readers can be started, settled and metered first. It keeps no state
of its readers: a position is in the iterator, so any number of processes may read. It counts calls
in sliding seconds, which is how AWS limits them.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks import answers
from tests.benchmarks.answers import Answers, Place

_PAGE_SHARDS = 100
_HEAD = (
    b"HTTP/1.1 %d -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n"
    b"x-amz-crc32: %d\r\nx-amzn-RequestId: 0\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the table's stream holds: `pages` answers of `records` in each of the first `busy`."""

    shards: int
    busy: int
    pages: int
    records: int = 1000

    @property
    def total(self) -> int:
        """All records."""
        return self.busy * self.pages * self.records


@dataclass(slots=True)
class Rate:
    """The most calls in any second."""

    most: int = 0
    _recent: deque[float] = field(default_factory=deque)

    def count(self, now_s: float) -> None:
        """One more call, now."""
        self._recent.append(now_s)
        while self._recent[0] <= now_s - 1.0:
            self._recent.popleft()
        self.most = max(self.most, len(self._recent))


class Streams:
    """The answers, and what is known about the calls."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answers = Answers(load.records)
        self._answers.page(0, 0)  # made ready before the first reader
        self._began = False
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._read: Counter[int] = Counter()
        self._served: set[tuple[int, int]] = set()
        self._describe_rate = Rate()
        self._shard_rates: defaultdict[int, Rate] = defaultdict(Rate)
        self._operations: dict[str, Callable[[dict[str, Any]], bytes | bytearray]] = {
            "GetRecords": self._get_records,
            "GetShardIterator": self._get_shard_iterator,
            "DescribeStream": self._describe_stream,
            "DescribeTable": self._describe_table,
            "Scan": lambda _: b'{"Items":[],"Count":0,"ScannedCount":0}',
            "Begin": self._begin,
            "Stats": self._stats,
        }

    def answer(self, operation: str, body: bytes) -> tuple[int, bytes | bytearray]:
        """Status and body."""
        carry_out = self._operations.get(operation)
        if carry_out is None:
            return 400, b'{"__type":"UnknownOperationException"}'
        with self._lock:
            self._calls[operation] += 1
        return 200, carry_out(json.loads(body or b"{}"))

    def _get_records(self, request: dict[str, Any]) -> bytes | bytearray:
        shard, page = answers.iterator_place(request["ShardIterator"])
        held = self._began and shard < self._load.busy and page < self._load.pages
        with self._lock:
            self._shard_rates[shard].count(time.monotonic())
            self._read[shard] += 1
            if held:
                self._served.add((shard, page))
        return self._answers.page(shard, page) if held else answers.empty(shard, page)

    def _get_shard_iterator(self, request: dict[str, Any]) -> bytes:
        page = 0
        if request["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER":
            place = Place.of(request["SequenceNumber"])
            assert place.record == self._load.records - 1, "positions lie at the ends of pages"
            page = place.page + 1
        iterator = answers.iterator_of(answers.shard_number(request["ShardId"]), page)
        return json.dumps({"ShardIterator": iterator}).encode()

    def _describe_stream(self, request: dict[str, Any]) -> bytes:
        with self._lock:
            self._describe_rate.count(time.monotonic())
        after = request.get("ExclusiveStartShardId")
        first = answers.shard_number(after) + 1 if after else 0
        last = min(first + _PAGE_SHARDS, self._load.shards)
        listed = [] if "ShardFilter" in request else [_shard(n) for n in range(first, last)]
        description = {**_stream(), "StreamStatus": "ENABLED", "Shards": listed}
        if listed and last < self._load.shards:
            description["LastEvaluatedShardId"] = listed[-1]["ShardId"]
        return json.dumps({"StreamDescription": description}).encode()

    def _describe_table(self, _request: dict[str, Any]) -> bytes:
        table = {
            "TableName": answers.TABLE,
            "TableStatus": "ACTIVE",
            "KeySchema": _KEY_SCHEMA,
            "AttributeDefinitions": [{"AttributeName": answers.HASH_NAME, "AttributeType": "S"}],
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": _VIEW_TYPE},
            "LatestStreamArn": answers.ARN,
            "LatestStreamLabel": answers.LABEL,
        }
        return json.dumps({"Table": table}).encode()

    def _begin(self, _request: dict[str, Any]) -> bytes:
        self._began = True
        return b"{}"

    def _stats(self, _request: dict[str, Any]) -> bytes:
        with self._lock:
            stats = {
                "pages_served": len(self._served),
                "shards_asked": len(self._read),
                "calls_least": min(self._read.values(), default=0),
                "get_records": self._calls["GetRecords"],
                "get_records_per_shard_s": max(
                    (r.most for r in self._shard_rates.values()), default=0
                ),
                "describe_stream_s": self._describe_rate.most,
            }
        return json.dumps(stats).encode()

    def _most_per_shard(self) -> int:
        return max((rate.most for rate in self._shard_rates.values()), default=0)


_KEY_SCHEMA = [{"AttributeName": answers.HASH_NAME, "KeyType": "HASH"}]
_VIEW_TYPE = "NEW_AND_OLD_IMAGES"


def _stream() -> dict[str, Any]:
    return {
        "StreamArn": answers.ARN,
        "StreamLabel": answers.LABEL,
        "StreamViewType": _VIEW_TYPE,
        "TableName": answers.TABLE,
        "KeySchema": _KEY_SCHEMA,
    }


def _shard(number: int) -> dict[str, Any]:
    start = {"StartingSequenceNumber": Place(number, 0, 0).sequence}
    return {"ShardId": answers.shard_id(number), "SequenceNumberRange": start}


def _serve(connection: socket.socket, streams: Streams) -> None:
    """Requests of one connection, until it is closed."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = bytearray()
    with connection:
        while True:
            while (end := received.find(b"\r\n\r\n")) < 0:
                if not _receive(connection, received):
                    return
            fields = _fields(bytes(received[:end]))
            rest = end + 4 + int(fields.get("content-length", "0"))
            while len(received) < rest:
                if not _receive(connection, received):
                    return
            operation = fields.get("x-amz-target", "").rpartition(".")[2]
            status, body = streams.answer(operation, bytes(received[end + 4 : rest]))
            del received[:rest]
            connection.sendall(_HEAD % (status, len(body), zlib.crc32(body)) + body)


def _receive(connection: socket.socket, received: bytearray) -> bool:
    try:
        part = connection.recv(65536)
    except ConnectionError:
        return False
    received += part
    return bool(part)


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    named = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in named}


def main(order_text: str) -> None:
    order = json.loads(order_text)
    streams = Streams(Load(**order["load"]))
    with socket.create_server(("127.0.0.1", order["port"]), backlog=256) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, streams), daemon=True).start()


def order_of(load: Load, port: int) -> str:
    """The argument of `main`."""
    return json.dumps({"port": port, "load": asdict(load)})


if __name__ == "__main__":
    main(sys.argv[1])
