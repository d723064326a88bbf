"""`tailrace verify`: is the table what the source says it should be, row by row and typed?

The source is scanned, the compiled transform says which rows its items should be, and these are
compared with the rows of the Delta table, also while both move (see `recheck`). Columns that
describe the latest change rather than the item have no expected value and are left out.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from bridge.control.bar import Bar
from bridge.control.comparison import Comparison, forget
from bridge.control.dead_letters import dead_lettered, newest_dead_letters
from bridge.control.found import resolved_now
from bridge.control.passing import Passing
from bridge.control.plan import Feed, Plan, load_plan
from bridge.control.read_budget import ReadBudget
from bridge.control.recheck import Suspect, look_again, suspects
from bridge.control.source_items import SINGLE_READS_MAX, ExpectedRows, Mark, SourceTable
from bridge.control.table_rows import TableRows
from bridge.control.verdict import Verdict, example, summed
from bridge.wire.errors import ConfigurationError
from bridge.wire.generations import read_generations
from bridge.wire.kafka import KafkaConfig

if TYPE_CHECKING:
    from bridge.control.settings import Settings

# More than this many differences are counted, not looked at again one by one.
SUSPECTS_MAX = 50_000
EXAMPLES = 5
# What the connector may need to fetch and commit what the source already shows.
SETTLE_S = 3.0
# What was read a day ago says little, and most of it would have to be looked at again.
KEPT_MAX_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Manner:
    """How a comparison is made.

    Args:
        timeout_s: how long moving keys are looked at again.
        rcu: read capacity units a second that DynamoDB is asked for; None without limit.
        sample: so many items and rows instead of all.
        kept: where an interrupted run is kept, to go on from there; None: nowhere.
        values: whether both sides of the first differences are shown.
    """

    timeout_s: float
    rcu: float | None = None
    sample: int | None = None
    kept: Path | None = None
    values: bool = False


def run_verify(settings: Settings, target: str, manner: Manner, *, as_json: bool) -> bool:
    """Verify every dataset of a file and print the outcome; whether all are clean.

    Raises:
        ConfigurationError: an interrupted run can't be gone on with.
        TailraceError: a side can't be read.
    """
    from bridge.control.show import write_line

    if manner.kept is not None and (manner.sample is not None or not settings.brokers):
        raise ConfigurationError(
            "an interrupted run can be gone on with where Kafka tells what moved since, and all "
            "items are looked at",
            where="verify --resume",
            remedy="Set TAILRACE_BROKERS, and leave --sample out",
        )
    plan = resolved_now(load_plan(target), settings)
    with Bar(shown=False if as_json else None) as bar:
        verdicts = verify_plan(plan, settings, manner, bar)
    clean = all(verdict.clean for verdict in verdicts)
    for verdict in verdicts if not as_json else ():
        write_line(verdict.line())
        for line in verdict.details():
            write_line(f"  {line}")
    if as_json:
        write_line(json.dumps(summed(verdicts)))
    return clean


def verify_plan(
    plan: Plan, settings: Settings, manner: Manner, bar: Bar | None = None
) -> list[Verdict]:
    """Verify every dataset of a plan, one after the other.

    Without brokers nothing is known of what is on its way: each difference counts at once.

    Raises:
        TailraceError: a side can't be read.
    """
    kafka = settings.kafka_config() if settings.brokers else None
    return [
        Verification(
            feed,
            TableRows(settings.lake_uri(), settings.storage_options(), feed),
            kafka,
            manner,
            budget=ReadBudget(manner.rcu),
            bar=bar,
            kept=_kept(settings, feed, manner.kept),
        ).run()
        for feed in plan.feeds
    ]


def _kept(settings: Settings, feed: Feed, folder: Path | None) -> Path | None:
    """The file of this comparison; one that is too old to go on with is removed."""
    if folder is None:
        return None
    what = [settings.namespace, settings.lake, feed.dataset.id, *feed.tables, feed.flow.source]
    file = folder / f"{hashlib.sha256(orjson.dumps(what)).hexdigest()[:24]}.db"
    if file.exists() and time.time() - file.stat().st_mtime > KEPT_MAX_S:
        forget(file)
    return file


class Verification:
    """One dataset's.

    Args:
        feed: source, transform and dataset.
        rows: the table's side.
        kafka: where what is on its way can be seen; None if nowhere.
        manner: how.
        settle_s: what the connector is given to fetch what the source already shows.
        budget: how fast the source may be read.
        bar: shows how far it is.
        kept: the file of a run that can be gone on with.
    """

    def __init__(
        self,
        feed: Feed,
        rows: TableRows,
        kafka: KafkaConfig | None,
        manner: Manner,
        *,
        settle_s: float = SETTLE_S,
        budget: ReadBudget | None = None,
        bar: Bar | None = None,
        kept: Path | None = None,
    ) -> None:
        self._feed = feed
        tables = [
            SourceTable(part.source, part.flow.table, may_be_gone=part.found, budget=budget)
            for part in feed.parts
        ]
        self._expected = ExpectedRows(feed, *tables)
        self._rows = rows
        self._kafka = kafka
        self._manner = manner
        self._bar = bar or Bar(shown=False)
        self._kept = kept
        self._choice = random.Random()  # noqa: S311 (a sample, no secret)
        self._settle_s = settle_s
        self._stalled: str | None = None
        self._looks = 0

    def run(self) -> Verdict:
        """Compare, and look again at what differs.

        Raises:
            TailraceError: a side can't be read.
        """
        unchecked = self._unchecked()
        if unchecked is not None:
            return Verdict(
                table=" + ".join(self._feed.tables),
                dataset=self._feed.dataset.id,
                source_items=0,
                expected_rows=0,
                delta_rows=self._rows.count(),
                unchecked=unchecked,
            )
        with Comparison(self._kept) as comparison:
            if self._manner.sample is not None:
                delta_rows = self._draw(comparison, self._manner.sample)
            else:
                delta_rows = self._fill(comparison)
            expected_rows, source_items = comparison.expected, self._expected.items
            differing = comparison.candidates()
            first = suspects(islice(differing, SUSPECTS_MAX))
            uncounted = Counter(candidate.kind for candidate in differing)
        self._deadline_s = time.monotonic() + self._manner.timeout_s
        left = self._look_again(first) if self._kafka is not None and not uncounted else first
        if self._looks and self._manner.sample is None:
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
            examples=tuple(example(one, values=self._manner.values) for one in shown),
            snapshot_only=snapshot_only,
            since_snapshot=since_snapshot,
            sampled=self._manner.sample,
        )

    def _unchecked(self) -> str | None:
        """Why it can't be verified, None where it can."""
        if self._feed.dataset.mode == "log":
            return "a log keeps every change, which the items there are now do not tell"
        keyed = any(part.flow.keyed is not None for part in self._feed.parts)
        if keyed and self._manner.sample is not None:
            return "its rows come of many items, which a sample does not have"
        return self._feed.flow.unchecked

    def _fill(self, comparison: Comparison) -> int:
        """Both sides whole; how many rows the table has.

        The table first: what items are found to hold is named as it is there.
        """
        bar, dataset = self._bar, self._feed.dataset.id
        bar.step(f"rows of {dataset}", self._rows.count())
        found = comparison.add_table(bar.counting(self._rows.all(self._expected.columns)))
        bar.step(f"items of {' + '.join(self._feed.tables)}, about", self._expected.items_about)
        kept = comparison.mark
        begin = Mark(**orjson.loads(kept)) if kept is not None else None
        for rows, mark in self._expected.steps(begin):
            comparison.add_step(rows, orjson.dumps(asdict(mark)).decode())
            bar.reach(mark.items)
        return found

    def _draw(self, comparison: Comparison, count: int) -> int:
        """Items drawn with their rows, and rows drawn with their items; how many rows were found.

        Of a transform with state a row does not tell its item, so there only items are drawn.
        """
        self._bar.step(f"{count:,} items, and as many rows", None)
        columns = self._expected.columns
        expected = {row.row_key: row for row in self._expected.sample(count, self._choice)}
        rows = self._rows.again(columns, set(expected))
        if not self._feed.flow.stateful:
            drawn = self._rows.some(count, self._choice) - expected.keys()
            rows |= self._rows.again(columns, drawn)
            expected |= self._expected.again(drawn, drawn, scan=False)
        found = comparison.add_table(row for copies in rows.values() for row in copies)
        comparison.add_source(expected.values())
        return found

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
