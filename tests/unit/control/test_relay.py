"""What stands before the embedded broker, with a broker of our own behind it that says little."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.control.ports import free_port, is_free
from bridge.control.relay import Changes, Relay, _wait_s
from tests.parts.process import Process
from tests.parts.waiting import wait_until

PRODUCE, FETCH, METADATA, LIST_OFFSETS, END_TXN = 0, 1, 3, 2, 26
Answer = Callable[[int, bytes], bytes]


def request(key: int, number: int, body: bytes = b"", *, version: int = 12) -> bytes:
    """A frame: its length, the header of version 2 with a client's name, the body."""
    name = b"somebody"
    header = key.to_bytes(2, "big") + version.to_bytes(2, "big") + number.to_bytes(4, "big")
    header += len(name).to_bytes(2, "big") + name + (b"\0" if version >= 12 else b"")
    return (len(header) + len(body)).to_bytes(4, "big") + header + body


def fetch(number: int, wait_ms: int, *, version: int = 12) -> bytes:
    replica = (2**32 - 1).to_bytes(4, "big")
    return request(FETCH, number, replica + wait_ms.to_bytes(4, "big") + b"rest", version=version)


class Server:
    """Answers each frame with the text that `answer` makes of its kind and bytes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with connected, connected.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                body = stream.read(int.from_bytes(head, "big"))
                key = int.from_bytes(body[:2], "big")
                self.asked.append(key)
                said = body[4:8] + self._answer(key, body)
                connected.sendall(len(said).to_bytes(4, "big") + said)

    def close(self) -> None:
        self._listening.close()


class Client:
    """A client of the relay."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._stream = self._socket.makefile("rb")

    def ask(self, frame: bytes) -> bytes:
        self.send(frame)
        return self.answer(frame)

    def send(self, frame: bytes) -> None:
        self._socket.sendall(frame)

    def answer(self, frame: bytes) -> bytes:
        said = self._stream.read(int.from_bytes(self._stream.read(4), "big"))
        assert said[:4] == frame[8:12], "another request's answer"
        return said[4:]

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@contextmanager
def relayed(answer: Answer) -> Iterator[tuple[int, Server]]:
    """A relay in a thread; its port and the server behind it."""
    server, port = Server(answer), free_port()
    ended = threading.Event()

    async def until_ended() -> int:
        await asyncio.to_thread(ended.wait)
        return 0

    thread = threading.Thread(
        target=lambda: asyncio.run(Relay(port, server.port).serve(until_ended()))
    )
    thread.start()
    wait_until(lambda: not is_free(port), timeout_s=10, what="the relay")
    try:
        yield port, server
    finally:
        ended.set()
        thread.join(10)
        server.close()


def same(_key: int, _body: bytes) -> bytes:
    return b"nothing"


@pytest.mark.parametrize("writing", [PRODUCE, END_TXN])
def test_a_fetch_that_got_the_same_twice_waits_for_somebody_to_write(writing: int) -> None:
    with relayed(same) as (port, server):
        reader, writer = Client(port), Client(port)
        for number in (1, 2):
            assert reader.ask(fetch(number, 900)) == b"nothing"
        held = fetch(3, 900)
        reader.send(held)
        assert writer.ask(request(LIST_OFFSETS, 4)) == b"nothing"
        assert server.asked == [FETCH, FETCH, LIST_OFFSETS]  # it is held, and holds nobody else
        assert writer.ask(request(writing, 5)) == b"nothing"
        assert reader.answer(held) == b"nothing"
        assert server.asked == [FETCH, FETCH, LIST_OFFSETS, writing, FETCH]
        reader.close()
        writer.close()


def test_what_was_written_since_the_last_fetch_is_not_waited_for() -> None:
    with relayed(same) as (port, server):
        reader, writer = Client(port), Client(port)
        for number in range(1, 50):
            reader.ask(fetch(number, 2**31 - 1))
            writer.ask(request(PRODUCE, number))
        assert server.asked == [FETCH, PRODUCE] * 49
        reader.close()
        writer.close()


