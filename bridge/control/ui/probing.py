"""Asks the processes that can be reached from here whether they are there.

A process's port may be closed to this machine, so silence means nothing of who never answered.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.control.status.model import Worker

_TIMEOUT_S = 1.0
_THREADS = 8
_PROBED_MAX = 200

Answers = Callable[[str], bool]
_EVERYWHERE = frozenset({"0.0.0.0", "::", "[::]", ""})


def address_of(worker: Worker, here: str | None = None) -> str | None:
    """Where a process can be asked from here, `host:port`; None where it can't, or may not be.

    An address of another machine's loopback is somebody else's here.
    """
    host, _, port = (worker.metrics or "").rpartition(":")
    if not port:
        return None
    if host in _EVERYWHERE:
        return f"{worker.host}:{port}"
    local = host in ("localhost", "[::1]", "::1") or host.startswith("127.")
    if local and worker.host != (here or socket.gethostname()):
        return None
    return worker.metrics


def addresses(workers: Iterable[Worker]) -> list[str]:
    """Of all that can be asked."""
    return [address for worker in workers if (address := address_of(worker)) is not None]


def answers(address: str) -> bool:
    """Whether somebody listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False


class Probes:
    """Who answered before and does not now.

    Args:
        ask: whether an address answers.
        clock: seconds, monotonic.
    """

    def __init__(self, ask: Answers = answers, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._answered: set[str] = set()
        self._refuses_since: dict[str, float] = {}

    def probe(self, addresses: Iterable[str]) -> dict[str, float]:
        """Ask all of them; for how many seconds who once answered has not."""
        wanted = list(dict.fromkeys(addresses))[:_PROBED_MAX]
        now_s = self._clock()
        with ThreadPoolExecutor(_THREADS) as pool:
            found = dict(zip(wanted, pool.map(self._ask, wanted), strict=True))
        self._answered = {a for a in wanted if found[a] or a in self._answered}
        for address in wanted:
            if found[address]:
                self._refuses_since.pop(address, None)
            elif address in self._answered:
                self._refuses_since.setdefault(address, now_s)
        self._refuses_since = {a: s for a, s in self._refuses_since.items() if a in found}
        return {address: now_s - since for address, since in self._refuses_since.items()}
