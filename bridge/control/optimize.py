"""`tailrace optimize`: what maintenance a dataset's table needs and why, and doing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.control.command import command_settings
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from sinks.upkeep import FileFacts

app = typer.Typer()


@app.command(epilog="Example: tailrace optimize processed_orders --dry-run")
def optimize(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's id.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and why; change nothing.")
    ] = False,
    sort: Annotated[
        bool,
        typer.Option("--sort", help="Sort the rows by cluster_by's columns, or else by key."),
    ] = False,
    lake: Annotated[
        str | None, typer.Option(help="Base URI of the tables; TAILRACE_LAKE by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Join small files, delete old ones, write a checkpoint: what the sink does when it pays."""
    settings = command_settings("optimize")
    if lake is not None:
        settings = settings.model_copy(update={"lake": lake})
    run_optimize(settings, dataset, dry_run=dry_run, sort=sort, as_json=as_json)


def run_optimize(
    settings: Settings, dataset: str, *, dry_run: bool, sort: bool, as_json: bool
) -> None:
    """Explain, and do it unless it is a dry run.

    Raises:
        ConfigurationError: there is no such table.
        TailraceError: the lake does not answer, or the table's sink was faster every time.
    """
    from bridge.control.stages import needing

    with needing("sink"):
        from sinks.location import located
        from sinks.maintenance import facts_of
        from sinks.optimizing import carry_out, lines, planned
        from sinks.table import TableStore, lake_storage_options
    uri = settings.lake_uri()
    options = lake_storage_options(uri, settings.storage_options())
    store = TableStore(located(uri, dataset, options), options)
    snapshot = store.open()
    if snapshot is None:
        raise ConfigurationError(
            f"there is no table of a dataset {dataset!r}",
            where=store.uri,
            remedy="Check the id and TAILRACE_LAKE",
        )
    facts, steps = facts_of(snapshot), planned(snapshot, sort=sort)
    if not as_json:
        for line in lines(facts, steps):
            typer.echo(line)
    after = facts
    if not dry_run:
        for step in steps:
            if step.pays:
                carry_out(store, step)
        after = facts_of(store.open() or snapshot)
        if not as_json:
            typer.echo(f"done: {next(lines(after, []))}")
    if as_json:
        found: dict[str, Any] = {"dataset": dataset, "version": snapshot.version}
        found["before"] = _plain(facts)
        found["steps"] = [
            {"job": step.job.value, "pays": step.pays, "why": step.why} for step in steps
        ]
        if not dry_run:
            found["after"] = _plain(after)
        typer.echo(json.dumps({**found, "dry_run": dry_run}))


def _plain(facts: FileFacts) -> dict[str, Any]:
    return {
        "files": facts.files,
        "bytes": facts.bytes,
        "small_files": facts.small_files,
        "lookup_files": round(facts.lookup_files, 2),
    }
