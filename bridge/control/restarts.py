"""When a stage that ended is started again: pure decisions over its record of ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 15.0
FAILURES_MAX = 8
# Who ran this long was fine: what comes next is a new problem.
STEADY_S = 60.0
EXIT_CONFIGURATION = 2


@dataclass(frozen=True, slots=True)
class Record:
    """Failures in a row of one stage."""

    failures: int = 0


@dataclass(frozen=True, slots=True)
class Again:
    """Start it again after `delay_s`."""

    record: Record
    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Leave it: starting again will not help."""

    reason: str


def after_end(
    record: Record, exit_code: int, ran_s: float, failures_max: int | None = FAILURES_MAX
) -> Again | GiveUp:
    """What to do with a stage that ended by itself.

    A wrong configuration (exit code 2) is never tried again; anything else is, with growing
    delays, until it failed `failures_max` times in a row; None is for ever.
    """
    if exit_code == EXIT_CONFIGURATION:
        return GiveUp("its configuration can't work")
    failures = 1 if ran_s >= STEADY_S else record.failures + 1
    if failures_max is not None and failures >= failures_max:
        return GiveUp(f"it failed {failures} times in a row")
    delay_s = min(BACKOFF_FIRST_S * 2 ** min(failures - 1, 10), BACKOFF_MAX_S)
    return Again(replace(record, failures=failures), delay_s)


def exit_text(exit_code: int) -> str:
    """An exit code as a person says it."""
    import signal

    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
