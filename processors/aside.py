"""Changes set aside: into the dead letters with their cause, and a stop when they become a flood.

One bad record must not stop the others. A transform that is wrong, or a table that has become
another, makes nearly all of them bad: then going on would only move the table into the dead
letters.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from typing import Protocol

import msgspec
import orjson

from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import Headers
from bridge.wire.errors import TailraceError, raised_at
from processors import metrics

logger = logging.getLogger(__name__)

DEAD_LETTERS_MAX = 1_000


class Read(Protocol):
    """A message as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None


class Writing(Protocol):
    """The part of an outbox that is used."""

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Part of the open transaction."""


class Aside:
    """Where a transform's bad records go.

    Args:
        transform: its name.
        topic: its dead letters.
        most: how many records may be set aside of twice as many that were read one after the
            other; one more is a flood. 0: any number.
    """

    def __init__(self, transform: str, topic: str, most: int = DEAD_LETTERS_MAX) -> None:
        self.read = 0
        self._transform = transform
        self._topic = topic
        self._most = most
        self._recent: deque[tuple[int, str]] = deque()
        self._counter = metrics.DEAD_LETTERS.labels(transform)

    def put(self, message: Read, error: Exception, outbox: Writing) -> None:
        """Set a message aside.

        Raises:
            TailraceError: it is one too many. Nothing of the open transaction is committed then,
                so what the flood's last letters were is read again by whoever goes on.
        """
        reason, said = told(error)
        letter = DeadLetter(
            stage="processor",
            owner=self._transform,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            error=type(error).__name__,
            reason=reason,
            traceback="".join(traceback.format_exception(error)),
            said=said,
        )
        logger.warning(
            "set a change aside",
            extra={
                "transform": self._transform,
                "topic": message.topic,
                "partition": message.partition,
                "offset": message.offset,
                "error": letter.error,
            },
        )
        outbox.produce(
            topic=self._topic,
            value=message.value,
            key=message.key,
            headers=letter.headers(message.headers),
        )
        self._counter.inc()
        self._stop_a_flood(letter)

    def _stop_a_flood(self, letter: DeadLetter) -> None:
        if not self._most:
            return
        recent, window = self._recent, 2 * self._most
        place = f"{letter.topic} partition {letter.partition} offset {letter.offset}"
        recent.append((self.read, f"{place}: {letter.error}: {letter.reason}"))
        while recent[0][0] <= self.read - window:
            recent.popleft()
        if len(recent) > self._most:
            raise TailraceError(
                f"{len(recent):,} of the last {min(self.read, window):,} changes could not be "
                f"processed, the first of them {recent[0][1]}",
                where=f"transform {self._transform}",
                remedy="Correct the transform and start again. To set them aside nevertheless, in "
                f"{self._topic}, set TAILRACE_DEAD_LETTERS_MAX higher, or to 0 for any number",
            )


def told(error: Exception) -> tuple[str, str]:
    """What may be shown of an error to everybody, and what only beside the message it is about.

    Errors of ours never quote an item, nor do the JSON parsers'. Whatever else raises, a user's own
    function first of all, may: shown is where it was raised.
    """
    text, cause = _line(error), error.__cause__
    if isinstance(error, TailraceError):
        foreign = cause is not None and not isinstance(cause, TailraceError)
        return text, _line(cause) if foreign else ""
    if isinstance(error, (orjson.JSONDecodeError, msgspec.DecodeError)):
        return text, ""
    return f"raised at {raised_at(error)}; `tailrace dlq show` has what it said", text


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split())
