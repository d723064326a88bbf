"""Whether a processor gets on, as /healthz tells it. Pure: the time comes in."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.wire.turns import STALLED_S

STARTING = "starting"
RUNNING = "running"
PAUSED = "paused"


@dataclass(slots=True)
class Progress:
    """What it does since when, and when its loop last turned."""

    phase: str = STARTING
    since_s: float = 0.0
    beat_s: float = field(default=float("-inf"))

    def enter(self, phase: str, now_s: float) -> None:
        """A new phase begins; entering the same again changes nothing."""
        if phase != self.phase:
            self.phase, self.since_s, self.beat_s = phase, now_s, now_s

    def beat(self, now_s: float) -> None:
        """The loop turned."""
        self.beat_s = now_s

    def problem(self, now_s: float) -> str | None:
        """None when healthy, else one line with what stalls and for how long."""
        if self.phase.startswith("waiting"):
            return f"{self.phase} for {now_s - self.since_s:.0f} s"
        if self.phase in (RUNNING, PAUSED) and now_s - self.beat_s > STALLED_S:
            return f"no turn of the loop for {now_s - self.beat_s:.0f} s"
        if self.phase == STARTING:
            return f"starting for {now_s - self.since_s:.0f} s"
        return None
