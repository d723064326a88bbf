"""A gap as a person reads it: one line with the command that repairs it."""

from __future__ import annotations

import time

from bridge.connector.checkpoints import Gap


def gap_line(gap: Gap) -> str:
    """A gap as a person reads it: where, from, to, and what repairs it."""
    return (
        f"table {gap.table}: GAP in shard {gap.shard}: {gap.cause}; changes are lost from after "
        f"sequence number {gap.after or '(none read)'} to {_utc(gap.at_s)}. "
        f"Run: tailrace backfill {gap.table}"
    )


def _utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
