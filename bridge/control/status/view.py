"""Draws a status for a terminal: side by side where it is wide, one under another where not.

Drawing is a pure function of the status and the width.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.control.status.assess import letters_command
from bridge.control.status.model import (
    DatasetState,
    Hop,
    State,
    Status,
    TableState,
    Verdict,
    Worker,
)
from bridge.control.view import lag_color, seconds

_STYLES: dict[State, tuple[str, str]] = {
    "running": ("●", "green"),
    "loading": ("◐", "cyan"),
    "catching up": ("◐", "yellow"),
    "paused": ("‖", "yellow"),
    "waiting": ("○", "yellow"),
    "stalled": ("●", "bold red"),
    "stopped": ("✖", "bold red"),
    "GAP": ("✖", "bold red"),
}
_NARROW = 100
_HOURS_WORRY = 6.0


def draw(status: Status, width: int) -> RenderableType:
    """The whole status, for a terminal of this width."""
    narrow = width < _NARROW
    parts: list[RenderableType] = [_heading(status), Text()]
    parts += _blocks(status) if narrow else [_tables(status), Text(), _datasets(status)]
    parts += [Text(), _workers(status.workers, narrow=narrow)]
    problems = list(_problems(status))
    if problems:
        parts += [Text(), *problems]
    return Group(*parts)


def _heading(status: Status) -> Text:
    moment = time.strftime("%H:%M:%S", time.localtime(status.at_s))
    return Text.assemble(
        (" tailrace ", "bold black on cyan"),
        f"  {status.namespace}  {moment}  ",
        _state(Verdict(status.state)),
    )


def _state(verdict: Verdict) -> Text:
    mark, style = _STYLES[verdict.state]
    return Text(f"{mark} {verdict.state}", style=style)


def _grid(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="grey62", pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, no_wrap=index > 0, overflow="fold")
    return table


def _tables(status: Status) -> Table:
    grid = _grid("TABLE", "STATE", "SOURCE → TOPIC", "TO TRIM", "SHARDS", "RECORDS", "CONNECTORS")
    for table in status.tables:
        grid.add_row(
            Text(table.table, style="bold"),
            _state(table.verdict),
            _lag(table.source.lag_s),
            _trim(table),
            _shards(table),
            f"{table.records:,}",
            str(table.workers),
        )
    return grid


def _datasets(status: Status) -> Table:
    grid = _grid(
        "DATASET",
        "STATE",
        "TOPIC → ROWS",
        "ROWS → TABLE",
        "IN ALL",
        "LAST COMMIT",
        "DEAD",
        "PROCESSORS, SINKS",
    )
    for dataset in status.datasets:
        grid.add_row(
            Text(dataset.dataset, style="bold"),
            _state(dataset.verdict),
            _hop(dataset.rows),
            _hop(dataset.table),
            _lag(dataset.lag_s),
            _commit(dataset, status.at_s),
            _dead(dataset.dead_letters),
            f"{dataset.processors}, {dataset.sinks}",
        )
    return grid


def _blocks(status: Status) -> list[RenderableType]:
    found: list[RenderableType] = []
    for table in status.tables:
        found += [
            Text.assemble(("table ", "grey62"), (table.table, "bold"), "  ", _state(table.verdict)),
            Text.assemble("  source → topic  ", _lag(table.source.lag_s), "  ", _trim(table)),
            Text.assemble("  shards  ", _shards(table)),
        ]
    for dataset in status.datasets:
        found += [
            Text.assemble(
                ("dataset ", "grey62"), (dataset.dataset, "bold"), "  ", _state(dataset.verdict)
            ),
            Text.assemble("  topic → rows  ", _hop(dataset.rows)),
            Text.assemble("  rows → table  ", _hop(dataset.table)),
            Text.assemble(
                "  in all  ", _lag(dataset.lag_s), "  dead ", _dead(dataset.dead_letters)
            ),
            Text.assemble("  ", _commit(dataset, status.at_s)),
        ]
    return found


def _workers(workers: Sequence[Worker], *, narrow: bool) -> RenderableType:
    if narrow:
        return Group(
            *(
                Text.assemble(
                    (f"{w.stage} ", "grey62"), f"{w.host}:{w.pid}  ", _state(w.verdict), _heard(w)
                )
                for w in workers
            )
        )
    grid = _grid("PROCESS", "STATE", "WHERE", "HEARD OF", "WORKS ON")
    for worker in workers:
        names = ", ".join(worker.works_on[:4])
        more = f" and {len(worker.works_on) - 4} more" if len(worker.works_on) > 4 else ""
        grid.add_row(
            f"{worker.stage} {worker.name}",
            _state(worker.verdict),
            f"{worker.host}:{worker.pid}",
            f"{seconds(worker.heard_s)} ago",
            names + more,
        )
    return grid


def _heard(worker: Worker) -> str:
    return f"  {seconds(worker.heard_s)} ago"


def _problems(status: Status) -> Iterable[Text]:
    """What is wrong or worth a word, each with the command to type next."""
    named = [
        *((f"table {table.table}", table.verdict) for table in status.tables),
        *((f"dataset {dataset.dataset}", dataset.verdict) for dataset in status.datasets),
    ]
    for name, verdict in named:
        if verdict.reason:
            style = _STYLES[verdict.state][1]
            yield Text.assemble((f"{name}: ", "bold"), (verdict.reason, style))
            if verdict.command:
                yield Text.assemble("  → ", (verdict.command, "bold cyan"))
    if any(table.dead_letters for table in status.tables):
        yield _letters("connector", status.tables[0].dead_letters)
    for dataset in status.datasets:
        if dataset.dead_letters:
            yield _letters(dataset.transform, dataset.dead_letters)


def _letters(owner: str, count: int) -> Text:
    return Text.assemble(
        f"{count:,} dead letters of {owner}  → ", (letters_command(owner), "bold cyan")
    )


def _lag(lag_s: float | None) -> Text:
    return Text("?", style="grey50") if lag_s is None else Text(seconds(lag_s), lag_color(lag_s))


def _hop(hop: Hop) -> Text:
    text = _lag(hop.lag_s)
    if hop.records:
        text.append(f", {hop.records:,} records", style="grey74")
    return text


def _trim(table: TableState) -> Text:
    hours = table.hours_to_trim
    if hours is None:
        return Text("?", style="grey50")
    return Text(f"{hours:.1f} h", style="bold red" if hours < _HOURS_WORRY else "default")


def _shards(table: TableState) -> str:
    shards = table.shards
    return f"{shards.open} open, {shards.waiting} waiting, {shards.done} done"


def _dead(count: int) -> Text:
    return Text(f"{count:,}", style="yellow" if count else "default")


def _commit(dataset: DatasetState, now_s: float) -> str:
    if dataset.version is None:
        return "no table read"
    if dataset.committed_s is None:
        return f"version {dataset.version}"
    return f"version {dataset.version}, {seconds(max(0.0, now_s - dataset.committed_s))} ago"
