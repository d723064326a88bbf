"""`tailrace dlq`: look at dead letters, put them back, or give them up."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.control.command import command_settings
from bridge.control.moments import utc_moment
from bridge.control.options import DryRun
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.letters import Group, Letter, Selection
    from bridge.control.replay import Outcome

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: what could not be processed, kept whole, with why."
)

Owner = Annotated[
    str, typer.Argument(metavar="TRANSFORM", help="Whose letters: a transform, or connector.")
]
Addresses = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PARTITION:OFFSET]…", help="Letters as `ls` shows them."),
]
Error = Annotated[str | None, typer.Option("--error", help="Only those with this error.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Only those set aside since, ISO 8601; UTC by default")
]
All = Annotated[bool, typer.Option("--all", help="All that are open.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog="Example: tailrace dlq ls process_orders_stream")
def ls(
    owner: Annotated[
        str | None, typer.Argument(metavar="[TRANSFORM]", help="Everybody's by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count letters by cause, with the newest of each."""
    from bridge.control import letters

    kafka = command_settings("dlq").kafka_config()
    topics = letters.owners(kafka)
    wanted = [owner] if owner is not None else sorted(topics)
    rows: list[dict[str, Any]] = []
    for name in wanted:
        count = letters.partitions_of(kafka, name)
        marks = letters.read_marks(kafka, name)
        groups = letters.grouped(letters.read_letters(kafka, name, count), marks)
        rows.extend(_described(name, group) for group in groups)
    if as_json:
        typer.echo(json.dumps({"letters": rows}))
    else:
        _print(rows)


@app.command(epilog="Example: tailrace dlq show process_orders_stream 2:118")
def show(
    owner: Owner,
    address: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="Which one.")],
    as_json: AsJson = False,
) -> None:
    """One letter whole: cause, traceback, and the original message with the item's contents."""
    from bridge.control import letters

    kafka = command_settings("dlq").kafka_config()
    place = letters.parse_address(address, "dlq show")
    count = letters.partitions_of(kafka, owner)
    found = next(
        (item for item in letters.read_letters(kafka, owner, count) if item.address == place), None
    )
    if found is None:
        raise ConfigurationError(
            f"{owner} has no dead letter {address}",
            where="dlq show",
            remedy=f"`tailrace dlq ls {owner}` shows what it has",
        )
    whole = _whole(found, letters.read_marks(kafka, owner).get(place, "open"))
    if as_json:
        typer.echo(json.dumps(whole))
        return
    for name, value in whole.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        typer.echo(f"{name}: {text}")


@app.command(
    epilog="Example: tailrace dlq replay process_orders_stream --error WireError --dry-run"
)
def replay(
    owner: Owner,
    addresses: Addresses = None,
    *,
    error: Error = None,
    since: Since = None,
    everything: All = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put letters back into their topics, exactly once, for their transform alone."""
    from bridge.control import letters
    from bridge.control.bar import Bar
    from bridge.control.replay import replay as put_back

    kafka = command_settings("dlq").kafka_config()
    selection = _selection(addresses, error, since, everything=everything, where="dlq replay")
    count = letters.partitions_of(kafka, owner)
    with Bar(shown=False if as_json else None) as bar:
        bar.step(f"letters of {owner}", len(selection.addresses) or None)
        outcome = put_back(kafka, owner, count, selection, dry_run=dry_run, reached=bar.reach)
    _report("replayed", outcome, owner, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: tailrace dlq drop process_orders_stream 2:118")
def drop(
    owner: Owner,
    addresses: Addresses = None,
    *,
    error: Error = None,
    since: Since = None,
    everything: All = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give letters up: they count no longer as open, and stay readable until retention."""
    from bridge.control import letters
    from bridge.control.replay import drop as give_up

    kafka = command_settings("dlq").kafka_config()
    selection = _selection(addresses, error, since, everything=everything, where="dlq drop")
    count = letters.partitions_of(kafka, owner)
    outcome = give_up(kafka, owner, count, selection, dry_run=dry_run)
    _report("dropped", outcome, owner, dry_run=dry_run, as_json=as_json)


def _selection(
    addresses: Sequence[str] | None,
    error: str | None,
    since: str | None,
    *,
    everything: bool,
    where: str,
) -> Selection:
    from bridge.control.letters import Selection, parse_address

    selection = Selection(
        addresses=frozenset(parse_address(text, where) for text in addresses or ()),
        error=error,
        since=_moment(since, where),
        everything=everything,
    )
    selection.check(where)
    return selection


def _moment(text: str | None, where: str) -> datetime | None:
    if text is None:
        return None
    try:
        return utc_moment(text)
    except ValueError:
        raise ConfigurationError(
            f"{text[:60]!r} is not a time",
            where=f"{where} --since",
            remedy="Write it as 2026-11-24T03:00:00Z",
        ) from None


def _described(owner: str, group: Group) -> dict[str, Any]:
    from bridge.control.letters import spell

    return {
        "owner": owner,
        "stage": group.stage,
        "topic": group.topic,
        "error": group.error,
        "open": group.open,
        "replayed": group.replayed,
        "dropped": group.dropped,
        "first": group.first.isoformat(timespec="seconds"),
        "last": group.last.isoformat(timespec="seconds"),
        "newest": spell(group.example),
        "reason": group.reason,
    }


def _print(rows: Sequence[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        typer.echo("no dead letters")
        return
    shown = ("owner", "stage", "error", "open", "replayed", "dropped", "last", "newest", "reason")
    table = Table(box=box.SIMPLE_HEAD)
    for name in shown:
        table.add_column(name, justify="right" if name in shown[3:6] else "left")
    for row in rows:
        table.add_row(*(Text(str(row[name])) for name in shown))
    Console().print(table)


def _whole(letter: Letter, state: str) -> dict[str, Any]:
    from bridge.control.letters import spell

    cause = letter.cause
    return {
        "address": spell(letter.address),
        "state": state,
        "at": letter.at.isoformat(timespec="seconds"),
        "stage": cause.stage,
        "owner": cause.owner,
        "topic": cause.topic,
        "partition": cause.partition,
        "offset": cause.offset,
        "error": cause.error,
        "reason": cause.reason,
        **({"said": cause.said} if cause.said else {}),
        "traceback": cause.traceback,
        "headers": {name: _text(value) for name, value in letter.headers},
        "key": _text(letter.key),
        "value": _text(letter.value),
    }


def _text(value: bytes | None) -> str | None:
    """UTF-8 as it is, anything else as base64 behind `base64:`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()


def _report(done: str, outcome: Outcome, owner: str, *, dry_run: bool, as_json: bool) -> None:
    from bridge.control.letters import spell

    refused = [
        {"count": count, "cause": cause, "example": spell(outcome.examples[cause])}
        for cause, count in outcome.refused.items()
    ]
    if as_json:
        body = {"owner": owner, done: outcome.done, "dry_run": dry_run, "refused": refused}
        typer.echo(json.dumps(body))
    else:
        would = "would be " if dry_run else ""
        typer.echo(f"{outcome.done:,} letters of {owner} {would}{done}")
        for entry in refused:
            typer.echo(f"{entry['count']:,} refused (e.g. {entry['example']}): {entry['cause']}")
    if refused:
        raise typer.Exit(1)
