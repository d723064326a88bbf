"""A connector alone in a process, for tests that kill, pause and restart it."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading

from bridge import DynamoDBSource
from bridge.connector.service import Connector, ConnectorConfig
from bridge.wire.errors import TailraceError
from bridge.wire.kafka import KafkaConfig


def main(order_text: str) -> int:
    order = json.loads(order_text)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(threadName)s %(name)s %(message)s",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sources = tuple(DynamoDBSource(table_name=name, region="us-east-1") for name in order["tables"])
    config = ConnectorConfig(
        kafka=KafkaConfig(**order["kafka"]), sources=sources, **order["settings"]
    )
    try:
        Connector(config).run(stop)
    except TailraceError as error:
        logging.error("%s", error)  # noqa: LOG015, TRY400 (the log of a process under test)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
