"""The view: a pure drawing that fits its terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bridge.control.pipeline import Light
from bridge.control.screen import Box, Event, Journal, Screen, Shown, Step
from bridge.control.show import status_line
from bridge.control.view import draw, lag_color, seconds, sparkline


def box(title: str, light: Light = "running", lag_s: float | None = 0.4) -> Box:
    return Box(
        title=title,
        subtitle=f"about {title}",
        light=light,
        count=12_345,
        unit="changes",
        rate=98,
        history=tuple(float(n) for n in range(24)),
        lag_s=lag_s,
        note="version 41",
    )


def screen(*, changes: bool = True) -> Screen:
    boxes = (box("DynamoDB", lag_s=None), box("connector"), box("processor"), box("sink", "down"))
    return Screen(
        title="demo",
        elapsed_s=21.4,
        steps=(Step("parts", "done"), Step("live", "now"), Step("verify", "next")),
        boxes=boxes,
        changes=tuple(Shown(n, "modify", f"o-{n}", "x") for n in range(9)) if changes else (),
        events=tuple(Event(n, f"event {n} [not markup]") for n in range(9)),
        progress=0.4,
        hint="a hint",
    )


def drawn(shown: Screen, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(draw(shown, width, height))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text.rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(160, 50), (120, 30), (110, 24), (80, 24), (60, 20)])
@pytest.mark.parametrize("changes", [True, False])
def test_it_fits_the_terminal(width: int, height: int, changes: bool) -> None:
    lines = drawn(screen(changes=changes), width, height)

    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [120, 80])
def test_it_shows_what_matters(width: int) -> None:
    text = "\n".join(drawn(screen(), width, 40))

    for part in ("connector", "12,345", "98/s", "lag 0.4 s", "version 41", "o-8", "a hint"):
        assert part in text
    assert "event 8 [not markup]" in text
    assert "✖" in text


def test_sparkline_scales_to_its_own_maximum() -> None:
    assert sparkline([0, 4, 8]) == "▁▄█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline([1.0] * 50, 16)) == 16


def test_seconds_are_said_as_people_say_them() -> None:
    assert [seconds(n) for n in (0.84, 125, 7300)] == ["0.8 s", "2 min", "2.0 h"]
    assert [lag_color(n) for n in (1, 30, 90)] == ["green", "yellow", "bold red"]


def test_the_plain_line_has_every_station() -> None:
    line = status_line(screen())

    assert "connector 12,345 (98/s, lag 0.4 s)" in line
    assert "sink 12,345 (98/s, lag 0.4 s, down)" in line


def test_the_journal_keeps_the_newest() -> None:
    journal = Journal(size_max=3)
    for n in range(5):
        journal.add(Event(n, str(n)))

    assert [event.text for event in journal.last(2)] == ["3", "4"]
    assert len(journal.last(9)) == 3
