"""What a person sees of a running pipeline, as plain values; `view` draws it, `plain` writes it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from bridge.control.pipeline import Light

Operation = Literal["insert", "modify", "remove"]
Tone = Literal["plain", "good", "bad", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One station of the pipeline."""

    title: str
    subtitle: str
    light: Light
    count: int
    unit: str
    rate: float
    history: tuple[float, ...] = ()
    lag_s: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One change, for people: when (seconds into the run), what, of which item, in short."""

    at_s: float
    operation: Operation
    key: str
    detail: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling, seconds into the run."""

    at_s: float
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Step:
    """A phase of the run: done, now, or still to come."""

    title: str
    state: Literal["done", "now", "next"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Everything shown at one moment."""

    title: str
    elapsed_s: float
    steps: tuple[Step, ...]
    boxes: tuple[Box, ...]
    changes: tuple[Shown, ...]
    events: tuple[Event, ...]
    progress: float | None = None
    hint: str = ""


class Journal:
    """Events of a run, the newest last; bounded."""

    def __init__(self, size_max: int = 200) -> None:
        self._events: deque[Event] = deque(maxlen=size_max)

    def add(self, event: Event) -> None:
        """Remember it."""
        self._events.append(event)

    def last(self, count: int) -> tuple[Event, ...]:
        """The newest `count`, oldest of them first."""
        return tuple(self._events)[-count:]
