"""What a processor shows to Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

CHANGES = Counter("tailrace_processor_changes", "Changes read.", ["transform"])
ROWS = Counter("tailrace_processor_rows", "Rows written.", ["transform", "operation"])
DEAD_LETTERS = Counter("tailrace_processor_dead_letters", "Changes set aside.", ["transform"])
STALE = Counter(
    "tailrace_processor_stale", "Changes older than what is known of their item.", ["transform"]
)
LATE = Counter(
    "tailrace_processor_late", "Events that came after their window was put away.", ["transform"]
)
SLOW = Counter(
    "tailrace_processor_slow_records", "Changes that took longer than a second.", ["transform"]
)
TYPE_MISMATCHES = Counter(
    "tailrace_processor_type_mismatches",
    "Attributes that had another type than their path says, by path.",
    ["transform", "path"],
)
LAG = Gauge(
    "tailrace_processor_lag_seconds", "Age of the change last read, 0 at the end.", ["transform"]
)
