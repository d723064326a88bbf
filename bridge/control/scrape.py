"""Reads a stage's `/metrics`: totals and maxima over its bounded labels, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

_TIMEOUT_S = 2.0
_BODY_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a metric."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a stage said at one moment."""

    samples: tuple[Sample, ...]

    def values(self, name: str, **labels: str) -> list[float]:
        """The values of a metric whose labels contain these."""
        return [
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        """Their sum, 0 without any."""
        return sum(self.values(name, **labels))

    def largest(self, name: str, **labels: str) -> float | None:
        """The largest of them, None without any."""
        return max(self.values(name, **labels), default=None)


def parse(text: str) -> Scrape:
    """The Prometheus text format as samples.

    Raises:
        ValueError: it is not that format.
    """
    from prometheus_client.parser import text_string_to_metric_families

    return Scrape(
        tuple(
            Sample(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
    )


def scrape(port: int, host: str = "127.0.0.1") -> Scrape | None:
    """What the stage says now, None while it does not answer."""
    body = _get(host, port, "/metrics")
    if body is None:
        return None
    try:
        return parse(body[1])
    except ValueError:
        return None


def health(port: int, host: str = "127.0.0.1") -> str | None:
    """What is wrong with the stage, None when it is healthy; not answering is wrong too."""
    answer = _get(host, port, "/healthz")
    if answer is None:
        return "does not answer"
    status, body = answer
    return None if status == 200 else body.strip().splitlines()[0] if body.strip() else "unhealthy"


def _get(host: str, port: int, path: str) -> tuple[int, str] | None:
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(_BODY_BYTES_MAX).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


class Counted:
    """A counter that survives the restarts of the process it counts in."""

    def __init__(self) -> None:
        self._before = 0.0
        self._last = 0.0

    def observe(self, value: float) -> float:
        """The count over all lives, given the present life's own."""
        if value < self._last:
            self._before += self._last
        self._last = value
        return self._before + value
