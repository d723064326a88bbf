"""A TCP proxy between a stage and a server: it passes, holds, delays, throttles and resets.

One asyncio loop in a thread of its own. What a fault changes is changed for the connections that
are open and for those that come.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from tests.parts.ports import free_port

T = TypeVar("T")

_CHUNK = 64 * 1024
# Read and not delivered, per connection and direction: a wire of any latency holds only so much.
_IN_FLIGHT_MAX = 1024 * 1024
# SO_LINGER of zero seconds: closing sends RST.
_LINGER_NONE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What the wire is like.

    Args:
        holds: nothing arrives on either side, and nothing is refused: packets vanish. Bytes under
            way arrive when it ends, as TCP's repetition would have it.
        round_trip_s: added to each round trip, half of it each way.
        bytes_per_s: at most, per connection and direction; None is without limit.
    """

    holds: bool = False
    round_trip_s: float = 0.0
    bytes_per_s: float | None = None


FAIR = Weather()
BLACK_HOLE = Weather(holds=True)


class Proxy:
    """Listens on `port` of loopback and connects to `target`, also on loopback.

    Args:
        target: the server's port.
        port: its own, by default any that is free.
    """

    def __init__(self, target: int, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.connections_made = 0
        self._target = target
        self._weather = FAIR
        self._open: set[_Connection] = set()
        self._loop: asyncio.AbstractEventLoop
        self._fair: asyncio.Event
        self._over: asyncio.Event
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Listen from now on.

        Raises:
            OSError: the port is taken.
        """
        self._thread.start()
        self._ready.wait(10)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Reset every connection and end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)

    def set(self, weather: Weather) -> None:
        """From now on the wire is like this."""
        self._on_loop(lambda: self._change(weather))

    def reset(self) -> int:
        """RST to both ends of every open connection; how many there were."""
        return self._on_loop(self._reset_all)

    @property
    def connections(self) -> int:
        """Open ones."""
        return len(self._open)

    def _on_loop(self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def _change(self, weather: Weather) -> None:
        self._weather = weather
        if weather.holds:
            self._fair.clear()
        else:
            self._fair.set()

    def _reset_all(self) -> int:
        victims = list(self._open)
        for connection in victims:
            connection.reset()
        return len(victims)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._fair, self._over = asyncio.Event(), asyncio.Event()
        self._fair.set()
        server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        async with server:
            self._ready.set()
            await self._over.wait()
            server.close()
            while self._open:
                self._reset_all()
                for connection in list(self._open):
                    await connection.over()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_made += 1
        connection = _Connection(self, reader, writer)
        self._open.add(connection)
        connection.start(self._target, self._open.discard)

    async def fair(self) -> Weather:
        """The weather, once bytes may arrive again."""
        await self._fair.wait()
        return self._weather

    @property
    def weather(self) -> Weather:
        """As it is now."""
        return self._weather

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Connection:
    """A client's connection and the one to the server behind it."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._task: asyncio.Task[None]

    def start(self, target: int, ended: Callable[[_Connection], None]) -> None:
        """Pass bytes until either side ends it, then call `ended`."""

        def done(_: asyncio.Task[None]) -> None:
            # A task that was cancelled before its first step has closed nothing.
            _abort(self._client[1])
            ended(self)

        self._task = asyncio.get_running_loop().create_task(self._run(target))
        self._task.add_done_callback(done)

    async def _run(self, target: int) -> None:
        writers = [self._client[1]]
        pumps: list[asyncio.Task[None]] = []
        try:
            await self._proxy.fair()  # a handshake takes a working wire
            server = await asyncio.open_connection("127.0.0.1", target)
            writers.append(server[1])
            pumps = [
                asyncio.create_task(self._pump(self._client[0], server[1])),
                asyncio.create_task(self._pump(server[0], self._client[1])),
            ]
            await asyncio.gather(*pumps)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            # Before anything is awaited: a second reset, which cancels that, leaves none open.
            for writer in writers:
                _abort(writer)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def over(self) -> None:
        """Wait for its end."""
        await asyncio.wait({self._task})
        await asyncio.sleep(0)

    def reset(self) -> None:
        """RST to both ends."""
        self._task.cancel()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction. Reading and delivering overlap, so latency takes nothing of the rate."""
        wire = _Wire()
        delivering = asyncio.create_task(self._deliver(wire, sink))
        try:
            while True:
                data = await source.read(_CHUNK)
                due_s = asyncio.get_running_loop().time() + self._proxy.weather.round_trip_s / 2
                await wire.put(due_s, data)
                if not data:
                    break
            await delivering
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    async def _deliver(self, wire: _Wire, sink: asyncio.StreamWriter) -> None:
        while True:
            due_s, data = await wire.get()
            await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
            weather = await self._proxy.fair()
            if weather.bytes_per_s is not None:
                await asyncio.sleep(len(data) / weather.bytes_per_s)
            if not data:
                with contextlib.suppress(OSError):
                    sink.write_eof()
                return
            sink.write(data)
            await sink.drain()


class _Wire:
    """Bytes under way, in order, not more than a wire holds."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, due_s: float, data: bytes) -> None:
        """Once there is room."""
        await self._room.wait()
        self._held += len(data)
        if self._held >= _IN_FLIGHT_MAX:
            self._room.clear()
        self._queue.put_nowait((due_s, data))

    async def get(self) -> tuple[float, bytes]:
        """The next bytes, and when they are due."""
        due_s, data = await self._queue.get()
        self._held -= len(data)
        if self._held < _IN_FLIGHT_MAX:
            self._room.set()
        return due_s, data


def _abort(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()
