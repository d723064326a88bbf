"""One message at a time: change in; rows, retractions and dead letters out. Knows no Quix.

Everything a message causes goes through one outbox and the stores of one checkpoint, so it happens
together or not at all. State is written last: an error before it leaves the state as it was. Only
the reading of a message can make a dead letter; a failure to write is a failure of the process,
which the next one repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from bridge.wire.envelope import (
    CONTROL_KEY,
    SETTLED,
    Headers,
    Sealed,
    change_event_time,
    change_key,
    change_version,
    encode_row,
    header,
)
from bridge.wire.errors import ConfigurationError, UnknownVersionError, WireError
from bridge.wire.schemas import Schema
from bridge.wire.topics import TopicNames
from processors import metrics, state
from processors.admission import Admission
from processors.aside import DEAD_LETTERS_MAX, Aside
from processors.compiled import CompiledTransform
from processors.flow import CompiledFlow, Evaluation
from processors.keyed.steps import KeyedFlows
from processors.language.runtime import UnfitValueError
from processors.mapping import MapError
from processors.records import RecordReader
from processors.row_writer import Change, Outbox, RowWriter
from processors.tally import Tally

StoresOf = Callable[[CompiledFlow], state.Stores]
Register = Callable[[Schema], object]
# Of a record with its item's key, its version and its event time.
Evaluate = Callable[[Mapping[str, Any], str, str, str | None], Evaluation]
Emit = Callable[["_Lane", "_Batch", Change, Evaluation], bool]


@dataclass(slots=True)
class Incoming:
    """A message of a changes topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class _Lane:
    """One flow in one run of messages: where its rows go, and what it remembers."""

    __slots__ = ("emit", "evaluate", "fingerprint", "flow", "schema", "writer")

    def __init__(self, flow: CompiledFlow, emit: Emit, writer: RowWriter) -> None:
        self.flow = flow
        self.evaluate: Evaluate = flow.sent
        if not flow.sends_rows:
            self.evaluate = lambda record, item_key, *_: flow.evaluate(record, item_key)
        self.emit = emit
        self.writer = writer
        self.schema: Schema | None = None
        self.fingerprint = ""


