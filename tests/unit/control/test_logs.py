"""Logs: one line per event, fields kept, secrets out."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bridge.control.logs import LineFormatter, Redactor, configure_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logging.captureWarnings(False)
    logger.handlers[:] = handlers
    logger.setLevel(level)


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "sinks.service", "levelname": "INFO", "msg": message})
    vars(made).update(fields)
    return made


def formatted(made: logging.LogRecord, *, as_json: bool, secrets: tuple[str, ...] = ()) -> str:
    formatter = LineFormatter(stage="sink", as_json=as_json, redactor=Redactor(secrets))
    return formatter.format(made)


def test_json_has_event_and_fields() -> None:
    line = json.loads(formatted(record("committed", version=41), as_json=True))

    assert line["event"] == "committed"
    assert line["version"] == 41
    assert line["stage"] == "sink"
    assert line["time"].endswith("Z")


def test_text_is_short() -> None:
    line = formatted(record("committed", version=41), as_json=False)

    assert line.endswith("INFO sink: committed version=41")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_stays_in_one_line(as_json: bool) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        made = record("went wrong")
        made.exc_info = (ValueError, error, error.__traceback__)

    line = formatted(made, as_json=as_json)

    assert "\n" not in line
    assert "ValueError" in line


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_and_what_looks_like_them_are_taken_out(as_json: bool) -> None:
    made = record(
        'connecting "pa"ss"',
        key="AKIAABCDEFGHIJKLMNOP",
        url="https://me:hidden@host/x",
        dsn="password=hidden2;x",
        nested={"token": "canary-token"},
    )

    line = formatted(made, as_json=as_json, secrets=("canary-token", 'pa"ss'))

    for hidden in ("canary", 'pa"ss', 'pa\\"ss', "AKIA", "hidden"):
        assert hidden not in line


def test_a_secret_too_short_to_be_one_blanks_nothing_out() -> None:
    assert Redactor(["a"]).clean("a table") == "a table"


def test_configuring_sends_json_to_what_is_no_terminal(root: logging.Logger) -> None:
    stream = io.StringIO()

    configure_logging(stage="sink", stream=stream)
    logging.getLogger("anywhere").info("committed", extra={"rows": 3})

    assert json.loads(stream.getvalue())["rows"] == 3


def test_chatty_libraries_are_quiet(root: logging.Logger) -> None:
    stream = io.StringIO()

    configure_logging(stage="sink", stream=stream)
    logging.getLogger("botocore").info("found credentials")

    assert stream.getvalue() == ""


UNHANDLED = """
import sys, threading
from bridge.control.logs import configure_logging, log_unhandled
from bridge.wire.errors import TailraceError
configure_logging(stage="sink", style={style!r})
log_unhandled()

def fail(error):
    try:
        raise KeyError("canary-inner")
    except KeyError as cause:
        raise error from cause

thread = threading.Thread(target=fail, args=(ValueError("canary-outer"),), name="worker")
thread.start()
thread.join()
fail(TailraceError("said by us"))
"""


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_nobody_catches_is_logged_without_what_it_said(style: str) -> None:
    code = UNHANDLED.format(style=style)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert "canary" not in done.stderr.replace(code, "")
    first, second = done.stderr.splitlines()
    assert "unhandled error" in first
    assert "worker" in first
    assert "KeyError" in first
    assert "ValueError" in first
    assert "in fail" in first, "the frames are there"
    assert "TailraceError: said by us" in second
