"""CPU time and memory of another process, all of its threads included."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path

_LINUX = platform.system() == "Linux"


def cpu_s(pid: int) -> float:
    """User and system seconds so far; on Linux exact, elsewhere as `ps` rounds them."""
    if _LINUX:
        # The clock of another process: clock_getcpuclockid(3), whose number the kernel's ABI fixes.
        return time.clock_gettime((~pid << 3) | 2)
    hours, minutes, seconds = f"0:0:{_ps(pid, 'time')}".rsplit(":", 2)
    return int(hours.rpartition(":")[2]) * 3600 + int(minutes) * 60 + float(seconds)


def peak_rss_bytes(pid: int) -> int:
    """The most memory it ever held; outside Linux what it holds now."""
    if _LINUX:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return int(_ps(pid, "rss")) * 1024


def rss_bytes(pid: int) -> int:
    """The memory it holds now."""
    if _LINUX:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return int(_ps(pid, "rss")) * 1024


def _ps(pid: int, column: str) -> str:
    command = ["ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
