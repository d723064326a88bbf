"""`tailrace`: the commands.

Exit codes: 0 it worked, 1 a problem, 2 wrong usage or configuration. A problem is one line on
standard error that names the thing and the remedy, never a traceback. Everything heavy is imported
by the command that needs it, so that help is there at once.
"""

from __future__ import annotations

import enum
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bridge.control import dlq, night, operate, optimize, schema_log, verify_cli
from bridge.control.command import command_settings
from bridge.control.doctor import command as doctor
from bridge.control.offsets import cli as offsets
from bridge.control.options import AsJson, DryRun, File
from bridge.control.project import cli as project
from bridge.control.ui import cli as page
from bridge.wire.errors import TailraceError, raised_at

app = typer.Typer(
    name="tailrace",
    help="Every change of a DynamoDB table arrives in a Delta Lake table, in order and once.",
    epilog="Start with: tailrace demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(dlq.app, name="dlq")
app.add_typer(schema_log.app, name="schema")
app.add_typer(offsets.app, name="offsets")
app.add_typer(project.app)
app.add_typer(operate.app)
app.add_typer(night.app)
app.add_typer(verify_cli.app)
app.add_typer(doctor.app)
app.add_typer(optimize.app)
app.add_typer(page.app)


class Kind(enum.StrEnum):
    """The stages."""

    connector = "connector"
    processor = "processor"
    sink = "sink"


@app.command(epilog="Example: tailrace demo --seconds 30 --dir /tmp/demo")
def demo(
    seconds: Annotated[
        float, typer.Option(min=2, max=3600, help="Length of the live phase.")
    ] = 15.0,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Plain progress lines, no page.")] = False,
    as_json: AsJson = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Folder to use; a fresh one by default.")
    ] = None,
) -> None:
    """Run the whole pipeline here, with troubles on the way, and verify every row."""
    from bridge.control.demo import run_demo

    _done(
        run_demo(
            command_settings("demo"),
            seconds=seconds,
            plain=no_ui,
            page=not no_ui,
            as_json=as_json,
            folder=directory,
        )
    )


@app.command(epilog="Example: tailrace dev processors/examples/orders.py --local-dynamodb")
def dev(
    file: File,
    local_dynamodb: Annotated[
        bool, typer.Option("--local-dynamodb", help="Bring an embedded DynamoDB along.")
    ] = False,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Plain progress lines, no page.")] = False,
    directory: Annotated[
        Path, typer.Option("--dir", help="Broker data, state, logs and, by default, the lake.")
    ] = Path(".tailrace"),
) -> None:
    """Run the three stages for your file; brings a broker unless TAILRACE_BROKERS is set."""
    from bridge.control.dev import run_dev

    run_dev(
        command_settings("dev"),
        file,
        local_dynamodb=local_dynamodb,
        plain=no_ui,
        page=not no_ui,
        folder=directory,
    )


@app.command(epilog="Example: tailrace run connector orders.py")
def run(
    kind: Annotated[Kind, typer.Argument(metavar="connector|processor|sink", help="The stage.")],
    file: File,
) -> None:
    """Run one stage: what a container runs. SIGTERM finishes the work in hand and exits 0."""
    from bridge.control.stages import run_stage

    run_stage(kind.value, file, command_settings(kind.value))


@app.command(epilog="Example: tailrace check orders.py")
def check(file: File, as_json: AsJson = False) -> None:
    """Find mistakes in a file and say what it will do; starts nothing."""
    from bridge.control.check import run_check

    run_check(file, as_json=as_json)