def test_it_waits_no_longer_than_the_client_does() -> None:
    with relayed(same) as (port, _):
        reader = Client(port)
        for number in range(1, 20):
            assert reader.ask(fetch(number, 1)) == b"nothing"
        reader.close()


def test_partitions_in_another_order_say_the_same_and_new_numbers_do_not() -> None:
    answers = iter([b"p0p1p2", b"p2p0p1", b"p1p2p0"])
    with relayed(lambda key, _: next(answers) if key == FETCH else b"") as (port, server):
        reader, writer = Client(port), Client(port)
        reader.ask(fetch(1, 900))
        reader.ask(fetch(2, 900))
        held = fetch(3, 900)
        reader.send(held)
        writer.ask(request(LIST_OFFSETS, 4))
        assert server.asked == [FETCH, FETCH, LIST_OFFSETS]
        writer.ask(request(PRODUCE, 5))
        reader.answer(held)
        reader.close()
        writer.close()
    count = iter(range(10**6))
    with relayed(lambda _, __: b"offset %06d" % next(count)) as (port, server):
        reader = Client(port)
        for number in range(200):  # who reads on is never held: a second each would show
            reader.ask(fetch(number, 2**31 - 1))
        assert len(server.asked) == 200
        reader.close()


def test_the_brokers_own_address_becomes_the_relays() -> None:
    place: dict[str, int] = {}

    def answer(_key: int, _body: bytes) -> bytes:
        return b"\x0a127.0.0.1" + place["port"].to_bytes(4, "big") + b"and more"

    with relayed(answer) as (port, server):
        place["port"] = server.port
        client = Client(port)
        said = client.ask(request(METADATA, 1))
        assert said == b"\x0a127.0.0.1" + port.to_bytes(4, "big") + b"and more"
        assert client.ask(fetch(2, 1)) == answer(FETCH, b"")  # messages stay as they are
        client.close()


def test_large_frames_pass_both_ways() -> None:
    with relayed(lambda _, body: body) as (port, _server):
        client = Client(port)
        body = os.urandom(20 * 1024 * 1024)
        assert client.ask(request(PRODUCE, 1, body)).endswith(body)
        client.close()


@pytest.mark.parametrize("version", [4, 11, 12, 14])
def test_how_long_a_fetch_waits_is_read_from_it(version: int) -> None:
    assert _wait_s(fetch(1, 250, version=version)) == 0.25
    assert _wait_s(fetch(1, 10**6, version=version)) == 1.0
    assert _wait_s(fetch(1, 250, version=15)) == 0.1


def test_who_waits_is_woken_by_the_next_change_only() -> None:
    async def run() -> None:
        changes = Changes()
        await changes.more_than(-1, 60)
        waiting = [asyncio.create_task(changes.more_than(0, 60)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        changes.written()
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
        await asyncio.wait_for(changes.more_than(1, 0.001), 10)

    asyncio.run(run())


PROGRAM = """
import signal, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[-1])))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("listening", sys.argv[-1], flush=True)
time.sleep(600)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Process]:
    """A relay with a broker that only listens; the log says where."""
    script = tmp_path / "broker.py"
    script.write_text(PROGRAM)
    command = [sys.executable, "-m", "bridge.control.relay", str(free_port())]
    process = Process("relay", [*command, sys.executable, str(script)], log=tmp_path / "relay.log")
    process.start()
    wait_until(lambda: "listening" in process.log_tail(), timeout_s=30, what="the broker")
    yield process
    process.kill()


def listening_at(process: Process) -> int:
    return int(process.log_tail(1).split()[-1])


def test_it_ends_the_broker_and_gives_its_exit_code(program: Process) -> None:
    port = listening_at(program)
    os.kill(program.pid, signal.SIGTERM)
    assert program.wait(timeout_s=30) == 7
    assert is_free(port)


def test_the_broker_never_outlives_it(program: Process) -> None:
    port = listening_at(program)
    os.kill(program.pid, signal.SIGKILL)
    wait_until(lambda: is_free(port), timeout_s=30, what="the broker to be gone")
