"""Free loopback ports for servers that can't choose one themselves.

They are taken from below the ephemeral range, so that no outgoing connection grabs one between our
look and the server's bind, at random, and each is reserved until the process ends: a server that
takes seconds to bind its port, or is down between two starts, finds it free.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import closing
from pathlib import Path

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
        if _reserved(port) and _is_free(port):
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


def _reserved(port: int) -> bool:
    """Whether the port is ours now: no other test process on this machine gets it from here."""
    folder = Path(tempfile.gettempdir()) / "tailrace-test-ports"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True  # the open file keeps it
