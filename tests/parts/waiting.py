"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T], *, timeout_s: float, what: str, interval_s: float = 0.05
) -> T:
    """The first truthy value of `predicate`, asked again every `interval_s`.

    Raises:
        AssertionError: `what` did not happen within `timeout_s`; names the last value seen.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}; last seen: {value!r}")
        time.sleep(interval_s)
