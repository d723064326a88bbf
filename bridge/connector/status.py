"""What the outside sees of a table's feed: its gauges."""

from __future__ import annotations

from bridge.connector import metrics
from bridge.connector.shards import ShardState, shard_state, shard_views
from bridge.connector.tasks import Feed
from bridge.connector.view import CheckpointView

_RETENTION_HOURS = 24.0
_SHOWN = {ShardState.READ: "open", ShardState.ENDED: "done"}


def show_table(view: CheckpointView, feed: Feed, now_s: float) -> None:
    """Set the table's gauges."""
    name = feed.table
    lag_s = max(0.0, feed.lag_s(now_s))
    metrics.LAG_S.labels(name).set(lag_s)
    metrics.TRIM_HOURS.labels(name).set(_RETENTION_HOURS - lag_s / 3600)
    metrics.GAPS.labels(name).set(len(view.active_gaps(name)))
    generation = view.generations.get(name)
    if generation is None:
        return
    counts = {"open": 0, "waiting": 0, "done": 0}
    for known in shard_views(view, name, generation.arn):
        state = shard_state(view, known, generation.epoch)
        counts[_SHOWN.get(state, "waiting")] += 1
    for kind, count in counts.items():
        metrics.SHARDS.labels(name, kind).set(count)
    if generation.segments:
        segments = view.segments[name, generation.epoch]
        done = sum(segment.done for segment in segments.values())
        metrics.SNAPSHOT_RATIO.labels(name).set(done / generation.segments)
