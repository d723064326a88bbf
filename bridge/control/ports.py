"""Free loopback ports, for servers that can't choose one themselves.

Taken at random from below the ephemeral range, so that no outgoing connection takes one between our
look and the server's bind, and two runs on one machine rarely meet.
"""

from __future__ import annotations

import random
import socket
from contextlib import closing

from bridge.wire.errors import TailraceError

_RANGE = range(20_000, 30_000)
_random = random.SystemRandom()


def free_port() -> int:
    """A port nobody listens on at this moment.

    Raises:
        TailraceError: there is none in our range.
    """
    for port in _random.sample(_RANGE, len(_RANGE)):
        if is_free(port):
            return port
    raise TailraceError(
        f"no free port between {_RANGE.start} and {_RANGE.stop - 1}",
        where="127.0.0.1",
        remedy="End the processes that listen there",
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
