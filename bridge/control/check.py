"""`tailrace check`: every transform of a file compiled, and what it will do; starts nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from bridge.control.plan import Feed, load_plan

if TYPE_CHECKING:
    from bridge.control.plan import Plan


def run_check(target: str, *, as_json: bool) -> None:
    """Print what a file's transforms read, write and keep.

    Raises:
        ConfigurationError: a mistake, pointing at its character.
    """
    plan = load_plan(target)
    found = [_described(feed) for feed in plan.feeds]
    if as_json:
        typer.echo(json.dumps({"file": str(plan.path), "datasets": found}))
        return
    for entry in found:
        for line in _lines(entry):
            typer.echo(line)
    typer.echo(_verdict(plan))


def _described(feed: Feed) -> dict[str, Any]:
    flow, dataset = feed.flow, feed.dataset
    columns = {column.name: column.type for column in flow.schema.columns}
    return {
        "transform": flow.transform,
        "tables": list(feed.tables),
        "dataset": dataset.id,
        "mode": dataset.mode,
        "partition_by": list(dataset.partition_by),
        "cluster_by": list(dataset.cluster_by),
        "deletes": dataset.deletes,
        "path": dataset.path,
        "key": list(flow.schema.key),
        "columns": columns,
        "unfolds": flow.unfolds,
        "state": flow.stateful,
        "not_verified": sorted(flow.event_columns),
        "unchecked": flow.unchecked,
    }


def _lines(entry: dict[str, Any]) -> list[str]:
    key = ", ".join(entry["key"]) or "the item's own key"
    way = f"{entry['transform']}: {' + '.join(entry['tables'])} -> {entry['dataset']}"
    state = "keeps state" if entry["state"] else "no state"
    lines = [f"{way} ({entry['mode']}, keyed by {key}, {state})"]
    if entry["partition_by"]:
        lines.append(f"  partitioned by {', '.join(entry['partition_by'])}")
    if entry["cluster_by"]:
        lines.append(f"  sorted by {', '.join(entry['cluster_by'])}")
    if entry["deletes"] == "soft":
        lines.append("  deleted rows stay, with _deleted true")
    if entry["path"] is not None:
        lines.append(f"  its table lies at {entry['path']}")
    width = max((len(name) for name in entry["columns"]), default=0)
    lines += [f"  {name:<{width}}  {of}" for name, of in entry["columns"].items()]
    if entry["unfolds"]:
        lines.append("  *: a column for every attribute of the items, as they are found")
    if entry["unchecked"]:
        lines.append(f"  verify can't check it: {entry['unchecked']}")
    elif entry["not_verified"]:
        lines.append(f"  verify leaves out: {', '.join(entry['not_verified'])}")
    return lines


def _verdict(plan: Plan) -> str:
    count = len(plan.transforms)
    return f"{plan.path}: {count} transform{'s' if count > 1 else ''}, nothing wrong"
