"""Logs: one line per event, JSON for machines, short text on a terminal, secrets never.

Messages are event phrases; what belongs to the event comes as fields (`extra=`).
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from bridge.wire.errors import TailraceError

logger = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRET_LENGTH_MIN = 4  # a shorter "secret" would blank out ordinary words
_PATTERNS = (
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"(?i)(?<=password=)[^\s,;&]+"),
    re.compile(r"(?i)(?<=secret=)[^\s,;&]+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
# Libraries that say more than a person wants to read at INFO.
_QUIET = ("botocore", "boto3", "urllib3", "s3transfer", "quixstreams", "werkzeug")


class Redactor:
    """Takes known secrets, and what looks like one, out of a line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {text for text in secrets if len(text) >= _SECRET_LENGTH_MIN}
        escaped = {json.dumps(text, ensure_ascii=False)[1:-1] for text in known}
        self._secrets = sorted(known | escaped, key=len, reverse=True)

    def clean(self, line: str) -> str:
        """The line with `***` in their places."""
        for secret in self._secrets:
            line = line.replace(secret, "***")
        for pattern in _PATTERNS:
            line = pattern.sub("***", line)
        return line


class LineFormatter(logging.Formatter):
    """A record as exactly one line: `12:30:01 INFO sink committed version=41`, or JSON."""

    def __init__(self, *, stage: str, as_json: bool, redactor: Redactor) -> None:
        super().__init__()
        self._stage = stage
        self._as_json = as_json
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            fields["traceback"] = "".join(frames_of(record.exc_info[1]))
        line = self._json(record, fields) if self._as_json else self._text(record, fields)
        return self._redactor.clean(line).replace("\r", "\\r").replace("\n", "\\n")

    def _json(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "stage": self._stage,
            "logger": record.name,
            "event": record.getMessage(),
        }
        return json.dumps(head | fields, default=str, ensure_ascii=False)

    def _text(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        rest = "".join(f" {name}={value}" for name, value in fields.items() if name != "stage")
        return f"{moment} {record.levelname} {self._stage}: {record.getMessage()}{rest}"


def frames_of(error: BaseException | None) -> list[str]:
    """A traceback without what the errors said, which may quote an item; ours never do."""
    lines: list[str] = []
    for each in _chain(error):
        lines += traceback.format_tb(each.__traceback__)
        said = f": {each}" if isinstance(each, TailraceError) else ""
        lines.append(f"{type(each).__name__}{said}\n")
    return lines


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error and what caused it, the first cause first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found[::-1]


def _unhandled(error: BaseException | None, where: str) -> None:
    if not isinstance(error, (SystemExit, KeyboardInterrupt, type(None))):
        logger.error(
            "unhandled error",
            exc_info=(type(error), error, error.__traceback__),
            extra={"in": where},
        )


def log_unhandled() -> None:
    """What nobody catches goes to the log too: Python's own lines would quote what it said."""
    sys.excepthook = lambda _kind, error, _trace: _unhandled(error, "main")
    threading.excepthook = lambda args: _unhandled(
        args.exc_value, args.thread.name if args.thread else "a thread"
    )
    sys.unraisablehook = lambda args: _unhandled(args.exc_value, "a finalizer")


def configure_logging(
    *,
    stage: str,
    level: str = "INFO",
    style: str = "auto",
    secrets: Iterable[str] = (),
    client: bool = True,
    stream: TextIO | None = None,
) -> None:
    """Send everything that is logged to `stream` (standard error), one line per event.

    Without `client` what the Kafka client library mutters is left out: a command that asks once
    says itself, in one line, what went wrong.
    """
    stream = stream or sys.stderr
    as_json = style == "json" or (style == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(stage=stage, as_json=as_json, redactor=Redactor(secrets)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    # A library's warning is for its callers, that is for us, not for who runs the stage.
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel("DEBUG" if level == "DEBUG" else "ERROR")
    least = level if client or level == "DEBUG" else "CRITICAL"
    logging.getLogger("librdkafka").setLevel(least)
