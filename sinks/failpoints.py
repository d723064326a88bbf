"""The places at which a test kills a sink: one list, so that no step of the commit is forgotten."""

from __future__ import annotations

from collections.abc import Callable

Failpoint = Callable[[str], None]
"""Called with a point's name whenever the sink passes it."""

BEFORE_SNAPSHOT = "sink.before-snapshot"
BEFORE_CREATE = "sink.before-create"
AFTER_CREATE = "sink.after-create"
BEFORE_METADATA = "sink.before-metadata"
BEFORE_SCHEMA = "sink.before-schema"
AFTER_SCHEMA = "sink.after-schema"
AFTER_DEAD_LETTERS = "sink.after-dead-letters"
BEFORE_TOMBSTONES = "sink.before-tombstones"
AFTER_TOMBSTONES = "sink.after-tombstones"
BEFORE_COMMIT = "sink.before-commit"
AFTER_COMMIT = "sink.after-commit"
BEFORE_SEAL = "sink.before-seal"
AFTER_SEAL = "sink.after-seal"
BEFORE_OFFSETS = "sink.before-offsets"
AFTER_OFFSETS = "sink.after-offsets"
BEFORE_MAINTENANCE = "sink.before-maintenance"
AFTER_COMPACTION = "sink.after-compaction"
AFTER_MAINTENANCE = "sink.after-maintenance"
BEFORE_CHANGE_OVER = "sink.before-change-over"
AFTER_CHANGE_OVER = "sink.after-change-over"
AFTER_ANNOUNCED = "sink.after-announced"
AFTER_SWEPT = "sink.after-swept"

CHANGE_OVER = (BEFORE_CHANGE_OVER, AFTER_CHANGE_OVER, AFTER_ANNOUNCED, AFTER_SWEPT)
"""Passed once in a generation's life."""

FAILPOINTS = (
    BEFORE_SNAPSHOT,
    BEFORE_CREATE,
    AFTER_CREATE,
    BEFORE_METADATA,
    BEFORE_SCHEMA,
    AFTER_SCHEMA,
    AFTER_DEAD_LETTERS,
    BEFORE_TOMBSTONES,
    AFTER_TOMBSTONES,
    BEFORE_COMMIT,
    AFTER_COMMIT,
    BEFORE_SEAL,
    AFTER_SEAL,
    BEFORE_OFFSETS,
    AFTER_OFFSETS,
    BEFORE_MAINTENANCE,
    AFTER_COMPACTION,
    AFTER_MAINTENANCE,
    *CHANGE_OVER,
)


def never(_point: str) -> None:
    """The failpoint of production: nothing happens."""
