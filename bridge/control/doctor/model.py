"""One look at one thing: what was found, and what to do about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from bridge.wire.errors import TailraceError

State = Literal["ok", "warning", "problem", "not tried"]
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found: `said` in a few words, `remedy` where something is to be done."""

    state: State
    said: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A finding with its place: an area (`kafka`, `aws`, `lake`, `here`) and what was looked at."""

    area: str
    what: str
    finding: Finding

    def to_json(self) -> dict[str, str]:
        """As `--json` gives it."""
        return {"area": self.area, "check": self.what, **asdict(self.finding)}


def ok(said: str) -> Finding:
    """All is well."""
    return Finding("ok", said)


def warning(said: str, remedy: str) -> Finding:
    """It works, but."""
    return Finding("warning", said, remedy)


def problem(said: str, remedy: str) -> Finding:
    """It will not work."""
    return Finding("problem", said, remedy)


def not_tried(why: str) -> Finding:
    """Nothing is known of it."""
    return Finding("not tried", why)


def look(
    area: str,
    what: str,
    at: Callable[[], Finding],
    *,
    timeout_s: float = TIMEOUT_S,
    remedy: str = "See the cause",
) -> Check:
    """Look, but not for ever: what hangs is a problem, and the next look goes on.

    `remedy` is for what nobody foresaw.
    """
    found: list[Finding] = []

    def run() -> None:
        try:
            found.append(at())
        except TailraceError as error:
            found.append(problem(f"{error.where}: {error.what}", error.remedy))
        except Exception as error:
            found.append(problem(f"{type(error).__name__}: {str(error)[:200]}", remedy))

    thread = threading.Thread(target=run, name=f"doctor-{area}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    hung = problem(f"no answer within {timeout_s:g} s", "Check the address and the network")
    return Check(area, what, found[0] if found else hung)
