"""A transform run on events, one after the other, with what became of each: for people.

Built on the test driver: the real compiled function, Quix application and RocksDB, no broker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson

from bridge.wire.deadletter import DeadLetter
from bridge.wire.envelope import Headers, change_origin, header
from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.topics import TopicNames
from processors.events import EventReader
from processors.flow import CompiledFlow
from processors.testing import Sent, TransformDriver, Written
from processors.transform import Transform

_NAMES = TopicNames("test")


@dataclass(frozen=True, slots=True)
class Step:
    """What one event caused.

    `rows` are the rows written, in order, each with its `dataset`; `dropped` says why there are
    none, None where there are some; `dead_letter` has the cause where the event was set aside.
    """

    rows: tuple[Mapping[str, Any], ...]
    dropped: str | None
    dead_letter: DeadLetter | None


class Rehearsal:
    """To be used in a `with`.

    Args:
        transform: what is run.
        key: names of the tables' key attributes; not needed for whole Streams records.
        where: what messages of mistakes in events begin with.

    Raises:
        ConfigurationError: the transform does not compile.
    """

    def __init__(
        self, transform: Transform, *, key: Sequence[str] = (), where: str = "event"
    ) -> None:
        self._driver = TransformDriver(transform)
        self._reader = EventReader(key, where=where)
        self._topics = {
            _NAMES.rows(flow.dataset.id): flow.dataset.id for flow in self._driver.compiled.flows
        }
        self._letters = _NAMES.dead_letters(self._driver.compiled.name)

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the state."""
        self._driver.close()

    def play(self, event: Mapping[str, Any]) -> Step:
        """Process an event as `processors.events` reads it.

        Raises:
            ConfigurationError: it is not an event, or names a table the transform does not read.
        """
        table, key, value = self._reader.read(event)
        return self.pass_on(table, key, value)

    def pass_on(
        self, table: str | None, key: bytes, value: bytes, headers: Headers | None = None
    ) -> Step:
        """Process a message of a changes topic.

        Raises:
            ConfigurationError: the transform does not read this table.
        """
        tables = self._driver.compiled.tables()
        chosen = table or (tables[0] if len(tables) == 1 else None)
        if chosen not in tables:
            raise ConfigurationError(
                f"table {chosen!r}" if chosen else "the event names no table",
                where=f"transform {self._driver.compiled.name}",
                remedy=f'It reads {", ".join(tables)}: {{"table": "{tables[0]}", "insert": {{…}}}}',
            )
        before = len(self._driver.written)
        self._driver.send(Sent(key, value, headers), table=chosen)
        written = self._driver.written[before:]
        letters = [DeadLetter.from_headers(w.headers) for w in written if w.topic == self._letters]
        rows = tuple(row for message in written if (row := self._row(message)) is not None)
        dropped = None if rows or letters else self._why(chosen, value)
        return Step(rows, dropped, letters[0] if letters else None)

    def table(self, dataset: str | None = None) -> dict[str, dict[str, Any]]:
        """The dataset the events have made so far, by `_key`."""
        return self._driver.table(dataset)

    def dead_letters(self) -> list[DeadLetter]:
        """What was set aside so far."""
        return self._driver.dead_letters()

    def datasets(self) -> tuple[str, ...]:
        """The datasets the transform writes."""
        return tuple(dict.fromkeys(self._topics.values()))

    def columns(self, dataset: str) -> dict[str, str]:
        """Types of a dataset's columns, as far as they are known."""
        flows = [f for f in self._driver.compiled.flows if f.dataset.id == dataset]
        return {column.name: column.type for flow in flows for column in flow.schema.columns}

    def _row(self, message: Written) -> Mapping[str, Any] | None:
        dataset = self._topics.get(message.topic)
        if dataset is None or header(message.headers, "control") is not None:
            return None
        return {"dataset": dataset, **message.row}

    def _why(self, table: str, value: bytes) -> str:
        flows = [flow for flow in self._driver.compiled.flows if flow.table == table]
        try:
            record = orjson.loads(value)
            addressee = change_origin(record).addressed_to
            if addressee not in (None, self._driver.compiled.name):
                return f"addressed to {addressee}"
            return "; ".join(dict.fromkeys(_reason(flow, record) for flow in flows))
        except (TailraceError, ValueError):
            return "no row comes of it"


def _reason(flow: CompiledFlow, record: Mapping[str, Any]) -> str:
    evaluation = flow.evaluate(record)
    if not evaluation.applied:
        return "a condition on the event leaves it out"
    if evaluation.rows:
        return "not newer than what is known of the item"
    if record.get("eventName") == "REMOVE" and evaluation.vanished:
        return "nothing of the item was in the dataset"
    if flow.keyed is not None and not flow.keyed.null_keys:
        return "a filter or a NULL in its key leaves it out"
    if flow.dataset.key:
        return "a filter or an empty list leaves it out"
    return "the filter does not let it through"
