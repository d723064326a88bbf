"""`tailrace preview`: what a transform makes of events, one by one; writes nothing anywhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bridge.control.found import resolved_now
from bridge.control.plan import load_plan
from bridge.control.stages import needing
from bridge.wire.envelope import ROW_FIELDS
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from processors.rehearsal import Rehearsal, Step
    from processors.transform import Transform

LAST_MAX = 10_000


def run_preview(
    settings: Settings,
    target: str,
    *,
    events: Path | None,
    last: int | None,
    key: Sequence[str],
    as_json: bool,
) -> None:
    """Print the rows of each event, or why there are none.

    Raises:
        ConfigurationError: the file or an event is wrong, or nothing says which events.
        BrokerUnreachableError: Kafka does not answer (`last`).
    """
    if (events is None) == (last is None):
        raise ConfigurationError(
            "which events?" if events is None else "--events and --last exclude one another",
            where="preview",
            remedy="Name a file, --events FILE.jsonl, or the newest of the topic, --last 20",
        )
    plan = load_plan(target)
    transform = (plan if last is None else resolved_now(plan, settings)).only
    with needing("processor"):
        from processors.rehearsal import Rehearsal
    logging.getLogger("processors").setLevel(logging.ERROR)  # dead letters are shown
    where = f"{events}: event" if events else "event"
    with Rehearsal(transform, key=key, where=where) as rehearsal:
        played = (
            _from_file(rehearsal, events)
            if events is not None
            else _from_topic(rehearsal, settings, transform, last or 0)
        )
        for number, (event, step) in enumerate(played, start=1):
            if as_json:
                typer.echo(json.dumps(_whole(event, step)))
            else:
                for line in _lines(number, event, step):
                    typer.echo(line)


def read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Events of a JSON Lines file; empty lines are passed over.

    Raises:
        ConfigurationError: no such file, or a line that is not JSON.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"can't be read: {error}", where=str(path)) from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ConfigurationError(
                    f"not JSON: {error}",
                    where=f"{path} line {number}",
                    remedy="Write one event per line",
                ) from None


def _from_file(rehearsal: Rehearsal, path: Path) -> Iterator[tuple[Mapping[str, Any], Step]]:
    for event in read_lines(path):
        yield event, rehearsal.play(event)


def _from_topic(
    rehearsal: Rehearsal, settings: Settings, transform: Transform, last: int
) -> Iterator[tuple[Mapping[str, Any], Step]]:
    from bridge.control.newest import newest_changes

    if not 1 <= last <= LAST_MAX:
        raise ConfigurationError(f"--last {last}", where="preview", remedy=f"1 to {LAST_MAX:,}")
    tables = {t for entry in transform.inputs.values() for t in _tables(entry.stream.source)}
    for table, message in newest_changes(settings.kafka_config(), sorted(tables), last):
        key, value = message.key(), message.value()
        raw = value if isinstance(value, bytes) else (value or "").encode()
        headers = [(n, v if isinstance(v, bytes) else b"") for n, v in message.headers() or ()]
        step = rehearsal.pass_on(table, key if isinstance(key, bytes) else b"", raw, headers)
        yield _shown(raw), step


def _tables(source: Any) -> Sequence[str]:
    return [each.table_name for each in source.each]


def _shown(value: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(value)
    except ValueError:
        event = None
    return event if isinstance(event, dict) else {"unreadable": value.decode("utf-8", "replace")}


def _whole(event: Mapping[str, Any], step: Step) -> dict[str, Any]:
    letter = step.dead_letter
    cause = letter and {"error": letter.error, "reason": letter.whole}
    return {"event": event, "rows": list(step.rows), "dropped": step.dropped, "dead_letter": cause}


def _lines(number: int, event: Mapping[str, Any], step: Step) -> Iterator[str]:
    yield f"{number}. {_headline(event)}"
    for row in step.rows:
        columns = {name: value for name, value in row.items() if name not in ROW_FIELDS}
        dataset = columns.pop("dataset")
        sign = "-" if row["_op"] == "delete" else "+"
        shown = row["_key"] if row["_op"] == "delete" else json.dumps(columns, ensure_ascii=False)
        yield f"   {sign} {dataset} {shown}"
    if step.dropped is not None:
        yield f"   no row: {step.dropped}"
    if step.dead_letter is not None:
        yield f"   dead letter: {step.dead_letter.error}: {step.dead_letter.whole}"


def _headline(event: Mapping[str, Any]) -> str:
    if isinstance(event.get("dynamodb"), Mapping):
        keys = event["dynamodb"].get("Keys")
        return f"{event.get('eventName')} {json.dumps(keys, ensure_ascii=False)}"
    return json.dumps(event, ensure_ascii=False)[:200]
