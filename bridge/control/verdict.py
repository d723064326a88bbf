"""What `verify` found, as lines and as one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.control.comparison import Candidate

_VALUE_MAX = 200
_FIGURES = (
    "source_items", "expected_rows", "delta_rows", "missing", "extra", "different",
    "in_flight", "dead_lettered", "since_snapshot",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome for one dataset; `clean` when the table is right.

    `in_flight` keys changed at every look; `stalled` says who did not pass in time; `rebuilding` is
    the generation that is being built beside the table. Of a dataset that is a snapshot,
    `since_snapshot` are the keys that differ from the source of now: nothing tells whether they
    changed later. `sampled`: only so many items and rows were looked at, None for all.
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
    sampled: int | None = None

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
        names = {"table": self.table, "dataset": self.dataset}
        rest: dict[str, Any] = {"stalled": self.stalled, "unchecked": self.unchecked}
        rest |= {"examples": list(self.examples)} if self.examples else {}
        rest |= {"sample": self.sampled} if self.sampled is not None else {}
        return names | {name: getattr(self, name) for name in _FIGURES} | rest

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
        sample = "" if self.sampled is None else "a sample: "
        return f"{'verified' if self.clean else 'NOT verified'}: {sample}{sides}: {counts}{rest}"

    def details(self) -> list[str]:
        """What the line leaves out."""
        lines = [*self.examples]
        if self.sampled is not None:
            lines.append("what was not drawn was not looked at: without --sample every item is")
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


def summed(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """All verdicts as one object: their sums, and each."""
    each = [verdict.as_dict() | {"verified": verdict.clean} for verdict in verdicts]
    sums = {name: sum(one[name] for one in each) for name in _FIGURES} if each else {}
    return {"verified": all(v.clean for v in verdicts), **sums, "datasets": each}


def example(candidate: Candidate, *, values: bool = False) -> str:
    """A difference in one line: its key, and the columns that differ; with `values` both sides."""
    if candidate.source is None or candidate.table is None:
        sides = {"source": candidate.source, "table": candidate.table}
        shown = "".join(
            f"; {side} {value.decode()}" for side, value in sides.items() if values and value
        )
        return f"{candidate.kind}: {candidate.row_key}{shown}"
    source, table = orjson.loads(candidate.source), orjson.loads(candidate.table)
    columns = sorted(n for n in {*source, *table} if source.get(n) != table.get(n))
    if not values:
        return f"{candidate.kind}: {candidate.row_key} in {', '.join(columns)}"
    pairs = (
        f"{name}: source {_spelled(source.get(name))}, table {_spelled(table.get(name))}"
        for name in columns
    )
    return f"{candidate.kind}: {candidate.row_key} in {'; '.join(pairs)}"


def _spelled(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}…"
