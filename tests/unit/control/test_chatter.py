"""What librdkafka says becomes log lines; the rest passes."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import os, sys
from bridge.control.chatter import captured
from bridge.control.logs import configure_logging
configure_logging(stage="sink", client={client})
with captured():
    os.write(2, b"%3|1763907404.123|FAIL|t.0#producer-1| [thrd:x]: Connect failed\\n")
    print("ours", file=sys.stderr)
    {rest}
print("after", file=sys.stderr)
"""
UNFINISHED = """os.write(2, b"no line's end")"""


def said(*, client: bool, rest: str = "pass") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(client=client, rest=rest)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stderr.splitlines()


def test_a_line_of_the_client_is_a_log_line() -> None:
    (line,) = [json.loads(text) for text in said(client=True) if text.startswith("{")]

    assert (line["event"], line["kind"], line["client"]) == (
        "kafka client",
        "FAIL",
        "t.0#producer-1",
    )
    assert line["text"] == "[thrd:x]: Connect failed"


def test_everything_else_passes_in_order() -> None:
    assert said(client=False, rest=UNFINISHED) == ["ours", "no line's endafter"]
