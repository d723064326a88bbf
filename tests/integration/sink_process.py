"""A sink as a process: `python -m tests.integration.sink_process JSON`.

What `tailrace run sink` does, without the command line. `TAILRACE_FAIL=point[:n]` kills it there,
`TAILRACE_PAUSE=point` makes it stop itself there (SIGSTOP), as a machine that freezes.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from typing import Any

from bridge.control.failpoint import failpoint
from bridge.wire.errors import TailraceError
from bridge.wire.kafka import KafkaConfig
from sinks.dataset import Dataset, Target
from sinks.service import Sink, SinkConfig


def pause_at(wanted: str | None):
    """SIGSTOP at the first passing of a point."""
    left = [wanted]

    def reached(point: str) -> None:
        if point == left[0]:
            left[0] = None
            os.kill(os.getpid(), signal.SIGSTOP)

    return reached


def main(options: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    die, pause = (
        failpoint(os.environ.get("TAILRACE_FAIL")),
        pause_at(os.environ.get("TAILRACE_PAUSE")),
    )

    def both(point: str) -> None:
        die(point)
        pause(point)

    kafka = KafkaConfig(
        brokers=options["brokers"],
        namespace=options["namespace"],
        replica=options.get("replica", "0"),
        static_membership=options.get("static", True),
    )
    config = SinkConfig(
        kafka=kafka,
        targets=tuple(
            Target(Dataset(id=name, **options.get("dataset", {})), ("orders",))
            for name in options["datasets"]
        ),
        lake=options["lake"],
        storage_options=options.get("storage_options", {}),
        freshness_s=0.05,
        batch_rows_max=options.get("batch_rows_max", 50_000),
        failpoint=both,
    )
    try:
        Sink(config).run(stop)
    except TailraceError as error:
        print(f"ended: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
