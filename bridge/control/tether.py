"""Ties a child to its parent: however the parent ends, SIGKILL included, the child ends too.

`python tether.py exec PARENT_PID COMMAND…` (Linux) asks the kernel to kill it with its parent, then
becomes the command, so the pid the parent knows is the command's own. The kernel watches the
*thread* that started the child: start children from a thread that lives as long as they should.

`python tether.py guard COMMAND…` (elsewhere) runs the command as a child and holds standard input,
a pipe from the parent: when it closes, the parent is gone and the command is killed. Signals to end
are passed on, and its exit code is the command's.

Standard library only, and run by path: nothing else has to be importable.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def tethered(command: Sequence[str], *, guard: bool = sys.platform != "linux") -> list[str]:
    """The command line that runs `command` on a tether to this process.

    With `guard`, its standard input must be a pipe that only this process holds open.
    """
    mode = ["guard"] if guard else ["exec", str(os.getpid())]
    return [sys.executable, "-I", str(Path(__file__)), *mode, *command]


def _exec(parent_pid: int, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        raise SystemExit("the parent ended before the command began")
    os.execvp(command[0], command)  # noqa: S606 (that is its job)


def _guard(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    threading.Thread(target=_kill_at_eof, args=(child,), daemon=True).start()
    code = child.wait()
    return 128 - code if code < 0 else code


def _kill_at_eof(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    child.kill()


def main(arguments: list[str]) -> None:
    """Run as a script."""
    match arguments:
        case ["exec", parent_pid, *command]:
            _exec(int(parent_pid), command)
        case ["guard", *command]:
            sys.exit(_guard(command))


if __name__ == "__main__":
    main(sys.argv[1:])
