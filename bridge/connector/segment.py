"""Reading one segment of a scan: what to ask next, and what an answer means. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bridge.connector.backoff import Backoff
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
        units_per_s: the share of the table's read capacity that this segment may take; None is
            without limit.
        backoff: how to wait after failures.
    """

    def __init__(
        self,
        generation: AnyScan,
        segment: AnySegment,
        *,
        units_per_s: float | None,
        backoff: Backoff,
    ) -> None:
        self.generation = generation
        self.segment = segment
        self.failures = 0
        self._units_per_s = units_per_s
        self._backoff = backoff

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
        """Scan answered; the capacity it consumed is waited off."""
        self.failures = 0
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
        wait_s = page.consumed_units / self._units_per_s if self._units_per_s else 0.0
        return ScanStep(delivery, wait_s, self.segment.done)

    def failed(self, failure: Failure, draw: float) -> ScanStep:
        """A request failed: the same page is asked for again."""
        del failure
        self.failures += 1
        return ScanStep(delay_s=self._backoff.delay_s(self.failures, draw))
