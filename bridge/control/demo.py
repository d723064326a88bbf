"""`tailrace demo`: the whole pipeline on this machine, troubles on the way, and every row verified.

Nothing in it is staged: the stages are the processes a container runs, three orders can't be
processed until the transform is redeployed, the sink dies by SIGKILL, and the verdict is a
comparison of every DynamoDB item with every Delta row.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.control.cluster import Parts, parts, stage_specs
from bridge.control.demo_revision import poison, replay_all, write_revision
from bridge.control.demo_screen import DemoScreen, Phase
from bridge.control.folder import fresh_folder, held
from bridge.control.passing import Passing
from bridge.control.pipeline import Watch
from bridge.control.plan import Plan, load_plan
from bridge.control.screen import Event, Tone
from bridge.control.show import Clock, LiveShow, PlainShow, Show, write_line
from bridge.control.source_items import dynamodb_client
from bridge.control.supervisor import Supervisor
from bridge.control.ui.running import RunPage
from bridge.control.workload import Shop, Writer, put_all
from bridge.wire.errors import ConfigurationError, TailraceError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.control.verdict import Verdict

EXISTING_ITEMS = 2_000
_TICK_S = 0.1
_START_TIMEOUT_S = 60.0
_DRAIN_TIMEOUT_S = 60.0
_PASSING_S = 0.5
_VERIFY_TIMEOUT_S = 60.0


def run_demo(
    settings: Settings,
    *,
    seconds: float,
    plain: bool,
    page: bool,
    as_json: bool,
    folder: Path | None,
) -> bool:
    """Run it; whether the table equals the source.

    Raises:
        TailraceError: a part or a stage can't run.
    """
    plain = plain or as_json or not sys.stdout.isatty()
    if settings.log_level == "INFO":
        logging.getLogger("bridge").setLevel(logging.WARNING)  # the events say it
    with held(folder or fresh_folder("tailrace-demo-"), empty=True) as place:
        demo = Demo(settings, place, seconds)
        verdict = demo.run(plain=plain, page=page)
        demo.tell(verdict, as_json=as_json)
    return verdict.clean


def example_file() -> Path:
    """The transform the demo runs: the example that ships with the package."""
    spec = importlib.util.find_spec("processors.examples.orders")
    if spec is None or spec.origin is None:
        raise ConfigurationError("processors.examples.orders is missing", where="installation")
    return Path(spec.origin)


class Demo:
    """One run.

    Args:
        settings: as loaded; only how to reach Kafka is taken from them.
        folder: everything of this run.
        seconds: length of the live phase.
    """

    def __init__(self, settings: Settings, folder: Path, seconds: float) -> None:
        own = {
            "namespace": f"tailrace-demo-{secrets.token_hex(4)}",
            "lake": str(folder / "lake"),
            "lake_options": {},
        }
        self._settings = settings.model_copy(update=own)
        self._folder = folder
        self._seconds = seconds
        self._clock = Clock()
        self._plan: Plan = load_plan(str(example_file()))
        (self._source,) = self._plan.sources
        self._screen = DemoScreen(self._plan, self._clock, seconds)
        self._shop = Shop(seed=7)
        self._show: Show = Show()
        self._page = RunPage(settings, self._screen.screen, self._screen.journal, self.event)
        self._screen.page_url = lambda: self._page.url
        self._changes = 0
        self._replayed = 0

    def run(self, *, plain: bool, page: bool) -> Verdict:
        """Every phase, in order."""
        region = self._source.region or "us-west-2"
        self._show = self._new_show(plain)
        with (
            self._show,
            self._page if page else contextlib.nullcontext(),
            parts(self._settings, self._folder, region, self.event) as found,
        ):
            self._settings = found.settings
            client = dynamodb_client(region)
            self._put_existing(client)
            with self._topics_removed(found), self._stages(found) as (supervisor, watch):
                self._live(client, found, supervisor, watch)
                self._replay(found, supervisor)
                self._drain(found, supervisor, watch)
                verdict = self._verify()
                self._screen.phase = Phase.DONE
                self._screen.verdict(verdict)
                self._page.farewell(verdict.line(), clean=verdict.clean)
        return verdict

    def event(self, text: str, tone: Tone = "plain") -> None:
        """Tell something that happened."""
        event = Event(self._clock(), text, tone)
        self._screen.journal.add(event)
        self._show.event(event)

    def _new_show(self, plain: bool) -> Show:
        if plain:
            return PlainShow(self._screen.screen, write_line)
        return LiveShow(self._screen.screen)

    def _put_existing(self, client: Any) -> None:
        table = self._source.table_name
        self._screen.phase = Phase.EXISTING
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "orderId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "orderId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        put_all(client, table, self._shop.stock(EXISTING_ITEMS), self._screen.add_existing)
        self.event(f"table {table} holds {EXISTING_ITEMS:,} items; its stream is still off")

    @contextlib.contextmanager
    def _stages(self, found: Parts) -> Iterator[tuple[Supervisor, Watch]]:
        target = f"{self._plan.path}:{self._plan.only.name}"
        specs = stage_specs(self._plan, target, found.settings, self._folder)
        supervisor = Supervisor(specs, self._folder / "logs", self.event)
        watch = Watch(supervisor)
        try:
            supervisor.start()
            watch.start()
            self._screen.watch = watch
            self._page.supervisor = supervisor
            self._page.watch(found.settings, [target])
            self.event("connector, processor and sink started, one process each")
            yield supervisor, watch
        finally:
            watch.close()
            supervisor.stop()

    def _live(self, client: Any, found: Parts, supervisor: Supervisor, watch: Watch) -> None:
        """Write, while the snapshot still arrives; poison, redeploy and kill on the way."""
        self._screen.phase = Phase.STARTING
        self._until(found, supervisor, lambda: watch.reading("connector").count > 0, "connector")
        self._screen.phase = Phase.LIVE
        self._screen.live_since_s = self._clock()
        writer = Writer(client, self._source.table_name, self._shop, self._clock.started_s)
        self._screen.writer = writer
        writer.start()
        begin_s = self._clock()
        early, kill, end = (begin_s + self._seconds * part for part in (0.1, 0.6, 1.0))
        try:
            self._tick_until(found, supervisor, writer, early)
            self._poison(client, found, supervisor, watch)
            self._redeploy(found, supervisor, watch)
            self._until(found, supervisor, lambda: watch.reading("sink").count > 0, "sink")
            self._tick_until(found, supervisor, writer, kill)
            self._kill(supervisor)
            # What comes while the sink is away waits for it.
            end = max(end, self._clock() + self._seconds / 4)
            self._tick_until(found, supervisor, writer, end)
        finally:
            writer.stop()
            self._changes = writer.changes + len(poison())
        self.event(f"stopped writing after {writer.changes:,} changes")

    def _poison(self, client: Any, found: Parts, supervisor: Supervisor, watch: Watch) -> None:
        items = poison()
        for item in items:
            client.put_item(TableName=self._source.table_name, Item=item)
        self.event(f"{len(items)} orders come whose totals no decimal(38,18) can hold", "bad")

        def set_aside() -> bool:
            return watch.reading("processor").dead_letters >= len(items)

        self._until(found, supervisor, set_aside, "processor")
        self.event("they are dead letters now, kept whole with their cause; the others flow on")

    def _redeploy(self, found: Parts, supervisor: Supervisor, watch: Watch) -> None:
        """A transform that can take them, with a column more; nothing else is touched."""
        path = write_revision(self._plan.path, self._folder)
        (stage,) = supervisor.of_kind("processor")
        settings = {**stage.spec.settings, "accept_change": True}
        target = f"{path}:{self._plan.only.name}"
        self._plan = load_plan(str(path))
        stage.redeploy(replace(stage.spec, target=target, settings=settings))
        # No order has a coupon before the transform that does not know of them is gone.
        self._until(found, supervisor, lambda: not stage.redeploying, "processor")
        self._shop.coupons = True
        self.event("with a column coupon_code, which new orders carry, and rounded totals", "note")

        def running() -> bool:
            return watch.reading("processor").light == "running"

        self._until(found, supervisor, lambda: not running(), "processor")
        self._until(found, supervisor, running, "processor")

    def _replay(self, found: Parts, supervisor: Supervisor) -> None:
        self._screen.phase = Phase.REPLAYING
        self._tick(found, supervisor)
        self._replayed = replay_all(self._settings, self._plan.only.name)
        self.event(f"replayed {self._replayed} dead letters, for their transform alone", "good")

    def _kill(self, supervisor: Supervisor) -> None:
        (sink,) = supervisor.of_kind("sink")
        if sink.child is not None:
            pid = sink.child.pid
            sink.child.kill()
            self._screen.killed_at_s = self._clock()
            self.event(f"SIGKILL for the sink (pid {pid}), in the middle of its work", "bad")

    def _drain(self, found: Parts, supervisor: Supervisor, watch: Watch) -> None:
        """Wait until the connector has every change, and processor and sink have passed it."""
        self._screen.phase = Phase.DRAINING
        deadline_s = self._clock() + _DRAIN_TIMEOUT_S
        passing = Passing(
            self._settings.kafka_config(),
            tables=[self._source.table_name],
            transform=self._plan.only.name,
            dataset=self._plan.feeds[0].dataset.id,
        )
        while self._clock() < deadline_s:
            self._tick(found, supervisor)
            connector = watch.reading("connector")
            if connector.count - connector.snapshot < self._changes:
                continue
            if passing.wait(time.monotonic() + _PASSING_S) is None:
                return
        self.event("it did not come to rest in time; verifying all the same", "bad")

    def _verify(self) -> Verdict:
        from bridge.control.verify import Manner, verify_plan

        self._screen.phase = Phase.VERIFYING
        self.event("comparing every DynamoDB item with every Delta row")
        (verdict,) = verify_plan(self._plan, self._settings, Manner(_VERIFY_TIMEOUT_S))
        return verdict

    def _until(self, found: Parts, supervisor: Supervisor, ready: Any, stage: str) -> None:
        deadline_s = self._clock() + _START_TIMEOUT_S
        while not ready():
            self._tick(found, supervisor)
            if self._clock() > deadline_s:
                raise TailraceError(
                    f"nothing came out of it within {_START_TIMEOUT_S:.0f} s",
                    where=stage,
                    remedy=f"Look into {self._folder / 'logs' / stage}.log",
                )

    def _tick_until(
        self, found: Parts, supervisor: Supervisor, writer: Writer, end_s: float
    ) -> None:
        while self._clock() < end_s:
            writer.check()
            self._tick(found, supervisor)

    def _tick(self, found: Parts, supervisor: Supervisor) -> None:
        supervisor.tick()
        found.check()
        for text in self._screen.news():
            self.event(text, "good")
        time.sleep(_TICK_S)

    @contextlib.contextmanager
    def _topics_removed(self, found: Parts) -> Iterator[None]:
        """Leave nothing behind on a broker that is not ours."""
        try:
            yield
        finally:
            if found.broker is None:
                _delete_topics(found.settings)

    def tell(self, verdict: Verdict, *, as_json: bool) -> None:
        """The result, and what to try next."""
        lake = self._settings.lake or ""
        lines = self._screen.summary(verdict, lake, _command())
        for line in lines if not sys.stdout.isatty() else ():
            write_line(line)
        if sys.stdout.isatty():
            _print_colored(lines, verdict.line(), good=verdict.clean)
        if as_json:
            body = {"verified": verdict.clean, "changes": self._changes, "lake": lake}
            body |= {"replayed": self._replayed}
            body |= verdict.as_dict() | {"seconds": round(self._clock(), 1)}
            write_line(json.dumps(body))


def _print_colored(lines: list[str], headline: str, *, good: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    color = "bold green" if good else "bold red"
    for line in lines:
        console.print(Text(line, style=color if line == headline else ""), soft_wrap=True)


def _command() -> str:
    """How this program is called from here."""
    name = Path(sys.argv[0]).name
    if name == "tailrace":
        return name if shutil.which(name) else sys.argv[0]
    return f"{sys.executable} -m bridge.control"


def _delete_topics(settings: Settings) -> None:
    from confluent_kafka import KafkaException

    from bridge.wire.topics import admin, existing_topics

    client = admin(settings.kafka_config())
    prefix = f"{settings.namespace}."
    with contextlib.suppress(KafkaException, TailraceError):
        names = [
            name
            for name in existing_topics(client)
            if name.removeprefix("changelog__").startswith(prefix)
        ]
        for deleted in client.delete_topics(names).values() if names else ():
            deleted.result(30)
