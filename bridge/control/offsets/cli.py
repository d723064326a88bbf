"""`tailrace offsets show|set|reset`, as the command line declares them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.control.command import command_settings
from bridge.control.moments import utc_moment
from bridge.control.options import AsJson, DryRun
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.lake import Lake
    from bridge.control.offsets.moving import Move
    from bridge.control.offsets.positions import Reader, Standing
    from bridge.control.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Where every stage stands in its topics.")

File = Annotated[str, typer.Argument(metavar="FILE", help="Transform file or folder.")]
Name = Annotated[str, typer.Argument(metavar="[KIND:]NAME", help="transform:NAME or dataset:NAME.")]


@app.command(epilog="Example: tailrace offsets show orders.py")
def show(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Transform files.")],
    as_json: AsJson = False,
) -> None:
    """Start, position and end of every partition, and the connectors' place in each shard."""
    from bridge.control.found import resolved_now
    from bridge.control.offsets.positions import readers, shards, standings
    from bridge.control.plan import load_plan

    settings = command_settings("offsets")
    kafka, lake = settings.kafka_config(), _lake(settings)
    plans = [resolved_now(load_plan(file), settings) for file in files]
    found = [(reader, standings(kafka, lake, reader)) for reader in readers(kafka, plans)]
    tables = dict.fromkeys(t for plan in plans for feed in plan.feeds for t in feed.tables)
    places = shards(kafka, tables)
    if as_json:
        body = [
            {"kind": r.kind, "name": r.name, "partitions": [s.to_json() for s in standing]}
            for r, standing in found
        ]
        typer.echo(json.dumps({"readers": body, "shards": places}))
        return
    for place in places:
        ended = ", ended" if place["ended"] else ""
        at = place["sequence"] or "its start"
        typer.echo(f"connector {place['table']} {place['shard']}: after {at}{ended}")
    for reader, standing in found:
        typer.echo(f"{reader.spelled}" if standing else f"{reader.spelled}: no topic yet")
        for one in standing:
            figures = one.to_json()
            typer.echo(
                f"  {one.topic} {one.partition}: {figures['start']} .. "
                f"{'-' if one.position is None else one.position} .. {figures['end']}"
                f"  ({figures['behind']:,} behind)"
            )


@app.command("set", epilog="Example: tailrace offsets set orders.py dataset:orders 0:1500 1:900")
def set_to(
    file: File,
    name: Name,
    places: Annotated[
        list[str],
        typer.Argument(metavar="[TOPIC:]PARTITION:OFFSET…", help="Next offset of partitions."),
    ],
    *,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Read partitions again from these offsets on, where that breaks no promise."""
    settings = command_settings("offsets")
    reader, standing, lake = _found(settings, file, name)
    wanted = dict(_place(reader, text) for text in places)
    _carry_out(settings, lake, reader, standing, wanted, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: tailrace offsets reset orders.py dataset:orders --to earliest")
def reset(
    file: File,
    name: Name,
    to: Annotated[
        str, typer.Option("--to", metavar="earliest|latest|TIME", help="Or 2026-11-24T03:00:00Z.")
    ],
    *,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Read all partitions again from there on, where that breaks no promise."""
    from bridge.control.offsets.moving import target

    settings = command_settings("offsets")
    reader, standing, lake = _found(settings, file, name)
    wanted = target(settings.kafka_config(), standing, _moment(to))
    _carry_out(settings, lake, reader, standing, wanted, dry_run=dry_run, as_json=as_json)


def _lake(settings: Settings) -> Lake | None:
    from bridge.control.lake import Lake

    return Lake(settings.lake_uri(), settings.storage_options()) if settings.lake else None


def _found(settings: Settings, file: str, name: str) -> tuple[Reader, list[Standing], Lake | None]:
    from bridge.control.found import resolved_now
    from bridge.control.offsets.positions import find, readers, standings
    from bridge.control.plan import load_plan

    kafka, plan = settings.kafka_config(), resolved_now(load_plan(file), settings)
    reader = find(readers(kafka, [plan]), name)
    if reader.kind == "dataset":
        settings.lake_uri()  # its position lies in the table
    lake = _lake(settings)
    return reader, standings(kafka, lake, reader), lake


def _carry_out(
    settings: Settings,
    lake: Lake | None,
    reader: Reader,
    standing: Sequence[Standing],
    wanted: Mapping[tuple[str, int], int],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    from bridge.control.offsets.moving import move, planned

    moves = planned(reader, standing, wanted)
    if moves and not dry_run:
        move(settings.kafka_config(), lake, reader, moves)
    if as_json:
        body = {"kind": reader.kind, "name": reader.name, "moves": list(map(_figures, moves))}
        typer.echo(json.dumps(body | {"dry_run": dry_run}))
        return
    would = "would read" if dry_run else "reads"
    for each in moves:
        again = each.before - each.after
        typer.echo(
            f"{reader.spelled} {would} {again:,} offsets again: {each.topic} {each.partition} "
            f"from {each.before} back to {each.after}"
        )
    if moves and reader.kind == "dataset" and not dry_run:
        typer.echo("  a sink that runs notices it with its next rows, or when it is started again")
    if not moves:
        typer.echo(f"{reader.spelled} stands there already")


def _figures(move: Move) -> dict[str, Any]:
    return {
        "topic": move.topic,
        "partition": move.partition,
        "from": move.before,
        "to": move.after,
    }


def _place(reader: Reader, text: str) -> tuple[tuple[str, int], int]:
    """`[TOPIC:]PARTITION:OFFSET`; the topic may be left out where only one is read."""
    *head, partition, offset = text.split(":") if text.count(":") else ("", "", "")
    topic = ":".join(head) or (reader.topics[0] if len(reader.topics) == 1 else "")
    topics = [t for t in reader.topics if topic and (t == topic or t.endswith(f".{topic}"))]
    if len(topics) != 1 or not partition.isdecimal() or not offset.isdecimal():
        raise ConfigurationError(
            f"{text[:100]!r} is not a place of it",
            where=reader.spelled,
            remedy=f"Write [TOPIC:]PARTITION:OFFSET; it reads {', '.join(reader.topics)}",
        )
    return (topics[0], int(partition)), int(offset)


def _moment(text: str) -> str | float:
    if text in ("earliest", "latest"):
        return text
    try:
        return utc_moment(text).timestamp()
    except ValueError:
        raise ConfigurationError(
            f"{text[:60]!r} is neither earliest nor latest nor a time",
            where="offsets reset --to",
            remedy="Write a time as 2026-11-24T03:00:00Z",
        ) from None
