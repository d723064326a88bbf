"""What the sink shows to Prometheus; labels are datasets, never keys or partitions."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter(
    "tailrace_sink_rows",
    "Rows by what became of them: upserted, deleted, stale, collapsed, floor, dead",
    ["dataset", "kind"],
)
COMMITS = Counter("tailrace_sink_commits", "Data commits", ["dataset"])
TABLE_VERSION = Gauge("tailrace_sink_table_version", "Version of the Delta table", ["dataset"])
LAG_SECONDS = Gauge(
    "tailrace_sink_lag_seconds",
    "Age of the oldest row of the batch in hand, or of the last one; 0 when caught up",
    ["dataset"],
)
COMMIT_RETRIES = Counter(
    "tailrace_sink_commit_retries", "Commits that failed and were tried again", ["dataset"]
)
MERGE_SECONDS = Histogram(
    "tailrace_sink_merge_seconds",
    "Seconds from a closed batch to its commit",
    ["dataset"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120),
)
LOADING = Gauge(
    "tailrace_sink_loading",
    "1 while a snapshot is on its way in and rows may step back",
    ["dataset"],
)
BATCH_ROWS = Histogram(
    "tailrace_sink_batch_rows",
    "Rows of a batch, by why it was closed",
    ["dataset", "reason"],
    buckets=(1, 10, 100, 1_000, 10_000, 50_000, 200_000, 500_000),
)
BATCH_FULL_ROWS = Gauge(
    "tailrace_sink_batch_full_rows", "Rows at which the controller closes a batch now", ["dataset"]
)
BATCH_INTERVAL_SECONDS = Gauge(
    "tailrace_sink_batch_interval_seconds",
    "Age at which it closes one while the dataset is caught up",
    ["dataset"],
)
OVER_TARGET = Gauge(
    "tailrace_sink_over_target",
    "1 while a single commit takes longer than the freshness target, by cause: rewrite, storage "
    "or rows",
    ["dataset", "cause"],
)
LAG_ROWS = Gauge(
    "tailrace_sink_lag_records",
    "Records of the rows topic that are not in a batch yet",
    ["dataset"],
)
WAITED_SECONDS = Counter(
    "tailrace_sink_memory_wait_seconds", "Seconds commits waited for memory", ["dataset"]
)
TABLE_FILES = Gauge("tailrace_sink_table_files", "Live files of the table", ["dataset"])
TABLE_BYTES = Gauge("tailrace_sink_table_bytes", "Bytes of the live files", ["dataset"])
TABLE_LOOKUP_FILES = Gauge(
    "tailrace_sink_table_lookup_files",
    "Files whose bounds overlap those of a file, the mean: what a lookup by key may open",
    ["dataset"],
)
LAST_OPTIMIZE = Gauge(
    "tailrace_sink_last_optimize_timestamp_seconds",
    "When the table's files were last joined or sorted, seconds since 1970",
    ["dataset"],
)
MAINTENANCE_SECONDS = Counter(
    "tailrace_sink_maintenance_seconds", "Seconds the writer spent on maintenance", ["dataset"]
)
