"""Failpoints: die by SIGKILL at a named place, so that tests can crash a stage where it hurts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from bridge.wire.errors import ConfigurationError

Failpoint = Callable[[str], None]


def no_failpoint(_point: str) -> None:
    """Never fails."""


def failpoint(spec: str | None) -> Failpoint:
    """`"before-commit:3"` -> a callable that kills this process when it gets there a third time.

    Raises:
        ConfigurationError: the count is not a positive number.
    """
    if not spec:
        return no_failpoint
    wanted, _, count = spec.partition(":")
    if count and (not count.isdecimal() or int(count) == 0):
        raise ConfigurationError(
            "the count is not a positive number", where="TAILRACE_FAIL", remedy="Use point[:n]"
        )
    left = int(count or 1)

    def reached(point: str) -> None:
        nonlocal left
        if point != wanted:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached
