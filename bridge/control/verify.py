"""`tailrace verify`: is the table what the source says it should be, row by row and typed?

The source is scanned, the compiled transform says which rows its items should be, and these are
compared with the rows of the Delta table, also while both move (see `recheck`). Columns that
describe the latest change rather than the item have no expected value and are left out.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from bridge.control.comparison import Candidate, Comparison
from bridge.control.dead_letters import dead_lettered, newest_dead_letters
from bridge.control.found import resolved_now
from bridge.control.passing import Passing
from bridge.control.plan import Feed, Plan, load_plan
from bridge.control.read_budget import ReadBudget
from bridge.control.recheck import Suspect, look_again, suspects
from bridge.control.source_items import SINGLE_READS_MAX, ExpectedRows, SourceTable
from bridge.control.table_rows import TableRows
from bridge.wire.generations import read_generations
from bridge.wire.kafka import KafkaConfig

if TYPE_CHECKING:
    from bridge.control.settings import Settings

# More than this many differences are counted, not looked at again one by one.
SUSPECTS_MAX = 50_000
EXAMPLES = 5
# What the connector may need to fetch and commit what the source already shows.
SETTLE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome for one dataset; `clean` when the table is right.

    `in_flight` keys changed at every look; `stalled` says who did not pass in time; `rebuilding` is
    the generation that is being built beside the table. Of a dataset that is a snapshot,
    `since_snapshot` are the keys that differ from the source of now: nothing tells whether they
    changed later.
    """

    table: str
    dataset: str
    source_items: int
    expected_rows: int
    delta_rows: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    in_flight: int = 0
    dead_lettered: int = 0
    stalled: str | None = None
    loading: bool = False
    rebuilding: int | None = None
    left_out: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    unchecked: str | None = None
    snapshot_only: bool = False
    since_snapshot: int = 0

    @property
    def clean(self) -> bool:
        """Nothing missing, extra or different, nothing set aside, nobody stuck.

        A snapshot that differs from the source of now is not: among the later changes a wrong row
        would not show.
        """
        wrong = self.missing + self.extra + self.different + self.dead_lettered
        return not wrong + self.since_snapshot and self.stalled is None

    def as_dict(self) -> dict[str, Any]:
        """The figures."""
        figures = (
            "source_items", "expected_rows", "delta_rows", "missing", "extra", "different",
            "in_flight", "dead_lettered", "since_snapshot",
        )  # fmt: skip
        names = {"table": self.table, "dataset": self.dataset}
        rest = {"stalled": self.stalled, "unchecked": self.unchecked}
        return names | {name: getattr(self, name) for name in figures} | rest

    def line(self) -> str:
        """The outcome in one line."""
        if self.unchecked is not None:
            return f"not checked: {self.dataset}: {self.unchecked}"
        rows = "" if self.expected_rows == self.source_items else f" = {self.expected_rows:,} rows"
        sides = (
            f"{self.table} {self.source_items:,} items{rows}, "
            f"{self.dataset} {self.delta_rows:,} rows"
        )
        if self.snapshot_only and self.since_snapshot:
            return (
                f"NOT verified: a snapshot: {sides}: {self.since_snapshot:,} differ from the "
                "source of now"
            )
        counts = f"{self.missing:,} missing, {self.extra:,} extra, {self.different:,} different"
        rest = "".join(
            f", {count:,} {name}"
            for count, name in (
                (self.in_flight, "in flight"),
                (self.dead_lettered, "dead-lettered"),
            )
            if count
        )
        return f"{'verified' if self.clean else 'NOT verified'}: {sides}: {counts}{rest}"

    def details(self) -> list[str]:
        """What the line leaves out."""
        lines = [*self.examples]
        if self.stalled:
            lines.append(f"{self.stalled} within the time given")
        if self.loading:
            lines.append("a snapshot of the source is still on its way into the table")
        if self.snapshot_only:
            lines.append(
                "the dataset is the source as it was when it was read; what changed later can't be "
                "told from what is wrong. tailrace backfill reads it again, then verify tells"
            )
        if self.rebuilding:
            lines.append(
                f"rebuilding: generation {self.rebuilding} is being built and not shown yet"
            )
        if self.left_out:
            columns = ", ".join(self.left_out)
            lines.append(f"not compared: {columns} (they describe the latest change, not the item)")
        return lines


def run_verify(
    settings: Settings, target: str, *, as_json: bool, timeout_s: float, rcu: float | None = None
) -> bool:
    """Verify every dataset of a file and print the outcome; whether all are clean.

    `rcu` bounds the read capacity units a second that DynamoDB is asked for.

    Raises:
        TailraceError: a side can't be read.
    """
    from bridge.control.show import write_line

    plan = resolved_now(load_plan(target), settings)
    verdicts = verify_plan(plan, settings, timeout_s=timeout_s, rcu=rcu)
    clean = all(verdict.clean for verdict in verdicts)
    for verdict in verdicts if not as_json else ():
        write_line(verdict.line())
        for line in verdict.details():
            write_line(f"  {line}")
    if as_json:
        write_line(json.dumps(summed(verdicts)))
    return clean


def summed(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """All verdicts as one object: their sums, and each."""
    each = [verdict.as_dict() | {"verified": verdict.clean} for verdict in verdicts]
    sums = {
        name: sum(one[name] for one in each)
        for name, value in (each[0] if each else {}).items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    return {"verified": all(v.clean for v in verdicts), **sums, "datasets": each}


def verify_plan(
    plan: Plan, settings: Settings, *, timeout_s: float, rcu: float | None = None
) -> list[Verdict]:
    """Verify every dataset of a plan, one after the other.

    Without brokers nothing is known of what is on its way: each difference counts at once.

    Raises:
        TailraceError: a side can't be read.
    """
    kafka = settings.kafka_config() if settings.brokers else None
    budget = ReadBudget(rcu)
    return [
        Verification(
            feed,
            TableRows(settings.lake_uri(), settings.storage_options(), feed),
            kafka,
            timeout_s=timeout_s,
            budget=budget,
        ).run()
        for feed in plan.feeds
    ]


class Verification:
    """One dataset's.

    Args:
        feed: source, transform and dataset.
        rows: the table's side.
        kafka: where what is on its way can be seen; None if nowhere.
        timeout_s: how long moving keys are looked at again.
        settle_s: what the connector is given to fetch what the source already shows.
        budget: how fast the source may be read.
    """

    def __init__(
        self,
        feed: Feed,
        rows: TableRows,
        kafka: KafkaConfig | None,
        *,
        timeout_s: float,
        settle_s: float = SETTLE_S,
        budget: ReadBudget | None = None,
    ) -> None:
        self._feed = feed
        tables = [
            SourceTable(part.source, part.flow.table, may_be_gone=part.found, budget=budget)
            for part in feed.parts
        ]
        self._expected = ExpectedRows(feed, *tables)
        self._rows = rows
        self._kafka = kafka
        self._deadline_s = time.monotonic() + timeout_s
        self._settle_s = settle_s
        self._stalled: str | None = None
        self._looks = 0

    def run(self) -> Verdict:
        """Compare, and look again at what differs.

        Raises:
            TailraceError: a side can't be read.
        """
        unchecked = self._feed.flow.unchecked
        if self._feed.dataset.mode == "log":
            unchecked = "a log keeps every change, which the items there are now do not tell"
        if unchecked is not None:
            return Verdict(
                table=" + ".join(self._feed.tables),
                dataset=self._feed.dataset.id,
                source_items=0,
                expected_rows=0,
                delta_rows=self._rows.count(),
                unchecked=unchecked,
            )
        with Comparison() as comparison:
            # The table first: what items are found to hold is named as it is there.
            delta_rows = comparison.add_table(self._rows.all(self._expected.columns))
            expected_rows = comparison.add_source(self._expected.all())
            source_items = self._expected.items
            differing = comparison.candidates()
            first = suspects(islice(differing, SUSPECTS_MAX))
            uncounted = Counter(candidate.kind for candidate in differing)
        left = self._look_again(first) if self._kafka is not None and not uncounted else first
        if self._looks:
            delta_rows = self._rows.count()  # more may have arrived since the first look
        judged = {key: s for key, s in left.items() if s.strikes or not self._looks}
        aside = self._dead_lettered(judged)
        counts = uncounted + Counter(s.kind for key, s in judged.items() if key not in aside)
        snapshot_only = all(part.source.snapshot == "only" for part in self._feed.parts)
        since_snapshot = counts.total() if snapshot_only else 0
        if snapshot_only:
            counts.clear()
        shown = [s.candidate for key, s in judged.items() if key not in aside][:EXAMPLES]
        return Verdict(
            table=" + ".join(self._feed.tables),
            dataset=self._feed.dataset.id,
            source_items=source_items,
            expected_rows=expected_rows,
            delta_rows=delta_rows,
            missing=counts["missing"],
            extra=counts["extra"],
            different=counts["different"],
            in_flight=len(left) - len(judged),
            dead_lettered=len(aside),
            stalled=self._stalled,
            loading=self._rows.loading,
            rebuilding=self._rebuilding(),
            left_out=tuple(sorted(self._feed.flow.event_columns)),
            examples=tuple(map(example, shown)),
            snapshot_only=snapshot_only,
            since_snapshot=since_snapshot,
        )

    def _look_again(self, left: dict[str, Suspect]) -> dict[str, Suspect]:
        passing = self._passing()
        while left and not all(suspect.standing for suspect in left.values()):
            if time.monotonic() + self._settle_s > self._deadline_s:
                break
            time.sleep(self._settle_s)
            self._stalled = passing.wait(self._deadline_s)
            if self._stalled is not None:
                break
            table = self._rows.again(self._expected.columns, set(left))
            left = look_again(left, self._expected.again(*self._places(left)), table)
            self._looks += 1
        return left

    def _passing(self) -> Passing:
        assert self._kafka is not None
        return Passing(
            self._kafka,
            tables=self._feed.tables,
            transform=self._feed.flow.transform,
            dataset=self._feed.dataset.id,
            keyed=self._feed.flow.keyed is not None,
            generation=read_generations(self._kafka).current(self._feed.dataset.id),
        )

    def _rebuilding(self) -> int | None:
        if self._kafka is None:
            return None
        return read_generations(self._kafka).building(self._feed.dataset.id)

    def _places(self, left: dict[str, Suspect]) -> tuple[set[str], set[str], bool]:
        """The items to read again, the rows meant, and whether only a scan can find them all."""
        items, unknown = set(), False
        for row_key, suspect in left.items():
            item = suspect.candidate.item_key
            if item is None and not self._feed.flow.stateful:
                item = row_key  # rows are keyed by their item
            if item is None:
                unknown = True
            else:
                items.add(item)
        return items, set(left), unknown or len(items) > SINGLE_READS_MAX

    def _dead_lettered(self, judged: dict[str, Suspect]) -> set[str]:
        if self._kafka is None or not judged:
            return set()
        newest = newest_dead_letters(self._kafka, self._feed.flow.transform)
        return dead_lettered((suspect.candidate for suspect in judged.values()), newest)


def example(candidate: Candidate) -> str:
    """A difference in one line: its key, and the columns that differ. Never their values."""
    if candidate.source is None or candidate.table is None:
        return f"{candidate.kind}: {candidate.row_key}"
    source, table = orjson.loads(candidate.source), orjson.loads(candidate.table)
    names = {*source, *table}
    columns = sorted(name for name in names if source.get(name) != table.get(name))
    return f"{candidate.kind}: {candidate.row_key} in {', '.join(columns)}"
