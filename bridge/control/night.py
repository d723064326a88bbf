"""The commands for a bad night, as the command line declares them."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from bridge.control.command import command_settings
from bridge.control.options import AsJson, DryRun, File

app = typer.Typer()


class Role(enum.StrEnum):
    """Who is given a policy of its own."""

    connector = "connector"
    processor = "processor"
    sink = "sink"
    verify = "verify"


Names = Annotated[
    list[str],
    typer.Argument(metavar="[KIND:]NAME…", help="table:NAME, transform:NAME or dataset:NAME."),
]


@app.command(epilog="Example: tailrace pause dataset:processed_orders")
def pause(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[[KIND:]NAME]…",
            help="table:NAME, transform:NAME or dataset:NAME; none says what is paused.",
        ),
    ] = None,
    *,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a table, transform or dataset rest until it is resumed, also across restarts."""
    from bridge.control.pause import run_pause

    run_pause(command_settings("pause"), names or (), dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: tailrace resume dataset:processed_orders")
def resume(names: Names, *, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Let what was paused go on where it stood."""
    from bridge.control.pause import run_resume

    run_resume(command_settings("resume"), names, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: tailrace iam orders.py --stage connector --account 123456789012")
def iam(
    file: File,
    stage: Annotated[
        Role | None, typer.Option("--stage", help="The policy of this one alone.")
    ] = None,
    account: Annotated[str, typer.Option("--account", help="AWS account id.")] = "*",
    region: Annotated[
        str | None, typer.Option("--region", help="Where a source names none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the least AWS permissions each stage needs, as IAM policies; asks nothing of AWS."""
    from bridge.control.iam import Place, run_iam

    which = stage.value if stage else None
    place = Place(account, region)
    run_iam(command_settings("iam"), file, stage=which, place=place, as_json=as_json)
