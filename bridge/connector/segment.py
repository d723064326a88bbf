"""Reading one segment of a scan: what to ask next, and what an answer means. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.connector.backoff import Backoff
from bridge.connector.capacity import PAGE_BYTES, ReadBudget, units_of
from bridge.connector.checkpoints import AnyScan, AnySegment
from bridge.connector.failures import Failure
from bridge.connector.records import ScanPage
from bridge.connector.work import SegmentPage


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """Ask Scan for the page after `start` (DynamoDB JSON)."""

    table: str
    segment: int
    segments: int
    start: str | None
    consistent: bool


@dataclass(frozen=True, slots=True)
class ScanStep:
    """What follows from an answer: a page to commit, a wait, whether it was the last."""

    page: SegmentPage | None = None
    delay_s: float = 0.0
    finished: bool = False


class SegmentReader:
    """The cursor of one segment.

    Args:
        generation: the scan, of a table's generation or an addressed one.
        segment: what is committed of this segment.
        budget: the read capacity that all segments of the table share; None is without limit.
        backoff: how to wait after failures.
    """

    def __init__(
        self,
        generation: AnyScan,
        segment: AnySegment,
        *,
        budget: ReadBudget | None = None,
        backoff: Backoff,
    ) -> None:
        self.generation = generation
        self.segment = segment
        self.failures = 0
        self._budget = budget
        self._backoff = backoff
        self._page_units = units_of(PAGE_BYTES, consistent=generation.consistent)
        self._reserved = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until the budget allows the next page, 0 when it is paid for."""
        if self._budget is None:
            return 0.0
        wait_s = self._budget.reserve(self._page_units, now_s)
        self._reserved = 0.0 if wait_s else self._page_units
        return wait_s

    def _pay(self, units: float) -> None:
        if self._budget is not None and self._reserved:
            self._budget.settle(self._reserved, units)
            self._reserved = 0.0

    def request(self) -> ScanRequest:
        """What to ask now."""
        return ScanRequest(
            self.generation.table,
            self.segment.index,
            self.generation.segments,
            self.segment.start,
            self.generation.consistent,
        )

    def received(self, page: ScanPage) -> ScanStep:
        """Scan answered."""
        self.failures = 0
        estimate = units_of(page.size_bytes, consistent=self.generation.consistent)
        self._page_units = page.consumed_units or estimate
        self._pay(self._page_units)
        self.segment = replace(
            self.segment,
            start=page.next_start,
            done=page.next_start is None,
            items=self.segment.items + len(page.records),
        )
        delivery = SegmentPage(
            arn=self.generation.arn,
            segment=self.segment,
            records=page.records,
            size_bytes=page.size_bytes,
        )
        return ScanStep(delivery, finished=self.segment.done)

    def failed(self, failure: Failure, draw: float) -> ScanStep:
        """A request failed: the same page is asked for again."""
        del failure
        self.failures += 1
        self._pay(0.0)
        return ScanStep(delay_s=self._backoff.delay_s(self.failures, draw))
