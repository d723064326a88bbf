"""The proxy does to a connection what it says, and nothing when told nothing."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.parts.proxy import BLACK_HOLE, FAIR, Proxy, Weather
from tests.parts.waiting import wait_until


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before an echo server."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        with Proxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()
        thread.join(10)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A connection through it that has worked once."""
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        assert exchange(client, b"hello") == b"hello"
        yield client


def exchange(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        data = client.recv(65536)
        if not data:
            return found
        found += data
    return found


def timed(client: socket.socket, data: bytes) -> float:
    begun = time.monotonic()
    assert exchange(client, data) == data
    return time.monotonic() - begun


def test_what_goes_in_comes_out_in_order_and_the_end_with_it(
    proxy: Proxy, client: socket.socket
) -> None:
    data = b"".join(number.to_bytes(4, "big") for number in range(200_000))
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    assert receive(client, len(data)) == data
    sender.join(10)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    wait_until(lambda: proxy.connections == 0, timeout_s=5, what="the connection to be forgotten")


def test_a_black_hole_holds_what_is_sent_and_delivers_it_when_it_ends(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.set(BLACK_HOLE)
    client.sendall(b"later")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as second:
        second.sendall(b"too")
        proxy.set(FAIR)
        client.settimeout(10)
        assert receive(client, 5) == b"later"
        assert receive(second, 3) == b"too"


def test_a_black_hole_takes_no_more_than_a_wire_does(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(BLACK_HOLE)
    client.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 64 * 1024 * 1024:
            sent += client.send(b"x" * 65536)
    assert sent < 32 * 1024 * 1024


def test_latency_is_added_to_a_round_trip_and_takes_nothing_of_the_rate(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.set(Weather(round_trip_s=0.4))
    assert timed(client, b"x") >= 0.4
    # Many chunks under way at once: hardly longer than one, on a busy machine too.
    assert timed(client, b"x" * 640_000) < 0.4 * 10 / 2
    proxy.set(FAIR)
    wait_until(lambda: timed(client, b"x") < 0.4, timeout_s=10, what="a quick answer")


def test_bandwidth_is_bounded_per_direction(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(Weather(bytes_per_s=200_000))
    assert timed(client, b"x" * 100_000) >= 0.5


def test_a_reset_is_an_rst_and_the_next_connection_works(
    proxy: Proxy, client: socket.socket
) -> None:
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as second:
        assert exchange(second, b"again") == b"again"
    assert proxy.connections_made == 2


def test_a_reset_ends_connections_in_a_black_hole_too(proxy: Proxy, client: socket.socket) -> None:
    proxy.set(BLACK_HOLE)
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as second:
        wait_until(lambda: proxy.connections == 2, timeout_s=5, what="both connections")
        assert proxy.reset() == 2
        for each in (client, second):
            with pytest.raises(ConnectionResetError):
                each.recv(1)


def test_a_server_that_is_down_refuses_through_it() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        with (
            Proxy(nobody.getsockname()[1]) as proxy,
            pytest.raises(ConnectionResetError),  # before connect returns, or after
            socket.create_connection(("127.0.0.1", proxy.port), 10) as client,
        ):
            client.recv(1)
