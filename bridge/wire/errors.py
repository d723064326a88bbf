"""Errors of every stage, each saying what happened, where, and how to go on.

TailraceError
├── ConfigurationError        what the user wrote can't work; nothing was started (exit code 2)
├── BrokerUnreachableError    Kafka did not answer in time (retryable)
├── TopicError                a topic exists with settings that would break a promise
├── GapError                  data is gone that was not read yet; going on would be silent loss
├── FencedError               another worker owns this now (retryable, as a new member)
└── WireError                 a message that does not follow the wire contract
    └── UnknownVersionError   written by a newer release than this reader
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import ClassVar


def raised_at(error: BaseException) -> str:
    """The innermost `file.py:line` of a traceback; of an error that was not raised, `nowhere`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"


class TailraceError(Exception):
    """Something a person can act on: `what` happened, `where`, and the `remedy`.

    `str()` is one line, fit for a terminal; it never holds item contents or secrets.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        head = f"{where}: {what}" if where else what
        super().__init__(f"{head}. {remedy}" if remedy else head)


class ConfigurationError(TailraceError):
    """What the user wrote can't work; nothing was started."""

    exit_code: ClassVar[int] = 2


class BrokerUnreachableError(TailraceError):
    """Kafka did not answer in time."""

    retryable: ClassVar[bool] = True


class TopicError(TailraceError):
    """A topic exists with settings that would break a promise."""


class GapError(TailraceError):
    """Data is gone that was not read yet: going on would be a silent loss."""


class FencedError(TailraceError):
    """Another worker owns this now; what this one held must be dropped."""

    retryable: ClassVar[bool] = True


class WireError(TailraceError):
    """A message that does not follow the wire contract."""


class UnknownVersionError(WireError):
    """A message written by a newer release than this reader."""
