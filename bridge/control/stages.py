"""One stage in this process: settings and a transform file become its engine, which then runs.

What a container runs. SIGTERM and Ctrl-C finish the work in hand, commit, and end with exit code 0.
Each engine, and with it its SDKs, is imported only by the stage that needs it, and only once the
settings are known to be right.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from bridge.control.failpoint import failpoint
from bridge.control.found import Following, needs_finding
from bridge.control.plan import Feed, Plan
from bridge.control.watch import watched
from bridge.wire.errors import ConfigurationError, TailraceError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.wire.reports import Stage

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """A stage's engine."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish what is in hand and return."""

    def health(self) -> str | None:
        """None when healthy, else one line: what stalls, for how long."""


def run_stage(kind: str, target: str, settings: Settings) -> None:
    """Run one stage until it is told to stop.

    A connector or sink of a folder begins again when its files ask it for other tables or datasets.

    Raises:
        TailraceError: the stage can't start, or can't go on.
    """
    with _stopping() as stop:
        while _run_plan(kind, target, settings, stop):
            logger.info("begins again: other transforms are in the folder", extra={"kind": kind})


def _run_plan(kind: str, target: str, settings: Settings, stop: threading.Event) -> bool:
    """Run the target as it is now; whether its folder changed, rather than that it was told to."""
    with watched(kind, target, stop) as (plan, ended):
        with _reported(kind, plan, settings) as report_on:
            engine = _engine(kind, plan, settings)
            with _observed(kind, engine, settings):
                report_on(engine)
                logger.info("stage started", extra={"kind": kind, "file": str(plan.path)})
                engine.run(ended)
        logger.info("stage stopped", extra={"kind": kind})
        return ended.is_set() and not stop.is_set()


def _engine(kind: str, plan: Plan, settings: Settings) -> Engine:
    make = _ENGINES[kind]
    if kind == "connector" or not needs_finding(plan):
        return make(plan, settings)
    return Following(plan, settings.kafka_config(), lambda found: make(found, settings))


def _connector(plan: Plan, settings: Settings) -> Engine:
    kafka, sources = settings.kafka_config(), plan.sources
    service = _import("bridge.connector.service", "connector")
    config = service.ConnectorConfig(
        kafka=kafka,
        sources=sources,
        enable_streams=settings.enable_streams,
        partitions=settings.partitions,
        buckets=settings.buckets,
        replication=settings.replication,
        retention_ms=settings.retention_ms,
        transaction_interval_s=settings.collect_s,
    )
    engine: Engine = service.Connector(config, failpoint=failpoint(settings.fail))
    return engine


def _processor(plan: Plan, settings: Settings) -> Engine:
    kafka, transform = settings.kafka_config(), plan.only
    service = _import("processors.service", "processor")
    config = service.ProcessorConfig(
        kafka=kafka,
        transform=transform,
        state_dir=settings.state_dir,
        commit_interval_s=settings.collect_s,
        replication=settings.replication,
        retention_ms=settings.retention_ms,
        accept_change=settings.accept_change,
        dead_letters_max=settings.dead_letters_max,
    )
    engine: Engine = service.Processor(config, failpoint=failpoint(settings.fail))
    return engine


def _sink(plan: Plan, settings: Settings) -> Engine:
    kafka, lake = settings.kafka_config(), settings.lake_uri()
    service = _import("sinks.service", "sink")
    config = service.SinkConfig(
        kafka=kafka,
        targets=tuple(_target(service, feed) for feed in plan.feeds),
        lake=lake,
        storage_options=settings.storage_options(),
        freshness_s=settings.freshness_s,
        memory_bytes=settings.memory_bytes,
        buckets=settings.buckets,
        replication=settings.replication,
        retention_ms=settings.retention_ms,
        failpoint=failpoint(settings.fail),
    )
    engine: Engine = service.Sink(config)
    return engine


def _target(service: Any, feed: Feed) -> Any:
    found = any(part.found for part in feed.parts)
    return service.Target(feed.dataset, feed.tables, found=found)


_ENGINES: dict[str, Callable[[Plan, Settings], Engine]] = {
    "connector": _connector,
    "processor": _processor,
    "sink": _sink,
}


def _import(module: str, extra: str) -> Any:
    with needing(extra):
        return importlib.import_module(module)


@contextlib.contextmanager
def needing(extra: str) -> Iterator[None]:
    """Say which extra is missing when an import fails inside.

    Raises:
        ConfigurationError: a package of that extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("bridge", "processors", "sinks"):
            raise
        raise ConfigurationError(
            f"{error.name} is not installed", remedy=f"Run pip install '.[{extra}]'"
        ) from None


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; a second signal ends the process at once."""
    stop = threading.Event()

    def ask(number: int, _frame: object) -> None:
        logger.info("asked to stop", extra={"signal": signal.Signals(number).name})
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {
        number: signal.signal(number, ask) or signal.SIG_DFL
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _reported(
    kind: str, plan: Plan, settings: Settings
) -> Iterator[Callable[[Engine | None], None]]:
    """Tell Kafka how this process is doing, and as its last word why it ends; see `reports`."""
    from bridge.control.logs import Redactor
    from bridge.wire.reports import Reporter, this_process

    stage, redactor = cast("Stage", kind), Redactor(settings.secrets)
    engine: Engine | None = None

    def report_on(made: Engine | None) -> None:
        nonlocal engine
        engine = made

    def problem() -> str | None:
        found = "starting" if engine is None else engine.health()
        return None if found is None else redactor.clean(found)

    name, covers = _covered(kind, plan)
    port = settings.metrics_port
    metrics = f"{settings.metrics_host}:{port}" if port else None
    kafka = settings.kafka_config()
    reporter = Reporter(
        kafka,
        this_process(kafka, stage, name, covers, metrics),
        problem,
        lambda: tuple(getattr(engine, "status", tuple)()),
        settings.replication,
    )
    with reporter:
        try:
            yield report_on
        except BaseException as error:
            known = isinstance(error, TailraceError)
            reporter.stopped = redactor.clean(str(error) if known else type(error).__name__)
            raise


def _covered(kind: str, plan: Plan) -> tuple[str, tuple[str, ...]]:
    """What a stage is called, and what it is there for."""
    if kind == "connector":
        return plan.path.name, tuple(source.table_name for source in plan.sources)
    if kind == "sink":
        return plan.path.name, tuple(feed.dataset.id for feed in plan.feeds)
    return plan.only.name, (plan.only.name,)


@contextlib.contextmanager
def _observed(kind: str, engine: Engine, settings: Settings) -> Iterator[None]:
    if settings.metrics_port == 0:
        yield
        return
    from bridge.wire.observe import Observatory

    observatory = Observatory(
        host=settings.metrics_host,
        port=settings.metrics_port,
        health=engine.health,
        status=getattr(engine, "status", tuple),
        stage=kind,
    )
    observatory.start()
    try:
        yield
    finally:
        observatory.close()
