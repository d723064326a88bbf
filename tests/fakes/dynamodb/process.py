"""The fake in a process of its own, which ends when its starter does, however that ends."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.fakes.dynamodb.control import Remote

_STOP_TIMEOUT_S = 10.0


@contextlib.contextmanager
def running(*, port: int = 0, virtual_clock: bool = False, **settings: Any) -> Iterator[Remote]:
    """A fake of these `Settings` for the length of a `with`; its `endpoint` and its script.

    Raises RuntimeError when it does not start, for instance because the port is taken.
    """
    command = [sys.executable, "-m", "tests.fakes.dynamodb", "--exit-with-stdin"]
    command += ["--port", str(port)]
    command += ["--virtual-clock"] if virtual_clock else []
    for name, value in settings.items():
        command += ["--set", f"{name}={json.dumps(value)}"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the fake DynamoDB did not start: {process.stderr.read()[-2000:]}")
        yield Remote(line.removeprefix("listening on ").strip())
    finally:
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()
