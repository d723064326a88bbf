"""In front of the embedded broker: who asks for changes waits for them, as at Kafka.

`python -m bridge.control.relay PORT PROGRAM OPTION…` runs the broker on a port of its own, which it
adds as the last argument, and serves PORT. It ends when the broker ends, with its exit code, and
ends the broker when it is told to end.

The broker answers a fetch at once also if there is nothing to fetch; a client then asks again, so
that each one keeps a core busy for as long as nothing happens. Here, after two answers that say the
same, the next fetch is held until somebody has written something, or for as long as the client
would have waited. What the broker says of its own address becomes that of the relay.
Source: Kafka protocol guide, "Fetch API": `max_wait_ms`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

from bridge.control.ports import free_port
from bridge.control.tether import tethered

_HOST = "127.0.0.1"
_PRODUCE, _FETCH, _METADATA, _FIND_COORDINATOR, _END_TXN, _DESCRIBE_CLUSTER = 0, 1, 3, 10, 26, 60
_NAMING = frozenset({_METADATA, _FIND_COORDINATOR, _DESCRIBE_CLUSTER})
_WRITING = frozenset({_PRODUCE, _END_TXN})
# Before which version a fetch has other fields in front of how long it may wait.
_FETCH_FLEXIBLE, _FETCH_UNKNOWN = 12, 15
_WAIT_S = 0.1
_WAIT_MAX_S = 1.0
# Longer answers have messages in them.
_ALIKE_BYTES_MAX = 16 * 1024


class Changes:
    """Counts what was written, and wakes who waits for more."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def written(self) -> None:
        """Something was."""
        self.count += 1
        woken, self._next = self._next, asyncio.Event()
        woken.set()

    async def more_than(self, count: int, timeout_s: float) -> None:
        """Wait until there are, or for so long."""
        if self.count == count:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._next.wait(), timeout_s)


class Connection:
    """A client's connection and the one to the broker that stands for it.

    Args:
        client: the client's ends.
        broker: the broker's ends.
        ports: the broker's port and the relay's.
        changes: of all connections.
    """

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        ports: tuple[int, int],
        changes: Changes,
    ) -> None:
        self._from_client, self._to_client = client
        self._from_broker, self._to_broker = broker
        said, wanted = (_HOST.encode() + port.to_bytes(4, "big") for port in ports)
        self._said, self._wanted = said, wanted
        self._changes = changes
        self._asked: dict[bytes, int] = {}
        self._answer = b""
        self._seen = 0
        self._again = False

    async def serve(self) -> None:
        """Relay until either end closes."""
        ways = [asyncio.create_task(way) for way in (self._requests(), self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for writer in (self._to_client, self._to_broker):
                writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while True:
            frame = await _frame(self._from_client)
            key = int.from_bytes(frame[4:6], "big")
            if key == _FETCH:
                if self._again:
                    await self._changes.more_than(self._seen, _wait_s(frame))
                self._seen = self._changes.count
            self._asked[frame[8:12]] = key
            self._to_broker.write(frame)
            await self._to_broker.drain()

    async def _answers(self) -> None:
        while True:
            frame = await _frame(self._from_broker)
            key = self._asked.pop(frame[4:8], None)
            if key == _FETCH:
                answer, before = frame[8:], self._answer
                self._again, self._answer = _alike(answer, before), answer
            elif key in _WRITING:
                self._changes.written()
            elif key in _NAMING:
                frame = frame.replace(self._said, self._wanted)
            self._to_client.write(frame)
            await self._to_client.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "big"))


def _alike(one: bytes, other: bytes) -> bool:
    """Whether two answers say the same; a client names its partitions in ever another order."""
    return len(one) == len(other) <= _ALIKE_BYTES_MAX and sorted(one) == sorted(other)


def _wait_s(fetch: bytes) -> float:
    """How long the client lets a fetch wait; the frame is its length, the header and the body."""
    version = int.from_bytes(fetch[6:8], "big")
    if version >= _FETCH_UNKNOWN:
        return _WAIT_S
    name_length = max(int.from_bytes(fetch[12:14], "big", signed=True), 0)
    # Before it: the header's tagged fields, of which there are none, and the replica's number.
    at = 14 + name_length + (version >= _FETCH_FLEXIBLE) + 4
    return min(int.from_bytes(fetch[at : at + 4], "big") / 1000, _WAIT_MAX_S)


class Relay:
    """Serves one port for a broker that listens on another."""

    def __init__(self, port: int, broker_port: int) -> None:
        self._ports = broker_port, port
        self._changes = Changes()
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, ended: Coroutine[Any, Any, int]) -> int:
        """Relay until the broker has ended; its exit code."""
        code = asyncio.create_task(ended)
        server = await asyncio.start_server(self._connected, _HOST, self._ports[1])
        try:
            return await code
        finally:
            server.close()
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            broker = await asyncio.open_connection(_HOST, self._ports[0])
        except OSError:
            writer.close()  # not there yet, or not any more: the client tries again
            return
        await Connection((reader, writer), broker, self._ports, self._changes).serve()


async def _run(port: int, broker_port: int, broker: subprocess.Popen[bytes]) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, broker.terminate)

    async def ended() -> int:
        return await asyncio.to_thread(broker.wait)

    return await Relay(port, broker_port).serve(ended())


def main(arguments: list[str]) -> int:
    """Run a broker behind a port; its exit code, 128 + N after signal N."""
    port, *command = arguments
    broker_port = free_port()
    whole = tethered([*command, str(broker_port)])
    # Its input, a pipe where it is guarded, is held open until this process ends.
    broker = subprocess.Popen(whole, stdin=subprocess.PIPE, start_new_session=True)
    code = asyncio.run(_run(int(port), broker_port, broker))
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
