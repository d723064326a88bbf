"""What the page shows at one moment: threads write it down, requests read it."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bridge.control.ui.alarms import Alarm, alarms, starting, while_starting, without_replaced
from bridge.control.ui.flows import Flow
from bridge.control.ui.series import Point, Series

if TYPE_CHECKING:
    from bridge.control.status.model import Status
    from bridge.control.ui.details import Details

# Longer than two looks: whoever is asked does not answer.
STALE_S = 6.0
RunState = Mapping[str, Any]
"""What a command that runs the pipeline itself says: see `running.py`."""


class Board:
    """The latest status, what flows, and the last hour; safe to use from many threads.

    Args:
        waiting: what is waited for as long as there is no status.
        clean: takes secrets out of a text.
    """

    def __init__(self, waiting: str, clean: Callable[[str], str] = lambda text: text) -> None:
        self._lock = threading.Lock()
        self._clean = clean
        self._id = secrets.token_hex(8)
        self._here = socket.gethostname()
        self._status: Status | None = None
        self._seen_at_s: float | None = None
        self._flows: Mapping[str, Flow] = {}
        self._series: dict[str, Series] = {}
        self._refusing: Mapping[str, float] = {}
        self._problem: str | None = None
        self.waiting = waiting
        self.asked_at_s = float("-inf")
        self.run: Callable[[], RunState] | None = None
        self.details: Callable[[str], Details] | None = None

    def begin(self) -> None:
        """From here on somebody looks: that nothing is found is worth telling."""
        with self._lock:
            self.waiting = "the first look at the pipeline"
            self._seen_at_s = time.monotonic()

    def observe(self, status: Status, flows: Mapping[str, Flow]) -> None:
        """A status was found."""
        with self._lock:
            self._status, self._flows = status, flows
            self._problem, self._seen_at_s = None, time.monotonic()
            for dataset in status.datasets:
                flow = flows.get(dataset.dataset, Flow())
                self._series.setdefault(dataset.dataset, Series()).add(
                    Point(status.at_s, flow.changes, flow.rows, flow.merged, dataset.lag_s)
                )

    def refuses(self, refusing: Mapping[str, float]) -> None:
        """Who does not answer any more, since how many seconds."""
        with self._lock:
            self._refusing = refusing

    def fail(self, problem: str) -> None:
        """No status could be found; the last one stays, with its age, and the charts get a gap."""
        with self._lock:
            if self._problem is None and self._status is not None:
                for series in self._series.values():
                    series.add(Point(time.time()))
            self._problem = self._clean(problem)

    def datasets(self) -> Sequence[str]:
        """Those of the last status."""
        with self._lock:
            return [each.dataset for each in self._status.datasets] if self._status else []

    def state(self, dataset: str | None, since_s: float) -> dict[str, Any]:
        """Everything the page shows, as JSON.

        Args:
            dataset: whose details are wanted; the first one's by default.
            since_s: points after this moment, seconds since 1970.
        """
        run = self.run() if self.run is not None else None
        self.asked_at_s = time.monotonic()
        with self._lock:
            status = self._status
            age_s = 0.0 if self._seen_at_s is None else time.monotonic() - self._seen_at_s
            found: dict[str, Any] = {
                "server": self._id,
                "at_s": time.time(),
                "age_s": None if status is None else round(age_s, 1),
                "problem": self._problem or _silence(age_s),
                "waiting": self.waiting if status is None else None,
                "run": run,
                "status": None,
                "flows": {},
                "alarms": [],
                "selected": None,
            }
            if status is not None:
                stages = (run or {}).get("stages", ())
                status = without_replaced(status, stages, self._here)
                names = starting(status, stages)
                if names:
                    status = while_starting(status, names)
                wrong = alarms(status, self._refusing, stages)
                found["status"] = status.to_json()
                found["flows"] = {name: asdict(flow) for name, flow in self._flows.items()}
                found["alarms"] = [self._plain(alarm) for alarm in wrong]
                found["selected"] = self._selected(status, dataset, since_s)
        if self.details is not None and found["selected"] is not None:
            found["selected"] |= asdict(self.details(found["selected"]["dataset"]))
        return found

    def _selected(
        self, status: Status, dataset: str | None, since_s: float
    ) -> dict[str, Any] | None:
        names = [each.dataset for each in status.datasets]
        if not names:
            return None
        name = dataset if dataset in names else names[0]
        series = self._series.get(name) or Series()
        return {"dataset": name, "series": series.since(since_s)}

    def _plain(self, alarm: Alarm) -> dict[str, str]:
        return {name: self._clean(text) for name, text in asdict(alarm).items()}


def _silence(age_s: float) -> str | None:
    if age_s <= STALE_S:
        return None
    return f"Kafka or the lake has not answered for {age_s:.0f} s"
