"""Runs a command that dies with its parent: `python leash.py PARENT_PID COMMAND ARGUMENTS…`.

The command replaces this process, so its pid is the one the parent started. Linux kills it when the
parent is gone, however that happened (PR_SET_PDEATHSIG in prctl(2)); elsewhere the parent's own
clean-up at exit has to do. Standard library only: it runs before anything else is set up.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent_pid, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent_pid:
            raise SystemExit("the parent died before the command began")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise SystemExit(f"{command[0]}: {error.strerror}") from None


if __name__ == "__main__":
    main(sys.argv[1:])
