"""A processor as a process: `python -m tests.integration.processor_process JSON`.

What `tailrace run processor` does, without the command line: SIGTERM stops it, an error ends it
with one line on standard error and its exit code.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from bridge.control.failpoint import failpoint
from bridge.wire.errors import TailraceError
from bridge.wire.kafka import KafkaConfig
from processors.loader import load_transforms
from processors.service import Processor, ProcessorConfig


def main(options: dict[str, Any]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    faulthandler.register(signal.SIGUSR1)  # a test that waits in vain asks where it stands
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    kafka = KafkaConfig(
        brokers=options["brokers"],
        namespace=options["namespace"],
        replica=options["replica"],
        static_membership=options["static_membership"],
    )
    (transform,) = load_transforms(Path(options["file"]))
    config = ProcessorConfig(
        kafka=kafka,
        transform=transform,
        state_dir=options["state_dir"],
        commit_interval_s=options.get("commit_interval_s", 0.2),
        wait_interval_s=1.0,
    )
    try:
        Processor(config, failpoint=failpoint(os.environ.get("TAILRACE_FAIL"))).run(stop)
    except TailraceError as error:
        print(f"ended: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
