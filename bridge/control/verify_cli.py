"""`tailrace verify`, as the command line declares it."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.control.command import command_settings
from bridge.control.options import AsJson, File

app = typer.Typer()


@app.command(epilog="Example: tailrace verify orders.py --json")
def verify(
    file: File,
    *,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="So many items and rows, drawn from all over."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep how far it is, and go on from there.")
    ] = False,
    values: Annotated[
        bool, typer.Option("--values", help="Both sides of the first differences.")
    ] = False,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", min=0, help="Seconds to wait for what is still moving."),
    ] = 60.0,
    rcu: Annotated[
        float | None,
        typer.Option("--rcu", min=0.5, help="Read capacity units a second it may consume."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every item of the source with every row of the table, also while both move."""
    from bridge.control.verify import Manner, run_verify

    settings = command_settings("verify")
    kept = settings.state_dir / "verify" if resume else None
    manner = Manner(timeout_s=timeout_s, rcu=rcu, sample=sample, kept=kept, values=values)
    if not run_verify(settings, file, manner, as_json=as_json):
        raise typer.Exit(1)
