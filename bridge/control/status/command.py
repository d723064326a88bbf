"""`tailrace status FILE…`: asks, assesses, shows; once or again and again."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bridge.control.found import resolved_now
from bridge.control.lake import Lake
from bridge.control.plan import Plan, load_plan
from bridge.control.show import write_line
from bridge.control.stages import needing
from bridge.control.status.facts import Route
from bridge.wire.errors import ConfigurationError, TailraceError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.control.status.collect import Collector
    from bridge.control.status.model import Status

EVERY_S = 2.0


def routes(settings: Settings, targets: Sequence[str]) -> tuple[Route, ...]:
    """The datasets of transform files.

    Raises:
        ConfigurationError: a file can't be loaded, or two of them feed one dataset.
        BrokerUnreachableError: tables are found by tags, and Kafka does not answer.
    """
    found: dict[str, Route] = {}
    for target in targets:
        plan = resolved_now(load_plan(target), settings)
        for feed in plan.feeds:
            dataset = feed.dataset.id
            if dataset in found:
                raise ConfigurationError(
                    f"dataset {dataset!r} is fed twice",
                    where=f"{found[dataset].file} and {plan.path}",
                    remedy="Give each output a dataset of its own",
                )
            found[dataset] = Route(
                dataset=dataset,
                transform=_transform(plan, dataset),
                tables=feed.tables,
                file=str(plan.path),
                keyed=feed.flow.keyed is not None,
            )
    return tuple(found.values())


def _transform(plan: Plan, dataset: str) -> str:
    return next(
        transform.name
        for transform in plan.transforms
        if any(output.dataset.id == dataset for output in transform.outputs.values())
    )


@contextlib.contextmanager
def collector(settings: Settings, targets: Sequence[str]) -> Iterator[Collector]:
    """What collects the facts of these files' datasets.

    Raises:
        TailraceError: see `routes`.
    """
    with needing("connector"):
        from bridge.control.status.collect import Collector
    lake = Lake(settings.lake_uri(), settings.storage_options()) if settings.lake else None
    with Collector(settings.kafka_config(), routes(settings, targets), lake) as found:
        yield found


def run_status(settings: Settings, targets: Sequence[str], *, watch: bool, as_json: bool) -> bool:
    """Show how everything is; whether it is healthy, in the end.

    Raises:
        TailraceError: it can't be found out.
    """
    from bridge.control.cli import Interrupted

    with collector(settings, targets) as source:
        if not watch:
            return _shown_once(source, as_json=as_json)
        with contextlib.suppress(Interrupted):
            return _watched(source, as_json=as_json)
    return True


def _look(source: Collector) -> Status:
    from bridge.control.status.assess import assess

    return assess(source.collect())


def _shown_once(source: Collector, *, as_json: bool) -> bool:
    from rich.console import Console

    from bridge.control.status.view import draw

    status = _look(source)
    if as_json:
        write_line(json.dumps(status.to_json()))
    else:
        console = Console(highlight=False)
        console.print(draw(status, console.width))
    return status.healthy


def _watched(source: Collector, *, as_json: bool) -> bool:
    """Until interrupted; a moment in which Kafka does not answer is shown, and asked again."""
    if as_json or not sys.stdout.isatty():
        while True:
            began_s = time.monotonic()
            try:
                status = _look(source)
                line = json.dumps(status.to_json()) if as_json else _lines(status)
            except TailraceError as error:
                line = (
                    json.dumps({"healthy": False, "error": str(error)}) if as_json else str(error)
                )
            write_line(line)
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - began_s)))
    return _live(source)


def _lines(status: Status) -> str:
    from io import StringIO

    from rich.console import Console

    from bridge.control.status.view import draw

    text = StringIO()
    console = Console(file=text, width=100, highlight=False)
    console.print(draw(status, console.width))
    return text.getvalue()


def _live(source: Collector) -> bool:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from bridge.control.status.view import draw

    console = Console(highlight=False)
    trouble = ""
    with Live(console=console, auto_refresh=False, screen=True) as live:
        last = None
        while True:
            began_s = time.monotonic()
            try:
                last, trouble = _look(source), ""
            except TailraceError as error:
                trouble = str(error)
            shown = [draw(last, console.width)] if last is not None else []
            warning = [Text(f" not known since: {trouble}", style="bold red")] if trouble else []
            live.update(Group(*warning, *shown), refresh=True)
            time.sleep(max(0.2, EVERY_S - (time.monotonic() - began_s)))
