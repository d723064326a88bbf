"""Our sink as a process with its own defaults: `python -m tests.benchmarks.sink_runner JSON`."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from typing import Any

from bridge.wire.kafka import KafkaConfig
from sinks.dataset import Dataset, Target
from sinks.service import Sink, SinkConfig
from tests.benchmarks.sink_load import DATASET, TABLE


def main(options: dict[str, Any]) -> None:
    """Run until told to stop."""
    logging.basicConfig(level=logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    kafka = KafkaConfig(brokers=options["brokers"], namespace=options["namespace"])
    target = Target(Dataset(id=DATASET), (TABLE,))
    Sink(SinkConfig(kafka=kafka, targets=(target,), lake=options["lake"])).run(stop)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
