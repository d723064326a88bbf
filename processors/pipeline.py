"""One message at a time: change in; rows, retractions and dead letters out. Knows no Quix.

Everything a message causes goes through one outbox and the stores of one checkpoint, so it happens
together or not at all. State is written last: an error before it leaves the state as it was. Only
the reading of a message can make a dead letter; a failure to write is a failure of the process,
which the next one repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import Message

from bridge.wire.envelope import (
    CONTROL_KEY,
    Headers,
    Sealed,
    change_event_time,
    change_key,
    change_origin,
    change_version,
    header,
    row_headers,
)
from bridge.wire.errors import ConfigurationError, UnknownVersionError, WireError
from bridge.wire.schemas import Schema
from bridge.wire.topics import TopicNames
from processors import metrics, state
from processors.admission import Admission
from processors.aside import DEAD_LETTERS_MAX, Aside
from processors.compiled import CompiledFlow, CompiledTransform, Evaluation
from processors.keyed.stateful import StatefulStep
from processors.keyed.steps import KeyedFlows
from processors.language.runtime import UnfitValueError
from processors.mapping import MapError
from processors.row_writer import Change, Outbox, RowWriter
from processors.tally import Tally

StoresOf = Callable[[CompiledFlow], state.Stores]
Register = Callable[[Schema], object]


@dataclass(slots=True)  # made for every message; a frozen one takes three times as long to make
class Incoming:
    """A message of a changes topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class Pipeline:
    """A compiled transform between topics.

    Args:
        compiled: the transform.
        names: the namespace's topics.
        dead_letters_max: see `processors.aside.Aside`.
        register: writes a schema that was found while processing, acknowledged on return.
        spread: see `admission`.
        limits, epochs: see `admission`.
    """

    def __init__(
        self,
        compiled: CompiledTransform,
        names: TopicNames,
        *,
        register: Register = lambda _: None,
        spread: Mapping[str, int] | None = None,
        dead_letters_max: int = DEAD_LETTERS_MAX,
        limits: Mapping[str, Mapping[int, int]] | None = None,
        epochs: Mapping[str, int] | None = None,
    ) -> None:
        self.compiled = compiled
        own = compiled.name, limits or {}, spread or {}, compiled.instance, epochs or {}
        self._admission = Admission(*own)
        self._aside = Aside(compiled.name, names.dead_letters(compiled.name), dead_letters_max)
        self._register = register
        self._registered: dict[int, tuple[Schema, str]] = {}
        self._flows: dict[str, list[tuple[CompiledFlow, str]]] = {}
        self._keyed = KeyedFlows(compiled, names)
        self._keyed_topics = frozenset(self._keyed.topics)
        for flow in compiled.flows:
            into = self._flows.setdefault(names.changes(flow.table), [])
            into.append((flow, names.rows(flow.dataset.id)))
        label, rows = compiled.name, metrics.ROWS
        self._changes = Tally(metrics.CHANGES.labels(label))
        self._rows = {name: Tally(rows.labels(label, name)) for name in ("upsert", "delete")}
        self._stale = metrics.STALE.labels(label)
        for flow in compiled.flows:
            flow.mismatches.clear()

    def topics(self) -> dict[str, bool]:
        """The topics it reads, and whether their flows keep state."""
        read = {
            topic: any(flow.stateful for flow, _ in flows) for topic, flows in self._flows.items()
        }
        return read | dict.fromkeys(self._keyed.topics, True)

    def process_batch(
        self,
        topic: str,
        partition: int,
        messages: Sequence[Message],
        outbox: Outbox,
        stores_of: StoresOf,
        *,
        processed: Callable[[], None],
        leave_off: Callable[[], bool],
    ) -> int:
        """`process` for messages of one partition, in order; at least one of them.

        Args:
            topic: where they were read.
            partition: where they were read.
            messages: as the Kafka client hands them over.
            outbox: as `process`.
            stores_of: as `process`.
            processed: called after each.
            leave_off: asked after each whether to end here.

        Returns:
            How many were processed.
        """
        try:
            for count, message in enumerate(messages, start=1):
                incoming = Incoming(
                    topic,
                    partition,
                    message.offset() or 0,
                    message.key(),
                    message.value(),
                    message.headers(),
                )
                self._process(incoming, outbox, stores_of)
                processed()
                if leave_off():
                    return count
            return len(messages)
        finally:
            self._tell_counts()

    def process(self, message: Incoming, outbox: Outbox, stores_of: StoresOf) -> None:
        """All a message causes.

        Raises:
            UnknownVersionError: a newer release wrote it: stop, nothing may be guessed.
            ConfigurationError: the transform can't work on this table.
            TailraceError: too many changes can't be processed.
        """
        try:
            self._process(message, outbox, stores_of)
        finally:
            self._tell_counts()

    def _tell_counts(self) -> None:
        for tally in (self._changes, *self._rows.values()):
            tally.flush()
        self._count_mismatches()

    def _process(self, message: Incoming, outbox: Outbox, stores_of: StoresOf) -> None:
        self._aside.read += 1
        topic = message.topic
        if topic in self._keyed_topics:
            self._contributed(message, outbox, stores_of)
            return
        self._changes.inc()
        try:
            if message.headers and header(message.headers, "control") is not None:
                self._seal(message, outbox, stores_of)
                return
            change = self._decode(message)
            if change is None:
                return
            evaluated = self._evaluate(topic, change.record, change.item_key)
        except (UnknownVersionError, ConfigurationError, MemoryError):
            raise
        except Exception as error:
            self._aside.put(message, error, outbox)
            return
        for flow, rows_topic, evaluation in evaluated:
            fingerprint = self._fingerprint(flow)
            writer = RowWriter(outbox, rows_topic, row_headers(fingerprint, change.offset), change)
            if flow.keyed is not None:
                first = self._keyed.first(flow)
                if not first.change(message, change, evaluation, outbox, stores_of(flow)):
                    self._stale.inc()
                continue
            if flow.stateful:
                self._emit_remembering(flow, message, writer, evaluation, stores_of(flow))
            else:
                self._emit(writer, evaluation)

    def _evaluate(
        self, topic: str, record: Mapping[str, Any], item_key: str
    ) -> list[tuple[CompiledFlow, str, Evaluation]]:
        evaluated = []
        for flow, rows_topic in self._flows[topic]:
            evaluation = flow.evaluate(record, item_key)
            if evaluation.applied:
                evaluated.append((flow, rows_topic, evaluation))
        return evaluated

    def _fingerprint(self, flow: CompiledFlow) -> str:
        """Of the flow's schema as it is now, registered."""
        schema = flow.schema
        known = self._registered.get(id(flow))
        if known is None or known[0] is not schema:
            if flow.unfolds:
                self._register(schema)
            known = self._registered[id(flow)] = (schema, schema.fingerprint)
        return known[1]

    def _decode(self, message: Incoming) -> Change | None:
        """The change, None where another transform or a scan of our own has it."""
        if message.value is None:
            raise WireError("an empty message")
        record = orjson.loads(message.value)
        if not (isinstance(record, dict) and isinstance(record.get("dynamodb"), dict)):
            raise WireError("not a change: it has no 'dynamodb'")
        origin = change_origin(record)
        place = (message.partition, message.offset)
        if not self._admission.takes(record, origin, message.topic, place):
            return None
        return Change(
            record,
            change_key(record),
            change_version(record, origin),
            change_event_time(record),
            message.offset,
            message.key,
        )

    def _emit(self, writer: RowWriter, evaluation: Evaluation) -> None:
        writer.upsert(evaluation.rows)
        if evaluation.vanished:
            writer.delete((evaluation.item_key,))
        self._count(writer)

    def _emit_remembering(
        self,
        flow: CompiledFlow,
        message: Incoming,
        writer: RowWriter,
        evaluation: Evaluation,
        stores: state.Stores,
    ) -> None:
        if flow.memory is not None:
            self._emit_by_memory(flow.memory, message, writer, evaluation, stores)
            return
        change = writer.change
        item_key = change.item_key.encode()
        memory = state.recall(stores, item_key)
        if memory.is_stale(change.version):
            self._stale.inc()
            return
        keys = tuple([key for key, _ in evaluation.rows])
        if gone := memory.retracted(keys):
            writer.delete(gone)
        writer.upsert(evaluation.rows)
        if change.record["eventName"] == "REMOVE":
            state.forget(stores, item_key, memory, change.version)
        else:
            state.remember(stores, item_key, memory, state.Live(change.version, keys))
        self._count(writer)

    def _emit_by_memory(
        self,
        step: StatefulStep,
        message: Incoming,
        writer: RowWriter,
        evaluation: Evaluation,
        stores: state.Stores,
    ) -> None:
        try:
            news, row = step.apply(evaluation, writer.change, stores)
        except (MapError, UnfitValueError) as error:
            self._aside.put(message, error, writer.outbox)
            return
        if not news:
            self._stale.inc()
        elif row is not None:
            writer.upsert(((evaluation.item_key, row),))
        else:
            writer.delete((evaluation.item_key,))
        self._count(writer)

    def _contributed(self, message: Incoming, outbox: Outbox, stores_of: StoresOf) -> None:
        try:
            written = self._keyed.contributed(message, outbox, stores_of)
        except UnknownVersionError:
            raise
        except (WireError, UnfitValueError) as error:
            self._aside.put(message, error, outbox)
            self._keyed.pass_over(message, stores_of)
            return
        for operation, count in written.items():
            self._rows[operation].inc(count)

    def _seal(self, message: Incoming, outbox: Outbox, stores_of: StoresOf) -> None:
        place = (message.partition, message.offset)
        taken = self._admission.seal(message.value or b"", message.topic, place)
        if taken is None:
            return
        sealed, value = taken
        for flow, rows_topic in self._flows[message.topic]:
            if flow.keyed is not None:
                self._keyed.first(flow).seal(message, sealed, outbox, stores_of(flow))
                continue
            for partition, seal in self._admission.places(
                rows_topic, message.partition, sealed, value
            ):
                outbox.produce(
                    topic=rows_topic,
                    value=seal,
                    key=CONTROL_KEY,
                    headers=Sealed.headers(),
                    partition=partition,
                )
            if flow.stateful and sealed.scanned:
                forget = flow.memory.forget_vanished if flow.memory else state.forget_vanished
                forget(stores_of(flow), sealed.epoch)
                stores_of(flow).raise_floor(sealed.epoch)

    def _count(self, writer: RowWriter) -> None:
        if writer.upserts:
            self._rows["upsert"].inc(writer.upserts)
        if writer.deletes:
            self._rows["delete"].inc(writer.deletes)

    def _count_mismatches(self) -> None:
        for flow in self.compiled.flows:
            if flow.mismatches:
                for path, count in flow.mismatches.items():
                    metrics.TYPE_MISMATCHES.labels(self.compiled.name, path).inc(count)
                flow.mismatches.clear()
