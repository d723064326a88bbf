"""Reading one shard: what to ask next, and what an answer or a failure means. Pure.

The reader holds the cursor; who drives it carries out its requests and hands pages to the bucket.
An iterator is never kept anywhere but here; after it expired the reader goes on after the last
sequence number it read, so nothing is skipped and nothing is read twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.connector.backoff import Backoff, PollPace
from bridge.connector.checkpoints import Gap, Position, Shard
from bridge.connector.failures import Failure, Trouble
from bridge.connector.records import RecordsPage
from bridge.connector.work import ShardPage

# Trimmed after 24 h; a margin for clocks and for the scan that came after the placement.
UNREAD_MAX_S = 23 * 3600

IteratorKind = Literal["TRIM_HORIZON", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]


@dataclass(frozen=True, slots=True)
class OpenIterator:
    """Ask GetShardIterator."""

    arn: str
    shard: str
    kind: IteratorKind
    sequence: str | None


@dataclass(frozen=True, slots=True)
class GetRecords:
    """Ask GetRecords."""

    iterator: str


@dataclass(frozen=True, slots=True)
class ListChildren:
    """Ask DescribeStream for the shards that continue this one; an answer of nothing will do."""

    arn: str
    shard: str


Request = OpenIterator | GetRecords | ListChildren


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from an answer.

    `page` is to be committed, `delay_s` to be waited before the next request, `gap` the cause of a
    loss that ends the reading, `finished` says that there is no next request.
    """

    page: ShardPage | None = None
    delay_s: float = 0.0
    gap: str | None = None
    finished: bool = False


