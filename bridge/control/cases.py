"""`tailrace test`: a transform's cases, written in YAML beside it, run without a broker.

`orders.py` has its cases in `orders.events.yaml` (or `orders.NAME.events.yaml`):

    transform: process_orders_stream    # where the file has several
    key: [orderId]
    cases:
      - name: a removed order leaves
        events:
          - insert: {orderId: o-1, orderTotal: 9.50}
          - remove: {orderId: o-1}
        table: []

`table` is the dataset after the events (by dataset where there are several), `rows` everything that
was written. A row is compared in the columns that are named. Without `dead_letters` none may occur.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import yaml

from bridge.control.plan import load_plan, split_target
from bridge.control.stages import needing
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from processors.rehearsal import Rehearsal
    from processors.transform import Transform

_KNOWN = frozenset({"name", "events", "table", "rows", "dead_letters"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case and what is wrong with it; nothing is good."""

    name: str
    wrong: tuple[str, ...]


def run_cases(targets: Sequence[str], *, as_json: bool) -> bool:
    """Run the cases of these files and print the outcome; whether all are right.

    Raises:
        ConfigurationError: a file has no cases, or one of them is not written as it must be.
    """
    logging.getLogger("processors").setLevel(logging.ERROR)  # dead letters are part of the outcome
    outcomes = [outcome for target in targets for outcome in _of_file(target)]
    failed = [outcome for outcome in outcomes if outcome.wrong]
    if as_json:
        cases = [{"name": o.name, "wrong": list(o.wrong)} for o in outcomes]
        typer.echo(json.dumps({"cases": cases, "failed": len(failed)}))
        return not failed
    for outcome in outcomes:
        typer.echo(f"{'FAILED' if outcome.wrong else 'ok':<6} {outcome.name}")
        for line in outcome.wrong:
            typer.echo(f"       {line}")
    typer.echo(f"{len(outcomes)} cases, {len(failed)} failed")
    return not failed


def _of_file(target: str) -> Iterator[Outcome]:
    path, name = split_target(target)
    files = sorted({path.with_suffix(".events.yaml"), *path.parent.glob(f"{path.stem}.*.yaml")})
    found = [file for file in files if file.is_file() and file.name.endswith(".events.yaml")]
    transforms = {transform.name: transform for transform in load_plan(target).transforms}
    if not found:
        raise ConfigurationError(
            "it has no cases",
            where=str(path),
            remedy=f"Write them in {path.with_suffix('.events.yaml').name}; README has an example",
        )
    for file in found:
        written = _read(file)
        chosen = _transform(written, transforms, name, file)
        if chosen is not None:
            for case in written["cases"]:
                yield _run(chosen, case, written.get("key", ()), file)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        written = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        raise ConfigurationError(f"not YAML: {text}", where=str(file)) from None
    cases = written.get("cases") if isinstance(written, dict) else None
    if not isinstance(cases, list) or not all(
        isinstance(case, dict) and isinstance(case.get("events"), list) for case in cases
    ):
        raise ConfigurationError(
            "no list of cases", where=str(file), remedy="Write cases: [{name: …, events: […]}]"
        )
    for case in cases:
        unknown = sorted(set(map(str, case)) - _KNOWN)
        if unknown:
            raise ConfigurationError(
                f"{unknown[0]!r} is not known",
                where=f"{file}: {case.get('name', 'a case')}",
                remedy=f"Use {', '.join(sorted(_KNOWN))}",
            )
    found: Mapping[str, Any] = written
    return found


def _transform(
    written: Mapping[str, Any], known: Mapping[str, Transform], only: str | None, file: Path
) -> Transform | None:
    named = written.get("transform")
    if named is None and len(known) == 1:
        return next(iter(known.values()))
    if isinstance(named, str) and named in known:
        return known[named]
    if only is not None and named is not None:
        return None  # cases of another transform of this file
    raise ConfigurationError(
        "it names no transform" if named is None else f"no transform is named {named!r}",
        where=str(file),
        remedy=f"Write transform: {next(iter(known))}",
    )


def _run(transform: Transform, case: Mapping[str, Any], key: Sequence[str], file: Path) -> Outcome:
    with needing("processor"):
        from processors.rehearsal import Rehearsal
    name = f"{file.name}: {case.get('name', 'without a name')}"
    with Rehearsal(transform, key=key, where=f"{name}: event") as rehearsal:
        written = [row for event in case["events"] for row in rehearsal.play(event).rows]
        return Outcome(name, tuple(_wrong(rehearsal, case, written, name)))


def _wrong(
    rehearsal: Rehearsal,
    case: Mapping[str, Any],
    written: Sequence[Mapping[str, Any]],
    where: str,
) -> Iterator[str]:
    letters = [{"error": one.error, "reason": one.whole} for one in rehearsal.dead_letters()]
    for dataset, expected in _by_dataset(rehearsal, case, "table", where):
        rows = list(rehearsal.table(dataset).values())
        yield from _differences(f"table {dataset}", expected, rows, ordered=False)
    for dataset, expected in _by_dataset(rehearsal, case, "rows", where):
        rows = [dict(row) for row in written if row["dataset"] == dataset]
        yield from _differences(f"rows of {dataset}", expected, rows, ordered=True)
    wanted = case.get("dead_letters", [])
    yield from _differences("dead letters", wanted, letters, ordered=True)


def _by_dataset(
    rehearsal: Rehearsal, case: Mapping[str, Any], name: str, where: str
) -> Iterator[tuple[str, Sequence[Any]]]:
    if name not in case:
        return
    datasets, given = rehearsal.datasets(), case[name]
    if isinstance(given, list) and len(datasets) == 1:
        given = {datasets[0]: given}
    if not isinstance(given, dict) or not set(given) <= set(datasets):
        raise ConfigurationError(
            f"{name} names no dataset of the transform",
            where=where,
            remedy=f"Write {name}: {{{datasets[0]}: […]}}",
        )
    yield from given.items()


def _differences(
    what: str, expected: Sequence[Any], found: Sequence[Mapping[str, Any]], *, ordered: bool
) -> Iterator[str]:
    left = list(found)
    for number, row in enumerate(expected, start=1):
        match = left[:1] if ordered else left
        index = next((i for i, candidate in enumerate(match) if _fits(row, candidate)), None)
        if index is None:
            yield f"{what}: {number}. expected {_spell(row)}" + (
                f", found {_spell(left[0], row)}" if ordered and left else ", not found"
            )
            if ordered and left:
                left.pop(0)
        else:
            left.pop(index)
    for row in left:
        yield f"{what}: not expected: {_spell(row)}"


def _fits(expected: Any, found: Mapping[str, Any]) -> bool:
    return isinstance(expected, Mapping) and all(
        name in found and _equal(value, found[name]) for name, value in expected.items()
    )


def _equal(expected: Any, found: Any) -> bool:
    """Numbers by value, for decimals are texts on the wire; all else as JSON has it."""
    if isinstance(expected, bool) or expected is None or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float):
        try:
            return Decimal(repr(expected)) == Decimal(str(found))
        except InvalidOperation:
            return False
    if hasattr(expected, "isoformat"):
        expected = expected.isoformat()
    return bool(expected == found)


def _spell(row: Any, named: Any = None) -> str:
    if isinstance(row, Mapping) and isinstance(named, Mapping):
        row = {name: row.get(name) for name in named}
    return json.dumps(row, ensure_ascii=False, default=str)
