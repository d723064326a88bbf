"""`tailrace ui`, as the command line declares it."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.control.command import command_settings
from bridge.control.ui import DEFAULT_PORT, LOOPBACK

app = typer.Typer()


@app.command(epilog="Example: tailrace ui orders.py --port 8080")
def ui(
    files: Annotated[list[str], typer.Argument(metavar="FILE[:name]…", help="Transform files.")],
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = (
        DEFAULT_PORT
    ),
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A name browsers may use for it besides localhost."
        ),
    ] = None,
) -> None:
    """Serve a page to watch the pipeline: what flows, what is behind, what is wrong. Only reads."""
    from bridge.control.ui.command import run_ui

    run_ui(command_settings("ui"), files, host=host, port=port, names=allow_host or [])
