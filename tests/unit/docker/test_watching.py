"""Alert rules and dashboard: every metric and label they name is one the stages show."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

import bridge.connector.metrics
import processors.metrics
import sinks.metrics
from bridge.wire.observe import Observatory

DOCKER = Path(__file__).parents[3] / "docker"
# Made by Prometheus itself, or by an expression of ours.
OF_PROMETHEUS = {"job", "instance", "le", "owner"}


@functools.cache
def shown() -> dict[str, set[str]]:
    """Every series a stage shows, with its labels, from the registries."""
    found: dict[str, set[str]] = {"up": set()}
    modules = (bridge.connector.metrics, processors.metrics, sinks.metrics)
    for metric in (value for module in modules for value in vars(module).values()):
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            assert family.name in {each.name for each in REGISTRY.collect()}
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for end in ends.get(family.type, [""]):
                found[family.name + end] = set(metric._labelnames)
    registry = CollectorRegistry()
    stage = Observatory(
        host="127.0.0.1", port=0, health=lambda: None, stage="sink", registry=registry
    )
    stage.start()
    for family in registry.collect():
        for sample in family.samples:
            found[sample.name] = set(sample.labels)
    stage.close()
    return found


def rules() -> Iterator[Any]:
    loaded = yaml.safe_load((DOCKER / "prometheus/alerts.yaml").read_text())
    for group in loaded["groups"]:
        yield from group["rules"]


def panels() -> Iterator[Any]:
    yield from json.loads((DOCKER / "grafana/dashboards/tailrace.json").read_text())["panels"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_every_metric_and_label_exists() -> None:
    series = shown()
    for where, expression in expressions():
        named = re.findall(r"\b(tailrace_\w+|up)\b", expression)
        assert named, where
        assert set(named) <= set(series), where
        labels = {label for name in named for label in series[name]} | OF_PROMETHEUS
        selected = re.findall(r"(\w+)\s*=~?\s*\"", expression)
        groups = re.findall(r"by \(([^)]*)\)", expression)
        grouped = [label.strip() for group in groups for label in group.split(",")]
        assert {*selected, *grouped} <= labels, where


def test_what_an_alert_says_is_in_its_result() -> None:
    series = shown()
    for rule in rules():
        text = " ".join(rule["annotations"].values())
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
        metrics = re.findall(r"\b(tailrace_\w+|up)\b", rule["expr"])
        all_of = {label for name in metrics for label in series[name]}
        kept = (grouped or all_of) | OF_PROMETHEUS
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= kept, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "remedy"}
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_what_the_issue_asks_for_has_a_rule() -> None:
    by_name = {rule["alert"]: rule["expr"] for rule in rules()}
    assert len(by_name) == len(list(rules()))
    assert all(
        "> 300" in by_name[f"Tailrace{stage}Lag"] for stage in ("Connector", "Processor", "Sink")
    )
    assert "< 6" in by_name["TailraceTrimSoon"]
    for name in (
        "StageStopped",
        "StageStalled",
        "DeadLetters",
        "SlowRecords",
        "CommitRetries",
        "Gap",
    ):
        assert f"Tailrace{name}" in by_name


def test_files_lie_where_the_running_example_looks_for_them() -> None:
    scrape = yaml.safe_load((DOCKER / "prometheus/prometheus.yaml").read_text())
    assert scrape["rule_files"] == ["/etc/prometheus/alerts.yaml"]
    jobs = {job["job_name"] for job in scrape["scrape_configs"]}
    assert jobs == {"connector", "processor", "sink"}
    uid = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert {panel["datasource"]["uid"] for panel in panels()} == {uid["datasources"][0]["uid"]}


def test_panels_do_not_cover_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