class ShardReader:
    """The cursor of one shard.

    Args:
        table: the table's name.
        shard: what the listing told.
        position: what is committed, None if nothing is.
        restart: begin anew at the trim horizon, because a new generation covers what was lost.
        pace: how often to poll.
        backoff: how to wait after failures.
        now_s: seconds since 1970.
    """

    def __init__(
        self,
        table: str,
        shard: Shard,
        position: Position | None,
        *,
        restart: bool,
        pace: PollPace,
        backoff: Backoff,
        now_s: float,
    ) -> None:
        self.table = table
        self.shard = shard
        self.read_to = None if restart or position is None else position.sequence
        self.failures = 0
        self._pace = pace
        self._backoff = backoff
        self._restart = restart
        self._iterator: str | None = None
        self._fresh = False  # no answer came through this iterator yet
        self._ending: ShardPage | None = None
        self._wait_s = pace.busy_s
        self._spacing_s = 0.0  # between calls, since AWS refused one for their rate
        self._epoch = position.epoch if position is not None else None
        self._unconfirmed = False
        known_whole = position.whole if position is not None else not shard.first
        unread = not restart and self.read_to is None and shard.start is not None
        self._whole = known_whole and unread
        self._probe = not known_whole and unread
        placed_s = now_s - position.at_s if position is not None else 0.0
        self._stale = placed_s > UNREAD_MAX_S and not restart

    @property
    def anchored(self) -> bool:
        """Whether finding the start trimmed means that something unread is gone."""
        return self.read_to is not None or self._whole

    def renew(self, epoch: int) -> None:
        """The bucket's changes carry `epoch` now; no scan of it begins before this shard's
        position does so too, and that waits until an answer showed that nothing is lost."""
        if self._epoch is not None and epoch > self._epoch:
            self._unconfirmed = True
        self._epoch = epoch

    def loss(self, cause: str, *, scans: bool, now_s: float) -> Gap:
        """The record of a gap that a step told of.

        `scans`: the current generation scans the table. A loss that is found before the shard's
        position carries its epoch is covered by that scan, which can't have begun; it is noted
        under the epoch before, so that the shard is restarted and nobody has to ask again.
        """
        epoch = self._epoch
        assert epoch is not None
        return Gap(
            table=self.table,
            arn=self.shard.arn,
            shard=self.shard.shard,
            epoch=epoch - 1 if self._unconfirmed and scans else epoch,
            after=self.read_to,
            cause=cause,
            at_s=int(now_s),
        )

    def request(self) -> Request:
        """What to ask now."""
        arn, name = self.shard.arn, self.shard.shard
        if self._ending is not None:
            return ListChildren(arn, name)
        if self._iterator is not None:
            return GetRecords(self._iterator)
        if self.read_to is not None:
            return OpenIterator(arn, name, "AFTER_SEQUENCE_NUMBER", self.read_to)
        if self._whole or self._probe:
            return OpenIterator(arn, name, "AT_SEQUENCE_NUMBER", self.shard.start)
        return OpenIterator(arn, name, "TRIM_HORIZON", None)

    def opened(self, iterator: str) -> Step:
        """GetShardIterator answered."""
        self.failures = 0
        self._iterator, self._fresh = iterator, True
        if self.read_to is not None or self._whole:
            return Step()
        if self._probe:
            # Complete from its first number on: from now on a loss will be noticed.
            self._probe, self._whole = False, True
            return Step(page=self._page())
        if self._stale:
            return Step(gap="it was not read for more than 23 hours", finished=True)
        return Step(page=self._page()) if self._restart else Step()

    def received(self, page: RecordsPage) -> Step:
        """GetRecords answered. A null iterator ends the shard after the records with it."""
        self.failures = 0
        self._fresh = False
        self._iterator = page.next_iterator
        if page.last is not None:
            self.read_to = page.last
        delivery = self._page(page) if page.records or self._unconfirmed else None
        if page.next_iterator is None:
            self._ending = delivery or self._page()
            return Step()
        self._wait_s = self._pace.delay_s(len(page.records), page.size_bytes, self._wait_s)
        self._spacing_s = self._pace.after_answer_s(self._spacing_s)
        return Step(page=delivery, delay_s=max(self._wait_s, self._spacing_s))

    def listed(self, children: tuple[tuple[str, str | None], ...]) -> Step:
        """DescribeStream answered, or did not: the leader's listing finds them then."""
        ending = self._ending
        assert ending is not None
        last = ShardPage(
            table=ending.table,
            arn=ending.arn,
            shard=ending.shard,
            records=ending.records,
            sequence=ending.sequence,
            whole=ending.whole,
            ended=True,
            children=children,
            size_bytes=ending.size_bytes,
        )
        return Step(page=last, finished=True)

    def failed(self, failure: Failure, draw: float) -> Step:
        """A request failed; `draw` from [0, 1) for the jitter."""
        if self._ending is not None:
            return self.listed(())
        self.failures += 1
        delay_s = self._backoff.delay_s(self.failures, draw)
        match failure.trouble:
            case Trouble.THROTTLED:
                self._spacing_s = self._pace.after_throttle_s(self._spacing_s)
                return Step(delay_s=max(delay_s, self._spacing_s))
            case Trouble.EXPIRED:
                self._iterator = None
                return Step(delay_s=0.0 if self.failures == 1 else delay_s)
            case Trouble.TRIMMED:
                return self._trimmed(delay_s)
            case Trouble.GONE:
                return self._gone()
            case Trouble.INVALID:
                return self._invalid(delay_s)
            case _:
                return Step(delay_s=delay_s)

    def _trimmed(self, delay_s: float) -> Step:
        if self._probe:
            self._probe = False  # an old shard when the feed began: what is left of it is all
            return Step()
        if self._iterator is not None and not self._fresh:
            self._iterator = None  # ask again from the last number: that tells whether it was lost
            return Step(delay_s=delay_s)
        if self.anchored:
            return Step(gap="it was trimmed before it was read", finished=True)
        self._iterator = None
        return Step(delay_s=delay_s)

    def _gone(self) -> Step:
        if self._restart or (self.shard.first and not self.anchored and not self._stale):
            # All that it held was older than the scan that covers it.
            return self._end_unread()
        return Step(gap="it was deleted before it was read to its end", finished=True)

    def _end_unread(self) -> Step:
        self._ending = self._page()
        return Step()

    def _invalid(self, delay_s: float) -> Step:
        if self._iterator is None and self.read_to is None and (self._probe or self._whole):
            self._probe = self._whole = False  # a service that does not take that starting point
            return Step()
        self._iterator = None
        return Step(delay_s=delay_s)

    def _page(self, page: RecordsPage | None = None) -> ShardPage:
        self._unconfirmed = False
        return ShardPage(
            table=self.table,
            arn=self.shard.arn,
            shard=self.shard.shard,
            records=page.records if page else (),
            sequence=self.read_to,
            whole=self._whole,
            size_bytes=page.size_bytes if page else 0,
        )
