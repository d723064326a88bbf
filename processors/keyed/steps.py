"""The two steps of a keyed flow between topics; what they decide lies in the modules beside.

First: changes of the source, by item. A change makes the item contribute to target keys, or take
back what it did; a seal takes back what vanished from the source, then goes on to every partition.
Second: contributions, by target key. They make rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from bridge.wire.envelope import (
    CONTROL_KEY,
    SETTLED,
    Headers,
    Sealed,
    change_event_time,
    encode_row,
    header,
    row_headers,
)
from bridge.wire.errors import WireError
from bridge.wire.topics import TopicNames
from bridge.wire.version import epoch_floor
from processors import metrics, state
from processors.keyed.contribution import Contributed, Place
from processors.keyed.owner import Effect, Owner, rows_by_key
from processors.keyed.plan import EVENT_MS, KeyedPlan
from processors.state import Shelf

if TYPE_CHECKING:
    from processors.compiled import CompiledTransform
    from processors.flow import CompiledFlow, Evaluation
    from processors.pipeline import Incoming, StoresOf
    from processors.row_writer import Outbox


# A target key, the values of rows under it, and when their event happened (ms since 1970).
_Part = tuple[str, list[list[Any]], int | None]


class Change(Protocol):
    """The part of a decoded change that is used."""

    record: Mapping[str, Any]
    version: str


class FirstStep:
    """From changes to contributions.

    Args:
        plan: the keyed flow's.
        topic: of its contributions.
    """

    def __init__(self, plan: KeyedPlan, topic: str) -> None:
        self._plan = plan
        self._topic = topic

    def change(
        self,
        message: Incoming,
        change: Change,
        evaluation: Evaluation,
        outbox: Outbox,
        stores: state.Stores,
    ) -> bool:
        """What a change causes; False where its item is known to be newer."""
        record, version = change.record, change.version
        item = evaluation.item_key.encode()
        memory = state.recall(stores, item)
        if memory.is_stale(version):
            return False
        event_time = change_event_time(record)
        parts = self._parts(evaluation, memory)
        for number, (key, rows, at_ms) in enumerate(parts):
            place = Place(message.partition, message.offset, number)
            part = Contributed(evaluation.item_key, version, rows, event_time, place, at_ms)
            self._send(outbox, key, part)
        if record["eventName"] == "REMOVE":
            state.forget(stores, item, memory, version)
        else:
            # Events are not taken back.
            given = () if self._plan.window else tuple(key for key, rows, _ in parts if rows)
            state.remember(stores, item, memory, version, given)
        return True

    def seal(self, message: Incoming, sealed: Sealed, outbox: Outbox, stores: state.Stores) -> None:
        """Take back what vanished; then pass the seal on, behind it."""
        number = 0
        if sealed.scanned:
            for item, live in state.settle(stores, sealed.epoch):
                for key in live.keys:
                    place = Place(message.partition, message.offset, number)
                    number += 1
                    version = epoch_floor(sealed.epoch)
                    gone = Contributed(item.decode(), version, (), None, place)
                    self._send(outbox, key, gone)
            stores.raise_floor(sealed.epoch)
        for partition in range(sealed.of):
            outbox.produce(
                topic=self._topic,
                value=sealed.encode(),
                key=CONTROL_KEY,
                headers=Sealed.headers(),
                partition=partition,
            )

    def _parts(self, evaluation: Evaluation, memory: state.Memory) -> list[_Part]:
        if self._plan.window is not None:
            return [(key, [self._plan.values(row)], row[EVENT_MS]) for key, row in evaluation.rows]
        by_key = rows_by_key(self._plan, evaluation.rows)
        gone: list[_Part] = [(key, [], None) for key in memory.retracted(by_key)]
        return [*gone, *((key, rows, None) for key, rows in by_key.items())]

    def _send(self, outbox: Outbox, key: str, contributed: Contributed) -> None:
        outbox.produce(
            topic=self._topic,
            value=contributed.encode(),
            key=key.encode(),
            headers=Contributed.headers(),
        )


class SecondStep:
    """From contributions to rows.

    Args:
        plan: the keyed flow's.
        transform: its transform's name, for metrics.
        topic: of the rows.
        fingerprint: of their schema.
    """

    def __init__(self, plan: KeyedPlan, transform: str, topic: str, fingerprint: str) -> None:
        self._owner = Owner(plan)
        self._topic = topic
        self._fingerprint = fingerprint
        self._windowed = plan.window is not None
        self._stale = metrics.STALE.labels(transform)
        self._late = metrics.LATE.labels(transform)

    def process(self, message: Incoming, shelf: Shelf, outbox: Outbox) -> dict[str, int]:
        """See `KeyedFlows.contributed`."""
        control = header(message.headers, "control")
        if control == SETTLED:
            return {}
        if control is not None:
            self._seal(Sealed.decode(message.value or b""), message, shelf, outbox)
            return {}
        if message.key is None or message.value is None:
            raise WireError("a contribution without a key or a value")
        contributed = Contributed.decode(message.value)
        effect = self._owner.apply(message.key.decode(), contributed, shelf)
        self._count(effect)
        row = effect.row
        if row is None:
            return {}
        outbox.produce(
            topic=self._topic,
            value=encode_row(
                key=row.key,
                version=row.version,
                operation="upsert" if row.columns is not None else "delete",
                event_time=row.event_time,
                columns=row.columns or {},
            ),
            # The partition of the contribution: all rows of a target key are in one.
            key=message.key,
            headers=self._headers(contributed),
        )
        return {"upsert" if row.columns is not None else "delete": 1}

    def pass_over(self, message: Incoming, shelf: Shelf) -> None:
        """See `KeyedFlows.pass_over`."""
        try:
            contributed = Contributed.decode(message.value or b"")
        except WireError:
            return
        self._owner.pass_over(contributed, shelf)

    def _seal(self, sealed: Sealed, message: Incoming, shelf: Shelf, outbox: Outbox) -> None:
        own = self._owner.seal(sealed, message.partition, sealed.of, shelf)
        if own is None:
            return
        if self._windowed:
            # Events are over and done with: no scan can say which of their windows vanished.
            own = replace(own, scanned=False)
        outbox.produce(
            topic=self._topic,
            value=own.encode(),
            key=CONTROL_KEY,
            headers=Sealed.headers(),
            partition=message.partition,
        )

    def _headers(self, contributed: Contributed) -> Headers:
        return row_headers(self._fingerprint, contributed.place.offset if contributed.place else 0)

    def _count(self, effect: Effect) -> None:
        if effect.dropped == "late":
            self._late.inc()
        elif effect.dropped is not None:
            self._stale.inc()


class KeyedFlows:
    """Both steps of every keyed flow of a transform.

    Args:
        compiled: the transform.
        names: the namespace's topics.
    """

    def __init__(self, compiled: CompiledTransform, names: TopicNames) -> None:
        self._first: dict[int, FirstStep] = {}
        self.topics: dict[str, tuple[CompiledFlow, SecondStep]] = {}
        for flow in compiled.flows:
            if flow.keyed is None:
                continue
            topic, rows = names.contributions(flow.dataset.id), names.rows(flow.dataset.id)
            self._first[id(flow)] = FirstStep(flow.keyed, topic)
            second = SecondStep(flow.keyed, compiled.name, rows, flow.schema.fingerprint)
            self.topics[topic] = (flow, second)

    def first(self, flow: CompiledFlow) -> FirstStep:
        """What becomes of changes and seals of a keyed flow."""
        return self._first[id(flow)]

    def contributed(self, message: Incoming, outbox: Outbox, stores_of: StoresOf) -> dict[str, int]:
        """All a message of a contributions topic causes: how many rows by operation.

        Raises:
            UnknownVersionError: a newer release wrote it.
            WireError, UnfitValueError: it can't be processed; `pass_over` follows.
        """
        flow, step = self.topics[message.topic]
        return step.process(message, stores_of(flow).shelf, outbox)

    def pass_over(self, message: Incoming, stores_of: StoresOf) -> None:
        """A message was set aside: it was seen all the same."""
        flow, step = self.topics[message.topic]
        step.pass_over(message, stores_of(flow).shelf)
