"""What the Kafka client library says on standard error, as log lines like any other.

librdkafka writes there past Python (`%3|1763…|FAIL|…`): in the middle of a drawn screen, beside the
one line that explains a problem, or between lines of JSON. Here each becomes a record of the logger
`librdkafka`; everything else that is written there passes unchanged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator

logger = logging.getLogger("librdkafka")

_LINE = re.compile(rb"%(\d)\|[\d.]+\|(\w+)\|([^|]*)\|\s?(.*)", re.DOTALL)
# syslog's severities up to "error" are worth a warning: the stage decides what is an error.
_WARNING_MAX = 4


@contextlib.contextmanager
def captured() -> Iterator[None]:
    """Take over standard error for the block."""
    sys.stderr.flush()
    original = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    thread = threading.Thread(
        target=_forward, args=(reading, original), name="chatter", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(original, 2)  # closes the pipe's last writing end: the thread comes to its end
        thread.join(2)
        os.close(original)


def _forward(reading: int, original: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                os.write(original, line)
            else:
                _log(*(part.decode("utf-8", "replace").strip() for part in found.groups()))


def _log(severity: str, event: str, client: str, text: str) -> None:
    level = logging.WARNING if int(severity) <= _WARNING_MAX else logging.INFO
    logger.log(level, "kafka client", extra={"kind": event, "client": client, "text": text})
