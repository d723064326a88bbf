"""What only the owner of bucket 0 does: look at AWS, and write what concerns a table as a whole.

The surveyor looks in a thread of its own, slowly: every half minute, sooner when an ended shard has
no known continuation. The decisions over what it saw are pure (`generation`); their records go
through bucket 0's producer, so a leader that was replaced can't write any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bridge.connector import listing
from bridge.connector.checkpoints import Shard
from bridge.connector.failures import Failure, Trouble
from bridge.connector.generation import Decision, Survey
from bridge.connector.tables import Table, check_view_type, describe
from bridge.connector.tasks import Feed
from bridge.connector.work import Message
from bridge.wire.envelope import CONTROL_KEY, Sealed
from bridge.wire.errors import TailraceError
from bridge.wire.namespace import NAMESPACE_PARTITION

logger = logging.getLogger(__name__)

_SOON_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the leader wants to know about a table.

    `streams` are ARNs to list besides the latest; `known` the ARN its feed runs on, if any;
    `parents` shards no listing has shown, as `(arn, shard)`; `aged` shards to be forgotten as soon
    as AWS does not know them; `childless` ended shards whose continuation is unknown.
    """

    streams: frozenset[str] = frozenset()
    known: str | None = None
    parents: frozenset[tuple[str, str]] = frozenset()
    aged: frozenset[tuple[str, str]] = frozenset()
    childless: int = 0


@dataclass(slots=True)
class _Round:
    due_at: float = 0.0
    wait_s: float = _SOON_S
    childless: int = 0


