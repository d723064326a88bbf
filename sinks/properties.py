"""What a table says about itself: name, tags, statistics, retention."""

from __future__ import annotations

import orjson

from sinks.dataset import Dataset
from sinks.ledger import LOADING
from sinks.table import SNAPSHOT_PROPERTY

TAGS_PROPERTY = "tailrace.tags"
DATASET_PROPERTY = "tailrace.dataset"
CHECKPOINT_INTERVAL = 20


def table_properties(dataset: Dataset) -> dict[str, str]:
    """Properties of a new table: statistics on what merges prune by, a week of history."""
    return {
        "delta.checkpointInterval": str(CHECKPOINT_INTERVAL),
        "delta.dataSkippingStatsColumns": "_key,_version,_event_time",
        "delta.logRetentionDuration": "interval 7 days",
        "delta.deletedFileRetentionDuration": "interval 9 days",  # vacuum keeps two less
        DATASET_PROPERTY: dataset.id,
        TAGS_PROPERTY: orjson.dumps(list(dataset.tags)).decode(),
        SNAPSHOT_PROPERTY: LOADING,
    }
