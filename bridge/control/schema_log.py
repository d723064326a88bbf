"""`tailrace schema`: how the columns of a dataset came about, in the topic and in the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.control.command import command_settings
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.wire.kafka import KafkaConfig
    from bridge.wire.schemas import Schema

app = typer.Typer(no_args_is_help=True, help="Columns of a dataset: what changed, and when.")

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="The dataset's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_TABLE_OPERATIONS = {"ADD COLUMN": "added", "CREATE TABLE": "created"}


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema of the topic with the moment it was registered."""

    at: datetime
    schema: Schema

    @property
    def columns(self) -> dict[str, str]:
        """Types by name."""
        return {column.name: column.type for column in self.schema.columns}


@app.command(epilog="Example: tailrace schema log processed_orders")
def log(dataset: Dataset, as_json: AsJson = False) -> None:
    """Every schema its rows had, and every commit that changed the table's columns."""
    settings = command_settings("schema")
    entries = [*topic_entries(registered(settings.kafka_config(), dataset))]
    if settings.lake is not None:
        entries += table_entries(settings, dataset)
    entries.sort(key=lambda entry: (entry["at"], entry["where"]))
    if not entries:
        raise ConfigurationError(
            f"nothing is known of a dataset {dataset!r}",
            where="schema log",
            remedy="Check the id and TAILRACE_NAMESPACE",
        )
    if as_json:
        typer.echo(json.dumps({"dataset": dataset, "log": entries}))
        return
    for entry in entries:
        typer.echo(f"{entry['at']}  {entry['where']:<5}  {entry['name']:<12}  {_spell(entry)}")


@app.command(epilog="Example: tailrace schema diff processed_orders 3f2a 9bc1")
def diff(
    dataset: Dataset,
    before: Annotated[
        str | None, typer.Argument(help="Fingerprint, or how it begins; the one before last.")
    ] = None,
    after: Annotated[
        str | None, typer.Argument(help="Fingerprint, or how it begins; the last.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What differs between two schemas of its rows."""
    known = registered(command_settings("schema").kafka_config(), dataset)
    if len(known) < 2 and not (before and after):
        raise ConfigurationError(
            f"{dataset} has {len(known)} schema{'s' if len(known) != 1 else ''}",
            where="schema diff",
            remedy=f"`tailrace schema log {dataset}` shows them",
        )
    old = _named(known, before, dataset) if before else known[-2]
    new = _named(known, after, dataset) if after else known[-1]
    changes = differences(old.columns, new.columns)
    if as_json:
        names = {"before": old.schema.fingerprint, "after": new.schema.fingerprint}
        typer.echo(json.dumps({"dataset": dataset, **names, **changes}))
        return
    typer.echo(f"{old.schema.fingerprint[:12]} -> {new.schema.fingerprint[:12]}: {_spell(changes)}")


def registered(kafka: KafkaConfig, dataset: str) -> list[Registered]:
    """The dataset's schemas in the order they were first registered.

    Raises:
        BrokerUnreachableError: Kafka does not answer.
    """
    from bridge.wire.generations import named, read_generations
    from bridge.wire.kafka import read_to_end
    from bridge.wire.schemas import Schema
    from bridge.wire.topics import TopicNames, admin, existing_topics

    topic = TopicNames(kafka.namespace).schemas
    current = read_generations(kafka).current(dataset)
    names = {named(dataset, generation) for generation in range(1, current + 1)}
    found: dict[str, Registered] = {}
    for message in read_to_end(kafka, topic, [0]) if topic in existing_topics(admin(kafka)) else ():
        value = message.value()
        if isinstance(value, bytes):
            schema = Schema.decode(value)
            if schema.dataset in names:
                at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                found.setdefault(schema.fingerprint, Registered(at, schema))
    return list(found.values())


def topic_entries(known: Sequence[Registered]) -> list[dict[str, Any]]:
    """One entry per schema: what it changed against the one before."""
    entries = []
    before: Mapping[str, str] = {}
    for schema in known:
        entries.append(
            {
                "at": schema.at.isoformat(timespec="seconds"),
                "where": "rows",
                "name": schema.schema.fingerprint[:12],
                "transform": schema.schema.transform,
                **differences(before, schema.columns),
            }
        )
        before = schema.columns
    return entries


def table_entries(settings: Settings, dataset: str) -> list[dict[str, Any]]:
    """One entry per commit that made or added columns, as far as the table's log goes back.

    Raises:
        TailraceError: the lake does not answer.
    """
    from bridge.control.lake import Lake

    table = Lake(settings.lake_uri(), settings.storage_options()).table(dataset)
    entries = []
    for commit in table.history() if table is not None else ():
        if _TABLE_OPERATIONS.get(commit.get("operation", "")) is None:
            continue
        moment = datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)
        entries.append(
            {
                "at": moment.isoformat(timespec="seconds"),
                "where": "table",
                "name": f"version {commit['version']}",
                "added": _fields(commit.get("operationParameters", {})),
                "removed": {},
                "changed": {},
            }
        )
    return entries


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    """Columns added and removed with their types, changed ones as [before, after]."""
    return {
        "added": {name: of for name, of in after.items() if name not in before},
        "removed": {name: of for name, of in before.items() if name not in after},
        "changed": {
            name: [before[name], of]
            for name, of in after.items()
            if name in before and before[name] != of
        },
    }


def _fields(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Columns named in a commit: of an added column, or of a created table's metadata."""
    for name in ("fields", "metadata"):
        try:
            body = json.loads(parameters[name])
            fields = body if isinstance(body, list) else json.loads(body["schemaString"])["fields"]
            return {field["name"]: str(field["type"]) for field in fields}
        except (KeyError, TypeError, ValueError):
            continue
    return {}


def _named(known: Sequence[Registered], start: str, dataset: str) -> Registered:
    found = [entry for entry in known if entry.schema.fingerprint.startswith(start)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} schemas of {dataset} begin with {start!r}",
            where="schema diff",
            remedy=f"`tailrace schema log {dataset}` shows them",
        )
    return found[0]


def _spell(changes: Mapping[str, Any]) -> str:
    parts = [f"+ {name} {of}" for name, of in changes["added"].items()]
    parts += [f"- {name} {of}" for name, of in changes["removed"].items()]
    parts += [f"~ {name} {old} -> {new}" for name, (old, new) in changes["changed"].items()]
    return ", ".join(parts) or "no column changed"
