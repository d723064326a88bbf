"""`tailrace init`, as the command line declares it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="Example: tailrace init orders --region eu-central-1 --key orderId:S")
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The project, and its folder.")],
    *,
    table: Annotated[
        str | None, typer.Option("--table", help="The DynamoDB table; NAME by default.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Its region; botocore's by default.")
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="ATTRIBUTE:TYPE", help="Its hash key, S or N.")
    ] = "id:S",
    directory: Annotated[
        Path, typer.Option("--dir", help="Where the project's folder goes.")
    ] = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a project of your own: transform, cases for it, settings, Compose file."""
    from bridge.control.project.writing import project, run_init

    files = project(name, table=table, region=region, key=key)
    run_init(directory / name, files, dry_run=dry_run, as_json=as_json)
