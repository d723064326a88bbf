"""GAP: what was not read yet is gone. Found on both sides, at start and on every assignment.

A stage compares where it wants to go on with what the log still holds. A log that starts later has
lost messages to retention; one that ends earlier is another log of the same name. Either way going
on would be a silent jump, so the stage stops and says from where to where and what repairs it.
"""

from __future__ import annotations

from bridge.wire.errors import GapError
from bridge.wire.kafka import LogBounds


def check_position(
    position: int | None,
    bounds: LogBounds,
    *,
    where: str,
    remedy: str,
    accepted_start: int | None = None,
) -> int:
    """The offset to go on from.

    Args:
        position: the stored next offset, None if nothing was ever read here.
        bounds: the partition's bounds now.
        where: topic and partition, for the message.
        remedy: the exact command that repairs a gap.
        accepted_start: log starts up to this offset were accepted by a person whose new snapshot
            covers what is gone below it.

    Raises:
        GapError: messages from `position` up to the log's start are gone, or the log ends before
            `position`.
    """
    if position is not None and position > bounds.end:
        raise GapError(
            f"GAP: offset {position} was read before, the log ends at {bounds.end}: "
            "the topic was re-created",
            where=where,
            remedy=remedy,
        )
    wanted = position or 0
    if wanted >= bounds.start:
        return wanted
    if accepted_start is not None and bounds.start <= accepted_start:
        return bounds.start
    raise GapError(
        f"GAP: offsets {wanted} to {bounds.start - 1} were deleted before they were read",
        where=where,
        remedy=remedy,
    )
