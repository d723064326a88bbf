"""What a bucket was handed and has not committed yet, in order. Pure; its user holds the lock.

Pages may share a transaction; marks and bumps go alone, so what follows a bump carries its epoch
and what precedes it does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bridge.connector.work import (
    Composer,
    EpochMark,
    Marks,
    Message,
    SegmentPage,
    ShardPage,
    Work,
    size_of,
)


@dataclass(slots=True)
class Backlog:
    """Work of one bucket for the time it is owned.

    `pending` are keys of marks that were handed over and not read back as committed yet; `begun`
    names what is under way, so that a plan that is repeated does not begin it twice.
    """

    composer: Composer
    pending: set[bytes] = field(default_factory=set)
    size_bytes: int = 0
    urgent: bool = False
    _queue: deque[Work] = field(default_factory=deque)
    _begun: set[tuple[str, ...]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self._queue)

    def put(self, work: Work, *, urgent: bool = False) -> None:
        """Add work behind what is there."""
        self._queue.append(work)
        self.size_bytes += size_of(work)
        self.urgent |= urgent

    def expect(self, messages: Iterable[Message]) -> None:
        """Make the checkpoint keys of these messages pending."""
        ours = (m.key for m in messages if m.topic == self.composer.checkpoints)
        self.pending.update(key for key in ours if key is not None)

    def claim(self, key: bytes) -> bool:
        """Make a checkpoint key pending; False if it is already."""
        if key in self.pending:
            return False
        self.pending.add(key)
        return True

    def begin(self, *what: str) -> bool:
        """Note that something is under way, for the bucket's life; False if it is already."""
        if what in self._begun:
            return False
        self._begun.add(what)
        return True

    def take(self, bytes_max: int) -> list[Work]:
        """The longest run that may share the next transaction; [] when there is nothing."""
        batch: list[Work] = []
        size_bytes = 0
        while self._queue and size_bytes < bytes_max:
            page = isinstance(self._queue[0], ShardPage | SegmentPage)
            if batch and not page:
                break
            work = self._queue.popleft()
            batch.append(work)
            size_bytes += size_of(work)
            if not page:
                break
        self.size_bytes -= size_bytes
        self.urgent = any(isinstance(work, Marks | EpochMark) for work in self._queue)
        return batch

    def settle(self, batch: Iterable[Work]) -> None:
        """The batch is committed: changes that follow a bump carry its epoch."""
        for work in batch:
            if isinstance(work, EpochMark):
                self.composer.epochs[work.bump.arn] = work.bump.epoch

    def clear(self) -> int:
        """Forget everything; the bytes that were held."""
        held, self.size_bytes = self.size_bytes, 0
        self._queue.clear()
        return held
