"""What can be chosen about a world, before it starts or while it runs; the defaults are calm."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True, kw_only=True)
class Settings:
    """How a world behaves.

    Times are seconds, rates are probabilities from 0 to 1. All randomness comes from `seed`.
    """

    region: str = "us-east-1"
    account: str = "123456789012"
    seed: int = 0
    # Shards of a new stream, unless the table was given its own number.
    shards: int = 4
    # Records and shards older than this are trimmed by themselves; None keeps them.
    retention_s: float | None = 24 * 3600
    iterator_ttl_s: float = 15 * 60
    # More iterators of different readers than this within `reader_window_s` are refused.
    readers_max: int | None = None
    reader_window_s: float = 1.0
    # A shard rolls after about so many records, into two with `split_rate`, else into one.
    rotate_every: int | None = None
    split_rate: float = 0.5
    # A shard rolls at this age (AWS: about 4 hours).
    rotate_after_s: float | None = None
    # How often GetRecords answers nothing although there is something.
    empty_page_rate: float = 0.0
    # Whether a closed shard's last records come together with the null iterator or before it.
    final_batch: Literal["together", "alone", "mixed"] = "mixed"
    # Whether the null iterator is absent or spelled out; readers must take both.
    null_iterator: Literal["absent", "null", "mixed"] = "mixed"
    # DescribeStream's page size; AWS's upper limit is 100.
    page_shards_max: int = 100
    # Answers in which a new stream is ENABLING and shows no shards.
    enabling_answers: int = 0
    # How far an eventually consistent read may lag behind.
    stale_reads_s: float = 0.0
    # Requests signed further from the world's clock than this are refused; None accepts all.
    clock_skew_max_s: float | None = None
    # Calls a second above which an operation is throttled, as {"DescribeStream": 10}.
    rates_max: dict[str, int] = field(default_factory=dict)
