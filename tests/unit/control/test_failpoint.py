"""Failpoints: die where told, the n-th time."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from bridge.control.failpoint import failpoint
from bridge.wire.errors import ConfigurationError


def test_none_never_fails() -> None:
    reached = failpoint(None)
    reached("anything")


def test_dies_the_third_time() -> None:
    code = (
        "from bridge.control.failpoint import failpoint\n"
        "reached = failpoint('commit:3')\n"
        "for n in range(5):\n"
        "    reached('other'); print(n, flush=True); reached('commit')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]


@pytest.mark.parametrize("spec", ["commit:x", "commit:0", "commit:-1"])
def test_a_wrong_count_is_refused(spec: str) -> None:
    with pytest.raises(ConfigurationError, match="TAILRACE_FAIL"):
        failpoint(spec)
