"""A plan whose tables are found by their tags: what processors, sinks and `verify` make of it.

The connector finds the tables and writes down which; the others read that. A stage that notices
that the set has grown finishes its work in hand and begins again with the larger one, in the same
process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.control.plan import Plan, compile_plan, declaration
from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.found import Declared, declared, read_found_tables
from bridge.wire.foundtail import FoundTail
from bridge.wire.kafka import KafkaConfig

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.control.stages import Engine

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_SAY_S = 10.0

Found = Mapping[Declared, tuple[str, ...]]


def needs_finding(plan: Plan) -> bool:
    """Whether one of its sources names tags."""
    return any(source.table_tags for source in plan.declared)


def resolved(plan: Plan, found: Found) -> Plan | str:
    """The plan with the tables that were found, or the tags of which none are known. Pure.

    Raises:
        ConfigurationError: with these tables the transforms can't work.
    """
    transforms = []
    for transform in plan.transforms:
        inputs = {}
        for name, entry in transform.inputs.items():
            source = declaration(entry)
            if source.table_tags:
                tables = found.get(declared(source.region, source.table_tags), ())
                if not tables:
                    return source.table_name
                stream = replace(entry.stream, source=source.found(tables))
                entry = replace(entry, stream=stream)  # noqa: PLW2901
            inputs[name] = entry
        transforms.append(replace(transform, inputs=inputs))
    return compile_plan(plan.path, tuple(transforms))


def resolved_now(plan: Plan, settings: Settings) -> Plan:
    """The plan with the tables the connector has found until now; one without tags as it is.

    Raises:
        ConfigurationError: there are none, or no broker is set.
        BrokerUnreachableError: Kafka does not answer.
    """
    if not needs_finding(plan):
        return plan
    if not settings.brokers:
        raise ConfigurationError(
            "its tables are found by tags, and the connector has written into Kafka which",
            where=str(plan.path),
            remedy="Set TAILRACE_BROKERS",
        )
    outcome = resolved(plan, read_found_tables(settings.kafka_config()))
    if isinstance(outcome, str):
        raise ConfigurationError(
            f"the connector has found no table with the tags {outcome}",
            where=str(plan.path),
            remedy="Start it, and check the tags and the region",
        )
    return outcome


class Following:
    """An engine for the tables there are, replaced by another when there are more.

    Args:
        plan: with sources that name tags.
        kafka: where the connector says what it found.
        make: an engine for a plan whose tables are known.
    """

    def __init__(self, plan: Plan, kafka: KafkaConfig, make: Callable[[Plan], Engine]) -> None:
        self._plan = plan
        self._kafka = kafka
        self._make = make
        self._engine: Engine | None = None
        self._waits_for = "the connector"

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set.

        Raises:
            TailraceError: the engine can't go on.
        """
        with FoundTail(self._kafka) as tail:
            while not stop.is_set():
                found = self._await(tail, stop)
                if found is not None:
                    self._engine = self._make(found)
                    self._run_engine(self._engine, found, tail, stop)

    def health(self) -> str | None:
        """None when healthy, else what stalls."""
        engine = self._engine
        return f"waiting for {self._waits_for}" if engine is None else engine.health()

    def status(self) -> object:
        """The engine's."""
        return getattr(self._engine, "status", tuple)()

    def _await(self, tail: FoundTail, stop: threading.Event) -> Plan | None:
        said_at = 0.0
        while not stop.is_set():
            tail.poll(_LOOK_S)
            if tail.complete:
                outcome = resolved(self._plan, tail.found)
                if isinstance(outcome, Plan):
                    return outcome
                self._waits_for = f"tables with the tags {outcome}"
            if time.monotonic() - said_at >= _SAY_S:
                said_at = time.monotonic()
                logger.info("waiting", extra={"for": self._waits_for})
        return None

    def _run_engine(
        self, engine: Engine, plan: Plan, tail: FoundTail, stop: threading.Event
    ) -> None:
        ended, over = threading.Event(), threading.Event()

        def watch() -> None:
            known = dict(tail.found)
            while not over.is_set() and not stop.wait(_LOOK_S):
                try:
                    tail.poll(0.0)
                except TailraceError as error:
                    logger.warning("found tables", extra={"cause": str(error)})
                    break  # the next start tells it
                if tail.complete and tail.found != known:
                    known = dict(tail.found)
                    if self._grew(plan, known):
                        logger.info("begins again with more tables")
                        break
            ended.set()

        thread = threading.Thread(target=watch, name="found-tables", daemon=True)
        thread.start()
        try:
            engine.run(ended)
        finally:
            over.set()
            thread.join()

    def _grew(self, before: Plan, found: Found) -> bool:
        try:
            now = resolved(self._plan, found)
        except ConfigurationError:
            return True  # the next start tells it
        return isinstance(now, Plan) and now.tables != before.tables
