"""What a benchmark prints: where it ran, medians by runner, each target with its figure."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import confluent_kafka

from tests.benchmarks.race import Figures, Idle
from tests.parts.brokers import Broker
from tests.parts.jars import jars

_PACKAGES = ("confluent-kafka", "boto3", "botocore", "msgspec", "orjson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was promised, what came, and whether that is enough."""

    what: str
    wanted: str
    figure: str
    met: bool

    def line(self) -> str:
        """One line."""
        return f"{'met   ' if self.met else 'MISSED'} {self.what}: {self.figure} ({self.wanted})"


def at_least(what: str, wanted: float, figure: float, unit: str = "") -> Target:
    """A target that is a lower bound."""
    return Target(
        what=what,
        wanted=f"at least {wanted:,.4g}{unit}",
        figure=f"{figure:,.4g}{unit}",
        met=figure >= wanted,
    )


def at_most(what: str, wanted: float, figure: float, unit: str = "") -> Target:
    """A target that is an upper bound."""
    return Target(
        what=what,
        wanted=f"at most {wanted:,.4g}{unit}",
        figure=f"{figure:,.4g}{unit}",
        met=figure <= wanted,
    )


def broker_version(broker: Broker) -> str:
    """Name and version of the broker, as far as it is ours to know."""
    if broker.name == "embedded":
        return f"embedded (noida-db {importlib.metadata.version('noida-db')})"
    if broker.name == "kafka":
        (server,) = jars("kafka").glob("kafka-server-4*.jar")
        return f"Apache Kafka {server.stem.removeprefix('kafka-server-')}"
    return f"{broker.name} {broker.bootstrap}"


def surroundings(broker: Broker) -> list[str]:
    """Versions and the machine."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return [
        f"broker: {broker_version(broker)}",
        f"Python {platform.python_version()}, librdkafka {confluent_kafka.libversion()[0]}, "
        + ", ".join(versions),
        f"{platform.platform()}, {os.cpu_count()} CPUs, load average {load}",
    ]


def median_of(runs: Iterable[Figures], runner: str) -> Figures:
    """The run of a runner with the median CPU per record."""
    own = sorted((run for run in runs if run.runner == runner), key=lambda run: run.cpu_ms)
    return own[(len(own) - 1) // 2]


def ratio(runs: Sequence[Figures], upper: str, lower: str) -> float:
    """Median over the repetitions of one runner's CPU per record over another's in the same one."""
    above = [run.cpu_ms for run in runs if run.runner == upper]
    below = [run.cpu_ms for run in runs if run.runner == lower]
    return median(a / b for a, b in zip(above, below, strict=True))


def run_line(label: str, run: Figures) -> str:
    """One run."""
    return (
        f"{label:<24}{run.runner:<12}{run.records:>9,} records {run.per_cpu_s:>9,.0f}/CPU s "
        f"{run.cpu_ms:>8.2f} CPU ms/1000 {run.cpu_s:>7.2f} CPU s {run.wall_s:>6.1f} s "
        f"{run.peak_rss_bytes / 1e6:>5.0f} MB {run.transactions / run.wall_s:>5.1f} tx/s "
        f"server {run.server_share:.0%}"
    )


def idle_line(idle: Idle) -> str:
    """The idle connector."""
    return (
        f"{idle.shards} idle shards: {idle.core_share:.1%} of a core, "
        f"{idle.get_records_per_s:.0f} GetRecords/s, at most {idle.get_records_per_shard_s} in a "
        f"second of one shard, at most {idle.describe_stream_s} DescribeStream/s, "
        f"{idle.peak_rss_bytes / 1e6:.0f} MB"
    )
