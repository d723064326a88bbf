"""A folder for RocksDB state that no other process has open.

A processor that was paused still holds the locks of its state when its successor starts on the same
disk. Waiting for them would stop the successor for as long as the pause lasts, so it takes the next
folder and recovers from the changelogs.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
from pathlib import Path

_LOCK = "owner.lock"


class StateFolder:
    """The first free numbered folder under `base`, ours until `close` or the end of the process."""

    def __init__(self, base: Path) -> None:
        for number in itertools.count():
            path = base / str(number)
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            self.path = path
            self._lock = lock
            return

    def clear(self) -> None:
        """Drop all state, to be called before it is opened."""
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)
