"""`tailrace doctor FILE…`: looks at everything, says what it found, and how it can be mended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.control.command import command_settings
from bridge.wire.errors import TailraceError

if TYPE_CHECKING:
    from bridge.control.doctor.model import Check
    from bridge.control.plan import Plan
    from bridge.control.settings import Settings

app = typer.Typer()

_MARKS = {"ok": "ok", "warning": "!", "problem": "PROBLEM", "not tried": "-"}


@app.command(epilog="Example: tailrace doctor orders.py")
def doctor(
    files: Annotated[list[str], typer.Argument(metavar="FILE[:name]…", help="Transform files.")],
    *,
    no_write: Annotated[
        bool, typer.Option("--no-write", help="Without the probes that write and remove again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at everything the stages need, one by one, and say how to mend what is wrong."""
    if not run_doctor(command_settings("doctor"), files, write=not no_write, as_json=as_json):
        raise typer.Exit(1)


def run_doctor(settings: Settings, targets: Sequence[str], *, write: bool, as_json: bool) -> bool:
    """Look, print, and whether there is no problem."""
    from bridge.control.show import write_line

    found: list[Check] = []
    area = ""
    for check in examinations(settings, targets, write=write):
        found.append(check)
        if as_json:
            continue
        if check.area != area:
            area = check.area
            write_line(f"{area}")
        for line in _lines(check):
            write_line(line)
    problems = sum(check.finding.state == "problem" for check in found)
    if as_json:
        body = {"problems": problems, "checks": [check.to_json() for check in found]}
        write_line(json.dumps(body))
    else:
        write_line(f"{problems} problem{'' if problems == 1 else 's'} in {len(found)} checks")
    return not problems


def examinations(settings: Settings, targets: Sequence[str], *, write: bool) -> Iterator[Check]:
    """Every check, in the order in which one builds on another."""
    from bridge.control.doctor import aws, here, kafka, lake
    from bridge.control.doctor.model import Check, ok, problem
    from bridge.control.plan import load_plan

    yield from here.checks(settings)
    plans: list[Plan] = []
    for target in targets:
        try:
            plans.append(load_plan(target))
        except TailraceError as error:
            yield Check("here", target, problem(error.what, error.remedy))
        else:
            yield Check("here", target, ok(f"{len(plans[-1].feeds)} datasets"))
    yield from kafka.checks(settings, plans, write=write)
    yield from aws.checks(settings, plans)
    yield from lake.checks(settings, write=write)


def _lines(check: Check) -> Iterator[str]:
    finding = check.finding
    yield f"  {_MARKS[finding.state]:<8}{check.what}: {finding.said}"
    if finding.remedy and finding.state in ("warning", "problem"):
        yield f"          {finding.remedy}"
