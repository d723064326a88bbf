"""Draws a `Screen` for a terminal: stations with arrows between them, last changes, events.

Drawing is a pure function of the screen and the width, so that it can be tested and looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.align import Align
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.control.pipeline import Light
from bridge.control.screen import Box, Event, Screen, Shown, Step

_LIGHTS: dict[Light, tuple[str, str, str]] = {
    "off": ("○", "grey50", "off"),
    "starting": ("◐", "yellow", "starting"),
    "running": ("●", "green", "running"),
    "troubled": ("●", "yellow", "troubled"),
    "down": ("✖", "bold red", "DOWN"),
}
_SPARKS = " ▁▂▃▄▅▆▇█"
_TONES = {"plain": "default", "good": "green", "bad": "bold red", "note": "cyan"}
_OPERATIONS = {"insert": ("+", "green"), "modify": ("~", "yellow"), "remove": ("-", "red")}
_ACCENT = "cyan"
_NARROW = 110
SHOWN_CHANGES = 7


def draw(screen: Screen, width: int, height: int = 40) -> RenderableType:
    """The whole screen, for a terminal of this size; small ones get a compact one."""
    narrow = width < _NARROW
    stations = _compact(screen.boxes) if narrow else _stations(screen.boxes)
    parts: list[RenderableType] = [_heading(screen), Text(), stations]
    if screen.progress is not None:
        bar = ProgressBar(
            total=1.0,
            completed=screen.progress,
            width=width,
            style="grey23",
            complete_style=_ACCENT,
            finished_style="green",
        )
        parts += [Text(), bar]
    parts += [Text(), _lower(screen, _lines(narrow, bool(screen.changes), height), narrow=narrow)]
    if screen.hint:
        parts.append(Text(f" {screen.hint}", style="grey58", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _lines(narrow: bool, changes: bool, height: int) -> int:
    """How many lines a panel below the stations can have."""
    taken = (12 if narrow else 14) + 3
    panels = 2 if narrow and changes else 1
    return max(2, min(SHOWN_CHANGES, (height - taken) // panels - 2 + (panels - 1)))


def _heading(screen: Screen) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right")
    title = Text.assemble((" tailrace ", f"bold black on {_ACCENT}"), ("  " + screen.title, "bold"))
    line.add_row(title, Text(f"{screen.elapsed_s:5.1f} s", style="bold"))
    return Group(line, Text(), _steps(screen.steps))


def _steps(steps: Sequence[Step]) -> Text:
    marks = {"done": ("✔", "green"), "now": ("▶", f"bold {_ACCENT}"), "next": ("·", "grey50")}
    text = Text()
    for step in steps:
        mark, style = marks[step.state]
        text.append(f" {mark} {step.title} ", style=style)
    return text


def _stations(boxes: Sequence[Box]) -> RenderableType:
    grid = Table.grid(expand=True, padding=0)
    cells: list[RenderableType] = []
    for index, station in enumerate(boxes):
        if index:
            grid.add_column(width=3, justify="center", vertical="middle")
            cells.append(_arrow(station))
        grid.add_column(ratio=1)
        cells.append(_station(station))
    grid.add_row(*cells)
    return grid


def _compact(boxes: Sequence[Box]) -> RenderableType:
    """One line per station, for terminals too narrow for boxes side by side."""
    table = Table.grid(expand=True, padding=(0, 2, 0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for station in boxes:
        mark, color, _word = _LIGHTS[station.light]
        table.add_row(
            Text.assemble((f"{mark} ", color), (station.title, "bold")),
            Text.assemble((f"{station.count:,}", "bold"), (f" {station.unit}", "grey62")),
            Text(sparkline(station.history, 10), style=_ACCENT),
            Text(f"{station.rate:,.0f}/s", style="grey74"),
            _lag(station),
        )
    return table


def _arrow(target: Box) -> Text:
    flowing = target.rate > 0 and target.light == "running"
    return Text("\n\n\n━▶" if flowing else "\n\n\n─▷", style=_ACCENT if flowing else "grey42")


def _station(station: Box) -> Panel:
    mark, color, word = _LIGHTS[station.light]
    body = Table.grid(expand=True)
    body.add_column(ratio=1)
    body.add_row(Text(station.subtitle, style="grey62", overflow="ellipsis", no_wrap=True))
    count = Text.assemble((f"{station.count:,}", "bold"), (f" {station.unit}", "grey62"))
    body.add_row(count)
    body.add_row(
        Text.assemble((sparkline(station.history), _ACCENT), (f" {station.rate:,.0f}/s", "grey74"))
    )
    body.add_row(_lag(station))
    border = color if station.light in ("down", "troubled", "starting") else "grey42"
    return Panel(
        body,
        title=Text.assemble((f" {station.title} ", "bold")),
        title_align="left",
        subtitle=Text(f" {mark} {word} ", style=color),
        subtitle_align="left",
        border_style=border,
        box=box.HEAVY if station.light == "down" else box.ROUNDED,
        padding=(0, 1),
    )


def _lag(station: Box) -> Text:
    if station.note and station.lag_s is None:
        return Text(station.note, style="grey74", overflow="ellipsis", no_wrap=True)
    text = Text(no_wrap=True, overflow="ellipsis")
    if station.lag_s is not None:
        text.append(f"lag {seconds(station.lag_s)}", style=lag_color(station.lag_s))
    if station.note:
        text.append(f"  {station.note}", style="grey74")
    return text


def _lower(screen: Screen, lines: int, *, narrow: bool) -> RenderableType:
    events = _panel("events", _events(screen.events[-lines:]), lines)
    if not screen.changes:
        return events
    changes = _panel("last changes", _changes(screen.changes[-lines:]), lines)
    if narrow:
        return Group(changes, events)
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    grid.add_column(ratio=5)
    grid.add_column(ratio=6)
    grid.add_row(changes, events)
    return grid


def _panel(title: str, body: RenderableType, lines: int) -> Panel:
    return Panel(
        Align.left(body),
        title=Text(f" {title} ", style="bold"),
        title_align="left",
        border_style="grey42",
        box=box.ROUNDED,
        height=lines + 2,
        padding=(0, 1),
    )


def _changes(changes: Sequence[Shown]) -> Table:
    table = Table.grid(padding=(0, 1))
    for width in (5, 8, 8, None):
        table.add_column(no_wrap=True, overflow="ellipsis", min_width=width)
    for change in changes:
        mark, color = _OPERATIONS[change.operation]
        table.add_row(
            Text(f"{change.at_s:5.1f}", style="grey50"),
            Text(f"{mark} {change.operation}", style=color),
            Text(change.key, style="bold"),
            Text(change.detail, style="grey74"),
        )
    return table


def _events(events: Sequence[Event]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, min_width=5)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for event in events:
        table.add_row(
            Text(f"{event.at_s:5.1f}", style="grey50"), Text(event.text, style=_TONES[event.tone])
        )
    return table


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """The last `width` values as small bars, scaled to their own maximum."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return "▁" * len(shown)
    return "".join(_SPARKS[max(1, round(value / top * 8))] for value in shown)


def seconds(value: float) -> str:
    """`0.84` -> `0.8 s`, `125` -> `2 min`, `7300` -> `2.0 h`."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 3600 else f"{value / 3600:.1f} h"


def lag_color(lag_s: float) -> str:
    """Green to red, by what a person would worry about."""
    return "green" if lag_s < 5 else "yellow" if lag_s < 60 else "bold red"
