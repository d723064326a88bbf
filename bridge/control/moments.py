"""Moments as people write them on a command line."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_moment(text: str) -> datetime:
    """`2026-11-24T03:00:00Z`; one without a zone is UTC.

    Raises:
        ValueError: it is no moment.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
