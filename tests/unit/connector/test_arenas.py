"""Malloc is limited where it is glibc's and nobody else has spoken."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from bridge.connector import arenas

# Blocks too large for Python's own allocator, in eight threads that are all alive; then how many
# heaps malloc names.
_COUNT = """
import ctypes, sys, threading
from bridge.connector.arenas import limit_arenas
limited = sys.argv[1] == "limited" and limit_arenas()
gate, kept = threading.Barrier(9), []
def work():
    kept.append([bytearray(1000) for _ in range(100)])
    gate.wait(20)
    gate.wait(20)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
gate.wait(20)
ctypes.CDLL(None).malloc_stats()
gate.wait(20)
for thread in threads: thread.join()
print(limited)
"""


def heaps(how: str, **environment: str) -> tuple[bool, int]:
    """Whether the limit was set, and the number of heaps."""
    clean = {name: value for name, value in os.environ.items() if name not in arenas._TUNABLES}
    run = subprocess.run(
        [sys.executable, "-c", _COUNT, how],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return run.stdout.strip() == "True", run.stderr.count("Arena ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_many_threads_share_two_heaps() -> None:
    assert heaps("limited") == (True, 2)
    assert heaps("free")[1] > 2
    assert heaps("limited", MALLOC_ARENA_MAX="3") == (False, 3)


def test_another_malloc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not arenas.limit_arenas()
