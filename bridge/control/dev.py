"""`tailrace dev FILE`: the three stages for your own file, until Ctrl-C.

Everything lies in one folder and goes on where it stood at the next start. The table's stream is
turned on where it is off; a table that does not exist yet is waited for.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.control.cluster import Parts, parts, stage_specs
from bridge.control.dev_screen import DevScreen
from bridge.control.folder import held
from bridge.control.pipeline import Watch
from bridge.control.plan import Plan, load_plan
from bridge.control.screen import Event
from bridge.control.show import Clock, LiveShow, PlainShow, Show, write_line
from bridge.control.source_items import dynamodb_client
from bridge.control.supervisor import Supervisor
from bridge.control.ui.running import RunPage
from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.settings import Settings

_TICK_S = 0.1
_LOOK_EVERY_S = 1.0
_LINE_EVERY_S = 10.0


def run_dev(
    settings: Settings,
    target: str,
    *,
    local_dynamodb: bool,
    plain: bool,
    page: bool,
    folder: Path,
) -> None:
    """Run until interrupted.

    Raises:
        TailraceError: a part or a stage can't run.
    """
    import sys

    plan = load_plan(target)
    plain = plain or not sys.stdout.isatty()
    with held(folder) as place:
        dev = Dev(settings, plan, target, place)
        dev.run(local_dynamodb=local_dynamodb, plain=plain, page=page)


class Dev:
    """One run.

    Args:
        settings: as loaded.
        plan: the file's.
        target: the file as named on the command line.
        folder: broker data, state, logs, and the lake unless one is set.
    """

    def __init__(self, settings: Settings, plan: Plan, target: str, folder: Path) -> None:
        self._settings = settings
        self._plan = plan
        self._target = target
        self._folder = folder
        self._clock = Clock()
        self._screen = DevScreen(plan, self._clock, settings.lake or str(folder / "lake"))
        self._show: Show = Show()
        self._page = RunPage(settings, self._screen.screen, self._screen.journal, self.event)
        self._screen.page_url = lambda: self._page.url

    def run(self, *, local_dynamodb: bool, plain: bool, page: bool) -> None:
        """Parts, tables, stages; then look after them until interrupted."""
        from bridge.control.cli import Interrupted

        region = self._region() if local_dynamodb else None
        screen = self._screen.screen
        self._show = PlainShow(screen, write_line, _LINE_EVERY_S) if plain else LiveShow(screen)
        with (
            contextlib.suppress(Interrupted),
            self._show,
            self._page if page else contextlib.nullcontext(),
            parts(self._settings, self._folder, region, self.event) as found,
        ):
            if found.dynamodb is not None:
                self._screen.hint = f"AWS_ENDPOINT_URL_DYNAMODB={found.dynamodb.endpoint}"
            self._await_tables(found)
            self._supervise(found)
        write_line("stopped")

    def event(self, text: str) -> None:
        """Tell something that happened."""
        event = Event(self._clock(), text)
        self._screen.journal.add(event)
        self._show.event(event)

    def _region(self) -> str:
        return next((s.region for s in self._plan.sources if s.region), "us-east-1")

    def _await_tables(self, found: Parts) -> None:
        for source in self._plan.sources:
            if source.table_tags:
                continue  # the connector finds them, whenever they come
            client = dynamodb_client(source.region)
            if _exists(client, source.table_name):
                continue
            self.event(f"waiting for table {source.table_name} to be created")
            while not _exists(client, source.table_name):
                found.check()
                time.sleep(_LOOK_EVERY_S)
            self.event(f"found table {source.table_name}")

    def _supervise(self, found: Parts) -> None:
        specs = stage_specs(self._plan, self._target, found.settings, self._folder)
        supervisor = Supervisor(specs, self._folder / "logs", self.event)
        watch = Watch(supervisor)
        try:
            supervisor.start()
            watch.start()
            self._screen.watch = watch
            self._page.supervisor = supervisor
            lake = found.settings.lake or str(self._folder / "lake")
            self._page.watch(found.settings.model_copy(update={"lake": lake}), [self._target])
            names = ", ".join(spec.name for spec in specs)
            self.event(f"{names} started; logs in {self._folder / 'logs'}")
            while True:
                supervisor.tick()
                found.check()
                time.sleep(_TICK_S)
        finally:
            watch.close()
            supervisor.stop()


def _exists(client: Any, table: str) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    where, remedy = f"DynamoDB table {table}", "Check credentials, region and AWS_ENDPOINT_URL"
    try:
        status = client.describe_table(TableName=table)["Table"]["TableStatus"]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code == "ResourceNotFoundException":
            return False
        raise ConfigurationError(f"AWS answered {code}", where=where, remedy=remedy) from None
    except BotoCoreError as error:
        raise ConfigurationError(str(error), where=where, remedy=remedy) from None
    return status in ("ACTIVE", "UPDATING")
