"""One message at a time: change in; rows, retractions and dead letters out. Knows no Quix.

Everything a message causes goes through one outbox and the stores of one checkpoint, so it happens
together or not at all. State is written last: an error before it leaves the state as it was. Only
the reading of a message can make a dead letter; a failure to write is a failure of the process,
which the next one repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Message

from bridge.wire.envelope import (
    CONTROL_KEY,
    SETTLED,
    Headers,
    Sealed,
    change_event_time,
    change_key,
    change_version,
    header,
)
from bridge.wire.errors import ConfigurationError, UnknownVersionError, WireError
from bridge.wire.schemas import Schema
from bridge.wire.topics import TopicNames
from processors import metrics, state
from processors.admission import Admission
from processors.aside import DEAD_LETTERS_MAX, Aside
from processors.compiled import CompiledFlow, CompiledTransform, Evaluation
from processors.keyed.steps import KeyedFlows
from processors.language.runtime import UnfitValueError
from processors.mapping import MapError
from processors.records import RecordReader
from processors.row_writer import Change, Outbox, RowWriter
from processors.tally import Tally

StoresOf = Callable[[CompiledFlow], state.Stores]
Register = Callable[[Schema], object]


@dataclass(slots=True)
class Incoming:
    """A message of a changes topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


@dataclass(slots=True)
class _Batch:
    """Messages of one partition on their way: where they come from and where all of it goes."""

    topic: str
    partition: int
    outbox: Outbox
    stores_of: StoresOf
    flows: list[tuple[CompiledFlow, RowWriter]] = field(default_factory=list)

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
        batch.flows = [(flow, RowWriter(outbox, rows)) for flow, rows in self._flows.get(topic, ())]
        count = 0
        try:
            for message in messages:
                count += 1
                process(batch, message)
                if not go_on():
                    break
            return count
        finally:
            self._changes.inc(count if batch.flows else 0)
            self._tell_counts(batch)

    def _tell_counts(self, batch: _Batch) -> None:
        for _, writer in batch.flows:
            self._rows["upsert"].inc(writer.upserts)
            self._rows["delete"].inc(writer.deletes)
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
            record, item_key = change.record, change.item_key
            evaluations = [flow.evaluate(record, item_key) for flow, _ in batch.flows]
        except (UnknownVersionError, ConfigurationError, MemoryError):
            raise
        except Exception as error:
            self._aside.put(batch.incoming(message), error, batch.outbox)
            return
        for (flow, writer), evaluation in zip(batch.flows, evaluations, strict=True):
            if not evaluation.applied:
                continue
            fingerprint = self._fingerprint(flow)
            if flow.stateful:
                self._emit_stateful(flow, batch, change, writer, evaluation)
            elif evaluation.rows:
                writer.upsert(change, fingerprint, evaluation.rows)
            elif evaluation.vanished:
                writer.delete(change, fingerprint, (evaluation.item_key,))

    def _fingerprint(self, flow: CompiledFlow) -> str:
        """Of the flow's schema as it is now, registered."""
        schema = flow.schema
        known = self._registered.get(id(flow))
        if known is None or known[0] is not schema:
            if flow.unfolds:
                self._register(schema)
            known = self._registered[id(flow)] = (schema, schema.fingerprint)
        return known[1]

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

    def _emit_stateful(
        self,
        flow: CompiledFlow,
        batch: _Batch,
        change: Change,
        writer: RowWriter,
        evaluation: Evaluation,
    ) -> None:
        fingerprint = self._fingerprint(flow)
        stores = batch.stores_of(flow)
        if flow.keyed is not None:
            first = self._keyed.first(flow)
            incoming = batch.incoming(change.message)
            if not first.change(incoming, change, evaluation, batch.outbox, stores):
                self._stale.inc()
        elif flow.memory is not None:
            try:
                news, row = flow.memory.apply(evaluation, change, stores)
            except (MapError, UnfitValueError) as error:
                self._aside.put(batch.incoming(change.message), error, batch.outbox)
                return
            if not news:
                self._stale.inc()
            elif row is not None:
                writer.upsert(change, fingerprint, ((evaluation.item_key, row),))
            else:
                writer.delete(change, fingerprint, (evaluation.item_key,))
        else:
            self._emit_remembering(change, fingerprint, writer, evaluation, stores)

    def _emit_remembering(
        self,
        change: Change,
        fingerprint: str,
        writer: RowWriter,
        evaluation: Evaluation,
        stores: state.Stores,
    ) -> None:
        item_key, rows = change.item_key.encode(), evaluation.rows
        memory = state.recall(stores, item_key)
        if memory.is_stale(change.version):
            self._stale.inc()
            return
        keys = tuple([key for key, _ in rows])
        if gone := memory.retracted(keys):
            writer.delete(change, fingerprint, gone)
        writer.upsert(change, fingerprint, rows)
        if change.record["eventName"] == "REMOVE":
            state.forget(stores, item_key, memory, change.version)
        else:
            state.remember(stores, item_key, memory, state.Live(change.version, keys))

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
