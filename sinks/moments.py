"""When a change happened, in microseconds since 1970: always something, and always the same.

DynamoDB says it of changes, floored to the second. Of what a scan meets nobody says it: there it is
the beginning of the scan's epoch, which is a time in seconds (design: `max(previous + 1, now)`).
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from bridge.wire.version import EPOCH_DIGITS
from sinks.rows import Row

_SECOND = 1_000_000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_moment(epoch: int) -> int:
    """When an epoch began."""
    return epoch * _SECOND


def moment_of(known: int | None, version: str) -> int:
    """`known`, or the beginning of the version's epoch."""
    return known if known is not None else epoch_moment(int(version[:EPOCH_DIGITS]))


def row_moment(row: Row) -> int:
    """When the change of a row happened."""
    text = row.fields.get("_event_time")
    return moment_of(_parsed(text) if isinstance(text, str) else None, row.version)


@functools.lru_cache(maxsize=4096)  # thousands of changes fall into one second
def _parsed(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _BEGINNING
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds
