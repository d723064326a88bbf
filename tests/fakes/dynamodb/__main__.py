"""The fake as a process: `python -m tests.fakes.dynamodb --port 0 --set shards=8`.

It prints `listening on URL` once it can be reached, and ends on SIGTERM, on SIGINT, or with
`--exit-with-stdin` when its standard input is closed, so that it never outlives its test.
"""

import argparse
import signal
import sys
import threading
from typing import Any

import orjson

from tests.fakes.dynamodb import FakeDynamoDB, SystemClock, VirtualClock, World


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.dynamodb", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--virtual-clock", action="store_true")
    parser.add_argument("--exit-with-stdin", action="store_true")
    parser.add_argument(
        "--set", dest="settings", metavar="NAME=VALUE", type=_setting, action="append", default=[]
    )
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = VirtualClock() if options.virtual_clock else SystemClock()
    world = World(clock=clock, **dict(options.settings))
    with FakeDynamoDB(world, host=options.host, port=options.port) as server:
        print(f"listening on {server.endpoint}", flush=True)
        if options.exit_with_stdin:
            threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
        stop.wait()


def _wait_for_end(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


if __name__ == "__main__":
    main()
