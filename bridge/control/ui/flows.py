"""How much flows on each stretch of the way, from what each topic holds and each reader passed.

Everything is counted in offsets of Kafka, whoever works on it and wherever: markers of transactions
count too, a few a second beside the records.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.control.meter import Meter
from bridge.wire.generations import named
from bridge.wire.topics import TopicNames

if TYPE_CHECKING:
    from bridge.control.status.facts import Facts, Route

WINDOW_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A dataset's way at one moment, in offsets a second; None: not known.

    `tables` is what came into each table's topic, `reads` what the transform took from it, `rows`
    what it wrote, `merged` what is in the table.
    """

    tables: Mapping[str, float | None] = field(default_factory=dict)
    reads: Mapping[str, float | None] = field(default_factory=dict)
    rows: float | None = None
    merged: float | None = None

    @property
    def changes(self) -> float | None:
        """Of all its tables."""
        known = [rate for rate in self.tables.values() if rate is not None]
        return sum(known) if known else None


class Flows:
    """Remembers the last seconds, so that counts become rates."""

    def __init__(self) -> None:
        self._meters: dict[Hashable, Meter] = {}

    def observe(self, facts: Facts) -> dict[str, Flow]:
        """The flows at this moment, by dataset."""
        return {route.dataset: self._flow(facts, route) for route in facts.routes}

    def _flow(self, facts: Facts, route: Route) -> Flow:
        names = TopicNames(facts.namespace)
        generation = facts.generations.current(route.dataset)
        dataset = named(route.dataset, generation)
        group = names.group(named(route.transform, generation))
        topics = {table: names.changes(table) for table in route.tables}
        rows = names.rows(dataset)
        return Flow(
            tables={t: self._rate(facts, topic) for t, topic in topics.items()},
            reads={t: self._rate(facts, topic, group) for t, topic in topics.items()},
            rows=self._rate(facts, rows),
            merged=self._rate(facts, rows, names.group(f"sink.{dataset}")),
        )

    def _rate(self, facts: Facts, topic: str, group: str | None = None) -> float | None:
        known = facts.topics.get(topic)
        if known is None:
            return None
        count = known.end
        if group is not None:
            waiting = facts.waiting.get((group, topic))
            if waiting is None:
                return None
            count -= waiting.records
        meter = self._meters.setdefault((topic, group), Meter(WINDOW_S))
        meter.observe(facts.at_s, count)
        return meter.rate