@app.command(epilog="Example: tailrace preview orders.py --last 20")
def preview(
    file: File,
    events: Annotated[
        Path | None, typer.Option("--events", help="JSON Lines: an event per line.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", help="The newest N changes of the topic instead.")
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="Key attribute of the table, for events in the short form."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
) -> None:
    """Show the rows of each event, or why there are none; writes nothing."""
    from bridge.control.preview import run_preview

    run_preview(
        command_settings("preview"), file, events=events, last=last, key=key or (), as_json=as_json
    )


@app.command("test", epilog="Example: tailrace test orders.py")
def run_cases_of(
    files: Annotated[list[str], typer.Argument(metavar="FILE[:name]…", help="Transform files.")],
    as_json: AsJson = False,
) -> None:
    """Run the cases a transform has in FILE.events.yaml, without a broker."""
    from bridge.control.cases import run_cases

    command_settings("test")
    _done(run_cases(files, as_json=as_json))


@app.command(epilog='Example: tailrace query "select status, count(*) from orders group by 1"')
def query(
    sql: Annotated[str, typer.Argument(help="SQL over the datasets of the lake, by their ids.")],
    lake: Annotated[
        str | None, typer.Option(help="Base URI of the tables; TAILRACE_LAKE by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row.")] = False,
) -> None:
    """Ask the lake."""
    from bridge.control.query import run_query

    run_query(command_settings("query"), sql, lake=lake, as_json=as_json)


@app.command(epilog="Example: tailrace backfill orders --accept-gap sink:processed_orders")
def backfill(
    table: Annotated[str, typer.Argument(help="The DynamoDB table.")],
    *,
    accept_gap: Annotated[
        list[str] | None,
        typer.Option(
            "--accept-gap",
            metavar="CONSUMER",
            help="processor:TRANSFORM or sink:DATASET may go on where its log starts now.",
        ),
    ] = None,
    transform: Annotated[
        str | None,
        typer.Option("--for", metavar="TRANSFORM", help="Only this transform takes the items."),
    ] = None,
    dry_run: DryRun = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when all items are in Kafka; shows how far.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the connector for a new snapshot of a table; it repairs a GAP."""
    from bridge.control.backfill import run_backfill

    run_backfill(
        command_settings("backfill"),
        table,
        accept_gap or [],
        transform,
        dry_run=dry_run,
        wait=wait,
        as_json=as_json,
    )


@app.command(epilog="Example: tailrace rebuild orders.py:process_orders --dry-run")
def rebuild(
    file: File,
    *,
    dry_run: DryRun = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up the generation that is being built.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Return when its tables changed over; shows how far."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a changed transform's table anew beside the old one, and change over in one step."""
    from bridge.control.rebuild import run_rebuild

    run_rebuild(
        command_settings("rebuild"),
        file,
        dry_run=dry_run,
        abandon=abandon,
        as_json=as_json,
        wait=wait,
    )


def _done(clean: bool) -> None:
    if not clean:
        raise typer.Exit(1)


def _fail(line: str, code: int) -> NoReturn:
    from bridge.control.logs import Redactor

    text = Redactor().clean(" ".join(line.split()))
    sys.stderr.write(f"tailrace: {text}\n")
    sys.stderr.flush()
    sys.exit(code)


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal: everything is put away on the way out."""


def _interrupt(_number: int, _frame: object) -> None:
    raise Interrupted


def main() -> None:
    """The entry point."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    from bridge.control.chatter import captured

    try:
        with captured():
            app()
    except TailraceError as error:
        _fail(str(error), error.exit_code)
    except Interrupted:
        _fail("interrupted", 1)
    except Exception as error:
        _fail(_unexpected(error), 1)


def _unexpected(error: Exception) -> str:
    """A bug of ours, or a failure nobody foresaw: one line, where from in the log at DEBUG.

    What a stage's error said is left out: it may quote an item.
    """
    import logging

    logging.getLogger(__name__).debug("unexpected error", exc_info=error)
    said = "" if sys.argv[1:2] == ["run"] else f": {error}"
    return (
        f"unexpected {type(error).__name__} at {raised_at(error)}{said}. "
        "TAILRACE_LOG_LEVEL=DEBUG shows where it came from"
    )
