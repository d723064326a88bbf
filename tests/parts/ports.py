"""Free loopback ports for servers that can't choose one themselves.

They are taken from below the ephemeral range, so that no outgoing connection grabs one between our
look and the server's bind, and at random, so that two test runs on one machine rarely meet.
"""

from __future__ import annotations

import random
import socket
from contextlib import closing

_RANGE = range(20_000, 30_000)
# The system's source: the test run reseeds the module's own generator before every test.
_random = random.SystemRandom()


def free_port() -> int:
    """One port nobody listens on at this moment, on any address."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """`count` different free ports.

    Raises:
        RuntimeError: the range is exhausted.
    """
    found: list[int] = []
    for port in _random.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise RuntimeError(f"no {count} free ports between {_RANGE.start} and {_RANGE.stop}")


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
