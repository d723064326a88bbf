"""The memory of a sink process, shared by its datasets: none may take what the others need.

Open batches have equal shares. Commits are admitted by what they are expected to take, in the order
in which they ask, so that one huge table neither starves the others nor is starved by them: nobody
overtakes, and no commit ever reserves more than half, so that small ones go on beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GIGABYTE = 1024**3
DEFAULT_CEILING = 2 * GIGABYTE
# Interpreter, libraries, Kafka's client: there before the first row.
OVERHEAD_BYTES = 250 * 1024**2
BATCHES_PART = 0.4
# More datasets than these are not all behind at once; if they are, what is free tells.
SHARES_MAX = 8
# A merge reads and writes the files it touches; measured on tables of 1 to 10 million rows.
MERGE_BYTES_PER_BYTE = 4
LEAST_RESERVED = 24 * 1024**2
PREFETCH_PART = 1 / 16
PREFETCH_LEAST, PREFETCH_MOST = 2 * 1024**2, 32 * 1024**2
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = 4096


def resident_bytes() -> int:
    """Memory of this process now; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


class Memory:
    """What a process may take, and who takes it.

    Args:
        ceiling: bytes.
        datasets: how many may be open at a time.
        resident: bytes taken now.
    """

    def __init__(
        self,
        ceiling: int = DEFAULT_CEILING,
        datasets: int = 1,
        resident: Callable[[], int] = resident_bytes,
    ) -> None:
        self._ceiling = ceiling
        self._datasets = max(datasets, 1)
        self._resident = resident
        self._room = max(ceiling - OVERHEAD_BYTES, ceiling // 4)
        self._for_commits = int(self._room * (1 - BATCHES_PART))
        self._reserved = 0
        self._turns: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def batch_bytes(self) -> int:
        """The share of one dataset's open batch."""
        return int(self._room * BATCHES_PART) // min(self._datasets, SHARES_MAX)

    @property
    def prefetch_bytes(self) -> int:
        """What Kafka's client may hold for one dataset beside the open batch."""
        share = int(self._ceiling * PREFETCH_PART) // self._datasets
        return min(max(share, PREFETCH_LEAST), PREFETCH_MOST)

    @property
    def free(self) -> float:
        """The part of the ceiling that is left, 0 to 1."""
        return max(1 - self._resident() / self._ceiling, 0.0)

    def expected(self, batch_bytes: int, table_bytes: int) -> int:
        """What a commit takes beside its batch, from the messages' bytes and the table's."""
        wanted = max(batch_bytes + table_bytes * MERGE_BYTES_PER_BYTE, LEAST_RESERVED)
        return min(wanted, self._for_commits // 2)

    @contextmanager
    def reserved(self, wanted: int, give_up: Callable[[], bool]) -> Iterator[bool]:
        """Wait for one's turn and for `wanted` bytes; False if `give_up` said so before."""
        turn = object()
        granted = False
        with self._changed:
            self._turns.append(turn)
            while not (granted := self._is_free(turn, wanted)) and not give_up():
                self._changed.wait(0.2)
            self._turns.remove(turn)
            if granted:
                self._reserved += wanted
            self._changed.notify_all()
        try:
            yield granted
        finally:
            if granted:
                with self._changed:
                    self._reserved -= wanted
                    self._changed.notify_all()

    def _is_free(self, turn: object, wanted: int) -> bool:
        first = self._turns[0] is turn
        return first and (not self._reserved or self._reserved + wanted <= self._for_commits)
