"""What the connector counts. Labels are tables and states, never shards or keys."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

CHANGES = Counter("tailrace_connector_changes_total", "Changes committed to Kafka", ["table"])
BYTES = Counter("tailrace_connector_bytes_total", "Bytes of answers committed to Kafka", ["table"])
SNAPSHOT_ITEMS = Counter(
    "tailrace_connector_snapshot_items_total", "Scanned items committed to Kafka", ["table"]
)
TRANSACTIONS = Counter(
    "tailrace_connector_transactions_total",
    "Kafka transactions committed that held something of the table",
    ["table"],
)
ABORTS = Counter("tailrace_connector_aborts_total", "Kafka transactions aborted and done again")
FENCES = Counter(
    "tailrace_connector_fences_total",
    "Times another owner took over a bucket that carries the table",
    ["table"],
)
THROTTLES = Counter("tailrace_connector_throttles_total", "Calls refused as too many", ["table"])
EMPTY_READS = Counter("tailrace_connector_empty_reads_total", "Answers without records", ["table"])
DEAD_LETTERS = Counter(
    "tailrace_connector_dead_letters_total", "Records that could not be keyed", ["table"]
)
REPEATED = Counter(
    "tailrace_connector_repeated_total", "Records the service gave twice, left out", ["table"]
)
BACKWARDS = Counter(
    "tailrace_connector_backwards_total", "Pages whose sequence numbers fell", ["table"]
)
SHARDS = Gauge("tailrace_connector_shards", "Known shards by state", ["table", "state"])
LAG_S = Gauge(
    "tailrace_connector_lag_seconds", "Age of the newest change read, 0 when caught up", ["table"]
)
TRIM_HOURS = Gauge(
    "tailrace_connector_hours_to_trim", "Hours until the oldest unread change is trimmed", ["table"]
)
SNAPSHOT_RATIO = Gauge(
    "tailrace_connector_snapshot_ratio", "Part of the scan that is committed, 0 to 1", ["table"]
)
SNAPSHOT_ETA_S = Gauge(
    "tailrace_connector_snapshot_eta_seconds", "Seconds until the scan is done, roughly", ["table"]
)
GAPS = Gauge("tailrace_connector_gaps", "Gaps in force", ["table"])
