"""The commands that run and watch a pipeline on real parts, as the command line declares them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.control.command import command_settings

app = typer.Typer()

Files = Annotated[list[str], typer.Argument(metavar="FILE[:name]…", help="Transform files.")]


@app.command(epilog="Example: tailrace up orders.py customers.py --dir /var/lib/tailrace")
def up(
    files: Files,
    *,
    directory: Annotated[Path, typer.Option("--dir", help="Logs of the stages.")] = Path(
        ".tailrace"
    ),
) -> None:
    """Run all stages of the files on this machine, against real parts, and keep them running."""
    from bridge.control.up import run_up

    run_up(command_settings("up"), files, folder=directory)


@app.command(epilog="Example: tailrace status orders.py -w")
def status(
    files: Files,
    *,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Again and again.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; with -w one per line.")
    ] = False,
) -> None:
    """How far everything is, what is wrong, and what to type next; exit code 0 when healthy."""
    from bridge.control.status.command import run_status

    if not run_status(command_settings("status"), files, watch=watch, as_json=as_json):
        raise typer.Exit(1)