class Surveyor:
    """Looks at AWS for the leader.

    Args:
        feeds: the tables.
        segments_min: least number of parts of a scan.
        interval_s: how often each table is looked at when nothing presses.
        turn_on: called with a table whose stream is off, to enable it; None where that is refused.
        streamless: tables of which the items alone are wanted.
    """

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        *,
        streamless: frozenset[str] = frozenset(),
        segments_min: int,
        interval_s: float,
        turn_on: Callable[[str], object] | None,
    ) -> None:
        self._feeds = feeds
        self._streamless = streamless
        self._segments_min = segments_min
        self._interval_s = interval_s
        self._turn_on = turn_on
        self._orders: dict[str, Order] = {}
        self._surveys: dict[str, Survey] = {}
        self._rounds = {name: _Round() for name in feeds}
        self.problems: dict[str, str] = {}
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._leading = False
        self._thread = threading.Thread(target=self._run, name="connector-surveyor", daemon=True)

    def start(self) -> None:
        """Begin to look, as soon as `lead` says so."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def lead(self, orders: Mapping[str, Order]) -> dict[str, Survey]:
        """What is wanted now; the newest surveys."""
        with self._changed:
            self._orders = dict(orders)
            self._leading = True
            for name, order in orders.items():
                current = self._rounds[name]
                if order.childless != current.childless or (
                    order.parents and current.wait_s >= self._interval_s
                ):
                    current.childless = order.childless
                    current.wait_s = _SOON_S
                    current.due_at = min(current.due_at, time.monotonic() + _SOON_S)
            self._changed.notify()
            return dict(self._surveys)

    def follow(self) -> None:
        """Another worker leads: forget what was seen."""
        with self._changed:
            self._leading = False
            self._surveys.clear()
            self.problems.clear()
            for current in self._rounds.values():
                current.due_at = 0.0

    def _run(self) -> None:
        while not self._stop.is_set():
            name = self._next()
            if name is not None:
                self._look(name)

    def _next(self) -> str | None:
        with self._changed:
            if self._leading:
                name = min(self._rounds, key=lambda each: self._rounds[each].due_at)
                wait_s = self._rounds[name].due_at - time.monotonic()
                if wait_s <= 0 and name in self._orders:
                    return name
                self._changed.wait(min(max(wait_s, 0.05), 1.0))
            else:
                self._changed.wait(1.0)
        return None

    def _look(self, name: str) -> None:
        order = self._orders[name]
        survey: Survey | None = None
        try:
            survey, problem = self._survey(self._feeds[name], order)
        except (Failure, TailraceError) as error:
            problem = str(error)
        except Exception as error:  # an answer of a form nobody knows must not end the looking
            logger.exception("survey failed", extra={"table": name})
            problem = f"{type(error).__name__} while listing shards"
        if problem:
            logger.warning("survey incomplete", extra={"table": name, "cause": problem})
        with self._changed:
            current = self._rounds[name]
            pressing = survey is None or order.childless or order.parents
            current.wait_s = min(current.wait_s * 2, self._interval_s)
            if not pressing:
                current.wait_s = self._interval_s
            current.due_at = time.monotonic() + current.wait_s
            if problem:
                self.problems[name] = problem
            else:
                self.problems.pop(name, None)
            if survey is not None and self._leading:
                self._surveys[name] = survey

    def _survey(self, feed: Feed, order: Order) -> tuple[Survey | None, str]:
        table = describe(feed.region, feed.table)
        if feed.table in self._streamless:
            return self._survey_items(table), ""
        if not table.enabled and self._turn_on is not None:
            self._turn_on(feed.table)
            table = describe(feed.region, feed.table)
        if table.enabled and table.arn != order.known:
            check_view_type(table, f"table {table.name} in {feed.region.name}")
        following = self._following(feed, order.known, table)
        listings: dict[str, tuple[Shard, ...]] = {}
        for stream in sorted(order.streams | set(following[:1]) | _latest(table)):
            listings[stream] = self._listed(feed, stream, latest=stream == table.arn)
        arn = table.arn if table.enabled else order.known
        begins = {s for s in (*following[:1], arn) if s is not None and s != order.known}
        if any(self._inconsistent(feed, listings[stream]) for stream in begins):
            return None, "the first listing lacks shards that can be read"
        gone = frozenset(
            (stream, shard)
            for stream, shard in order.parents | order.aged
            if all(shard != listed.shard for listed in listings.get(stream, ()))
            and not listing.exists(feed.region, stream, shard)
        )
        survey = Survey(
            arn=arn,
            age_s=table.stream_age_s(time.time()),
            following=following,
            listings=listings,
            gone=gone,
            segments=table.segments(self._segments_min),
        )
        return survey, "" if table.enabled else "the stream is off: changes are not recorded"

    def _survey_items(self, table: Table) -> Survey:
        """What is to be known of a table whose stream nobody reads."""
        return Survey(
            arn=table.own_arn,
            age_s=None,
            listings={table.own_arn: ()},
            segments=table.segments(self._segments_min),
        )

    def _following(self, feed: Feed, known: str | None, table: Table) -> tuple[str, ...]:
        """The streams after the one that is read now, oldest first; none while there is none."""
        if known is None or table.arn is None or table.arn == known:
            return ()
        streams = listing.list_streams(feed.region, feed.table)
        if known in streams:
            later = streams[streams.index(known) + 1 :]
        else:
            later = tuple(stream for stream in streams if stream > known)  # they end in their date
        between = tuple(stream for stream in later if stream != table.arn)
        return (*between, table.arn) if table.enabled else between

    def _listed(self, feed: Feed, arn: str, *, latest: bool) -> tuple[Shard, ...]:
        try:
            return listing.list_shards(feed.region, arn, self._stop)
        except Failure as failure:
            if failure.trouble is Trouble.GONE and not latest:
                return ()  # 24 hours after it was disabled: what was not read of it is a gap
            raise

    def _inconsistent(self, feed: Feed, listed: tuple[Shard, ...]) -> bool:
        """Whether a shard that can be read is missing: its child would be begun before it."""
        names = {shard.shard for shard in listed}
        absent = {(s.arn, s.parent) for s in listed if s.parent and s.parent not in names}
        missing = [parent for arn, parent in absent if listing.exists(feed.region, arn, parent)]
        if missing:
            logger.info("incomplete listing", extra={"table": feed.table, "missing": len(missing)})
        return bool(missing)


def _latest(table: Table) -> set[str]:
    return {table.arn} if table.arn and table.enabled else set()


def decision_messages(decision: Decision, checkpoints: str, changes: str, of: int) -> list[Message]:
    """A decision as messages: what is forgotten first, then what is kept in its order."""
    messages = [
        Message(checkpoints, key, None, partition=NAMESPACE_PARTITION) for key in decision.forget
    ]
    messages += [
        Message(checkpoints, record.key(), record.value(), partition=NAMESPACE_PARTITION)
        for record in decision.keep
    ]
    messages += [
        Message(changes, CONTROL_KEY, seal.encode(), seal.partition, Sealed.headers())
        for partition in range(of)
        for seal in _seals(decision, partition, of)
    ]
    if decision.seal is not None:
        seal = decision.seal
        messages.append(
            Message(checkpoints, seal.key(), seal.value(), partition=NAMESPACE_PARTITION)
        )
    return messages


def _seals(decision: Decision, partition: int, of: int) -> Iterator[Sealed]:
    if decision.seal is not None:
        seal = decision.seal
        yield Sealed(seal.table, seal.epoch, partition, of, seal.scanned)
    for scan in decision.complete:
        yield Sealed(scan.table, scan.epoch, partition, of, addressed_to=scan.transform)