@dataclass(slots=True)
class _Batch:
    """Messages of one partition on their way: where they come from and where all of it goes."""

    topic: str
    partition: int
    outbox: Outbox
    stores_of: StoresOf
    lanes: list[_Lane] = field(default_factory=list)

    def incoming(self, message: Message) -> Incoming:
        """A message with the place it was read at."""
        return Incoming(
            self.topic,
            self.partition,
            message.offset() or 0,
            message.key(),
            message.value(),
            message.headers(),
        )


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
        self._readers = {
            topic: RecordReader(flow.reads for flow, _ in flows)
            for topic, flows in self._flows.items()
        }
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
        go_on: Callable[[], bool] = lambda: True,
    ) -> int:
        """All that messages of one partition cause, in order; at least the first of them.

        Args:
            topic: where they were read.
            partition: where they were read.
            messages: as the Kafka client hands them over.
            outbox: the open transaction.
            stores_of: the stores of a flow in the open checkpoint.
            go_on: asked after each whether to take the next.

        Returns:
            How many were processed.

        Raises:
            UnknownVersionError: a newer release wrote one: stop, nothing may be guessed.
            ConfigurationError: the transform can't work on this table.
            TailraceError: too many changes can't be processed.
        """
        batch = _Batch(topic, partition, outbox, stores_of)
        process = self._contributed if topic in self._keyed_topics else self._process
        batch.lanes = [
            _Lane(flow, self._emit_of(flow), RowWriter(outbox, rows))
            for flow, rows in self._flows.get(topic, ())
        ]
        count = 0
        try:
            for message in messages:
                count += 1
                process(batch, message)
                if not go_on():
                    break
            return count
        finally:
            self._changes.inc(count if batch.lanes else 0)
            self._tell_counts(batch)

    def _tell_counts(self, batch: _Batch) -> None:
        for lane in batch.lanes:
            self._rows["upsert"].inc(lane.writer.upserts)
            self._rows["delete"].inc(lane.writer.deletes)
        for tally in (self._changes, *self._rows.values()):
            tally.flush()
        self._count_mismatches()

    def _process(self, batch: _Batch, message: Message) -> None:
        self._aside.read += 1
        headers = message.headers()
        try:
            if headers and header(headers, "control") is not None:
                self._control(batch, message)
                return
            change = self._decode(batch, message)
            if change is None:
                return
            news = []
            for lane in batch.lanes:
                evaluation = lane.evaluate(
                    change.record, change.item_key, change.version, change.event_time
                )
                if evaluation.applied:
                    news.append((lane, evaluation))
        except (UnknownVersionError, ConfigurationError, MemoryError):
            raise
        except Exception as error:
            self._aside.put(batch.incoming(message), error, batch.outbox)
            return
        for lane, evaluation in news:
            if lane.flow.discovery.schema is not lane.schema:
                self._look_at_schema(lane)
            if not lane.emit(lane, batch, change, evaluation):
                self._stale.inc()

    def _look_at_schema(self, lane: _Lane) -> None:
        """The flow's schema as it is now, registered."""
        schema = lane.flow.schema
        known = self._registered.get(id(lane.flow))
        if known is None or known[0] is not schema:
            if lane.flow.unfolds:
                self._register(schema)
            known = self._registered[id(lane.flow)] = (schema, schema.fingerprint)
        lane.schema, lane.fingerprint = known

    def _decode(self, batch: _Batch, message: Message) -> Change | None:
        """The change, None where another transform or a scan of our own has it."""
        value, offset = message.value(), message.offset() or 0
        if value is None:
            raise WireError("an empty message")
        record, origin = self._readers[batch.topic].read(value)
        # Nearly always there is nothing to ask.
        if origin.addressed_to is not None or self._admission.limits:
            place = (batch.partition, offset)
            if not self._admission.takes(record, origin, batch.topic, place):
                return None
        return Change(
            record,
            change_key(record),
            change_version(record, origin),
            change_event_time(record),
            offset,
            message.key(),
            message,
        )

    def _emit_of(self, flow: CompiledFlow) -> Emit:
        """What becomes of an evaluated change; False where its item is known to be newer."""
        if flow.keyed is not None:
            return self._emit_keyed
        if flow.memory is not None:
            return self._emit_by_memory
        return _emit_remembering if flow.stateful else _emit_rows

    def _emit_keyed(
        self, lane: _Lane, batch: _Batch, change: Change, evaluation: Evaluation
    ) -> bool:
        incoming, stores = batch.incoming(change.message), batch.stores_of(lane.flow)
        step = self._keyed.first(lane.flow)
        return step.change(incoming, change, evaluation, batch.outbox, stores)

    def _emit_by_memory(
        self, lane: _Lane, batch: _Batch, change: Change, evaluation: Evaluation
    ) -> bool:
        assert lane.flow.memory is not None
        key = evaluation.item_key
        try:
            news, row = lane.flow.memory.apply(evaluation, change, batch.stores_of(lane.flow))
        except (MapError, UnfitValueError) as error:
            self._aside.put(batch.incoming(change.message), error, batch.outbox)
            return True
        if row is not None:
            value = encode_row(
                key=key,
                version=change.version,
                operation="upsert",
                event_time=change.event_time,
                columns=row,
            )
            lane.writer.write(change, lane.fingerprint, ((key, value),))
        elif news:
            lane.writer.write(change, lane.fingerprint, (), (key,))
        return news

    def _contributed(self, batch: _Batch, read: Message) -> None:
        self._aside.read += 1
        message, outbox, stores_of = batch.incoming(read), batch.outbox, batch.stores_of
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

    def _control(self, batch: _Batch, message: Message) -> None:
        if header(message.headers(), "control") != SETTLED:
            self._seal(batch.incoming(message), batch.outbox, batch.stores_of)

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

    def _count_mismatches(self) -> None:
        for flow in self.compiled.flows:
            if flow.mismatches:
                for path, count in flow.mismatches.items():
                    metrics.TYPE_MISMATCHES.labels(self.compiled.name, path).inc(count)
                flow.mismatches.clear()


def _emit_rows(lane: _Lane, _: _Batch, change: Change, evaluation: Evaluation) -> bool:
    gone = (evaluation.item_key,) if evaluation.vanished else ()
    lane.writer.write(change, lane.fingerprint, evaluation.values, gone)
    return True


def _emit_remembering(lane: _Lane, batch: _Batch, change: Change, evaluation: Evaluation) -> bool:
    stores, values = batch.stores_of(lane.flow), evaluation.values
    item_key, version = change.item_key.encode(), change.version
    memory = state.recall(stores, item_key)
    if memory.is_stale(version):
        return False
    keys = tuple([key for key, _ in values])
    lane.writer.write(change, lane.fingerprint, values, memory.retracted(keys))
    if change.record["eventName"] == "REMOVE":
        state.forget(stores, item_key, memory, version)
    else:
        state.remember(stores, item_key, memory, version, keys)
    return True
