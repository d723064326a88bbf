"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

File = Annotated[str, typer.Argument(metavar="FILE[:name]", help="Python file with the transform.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
