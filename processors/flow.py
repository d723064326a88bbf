"""What one change means for one dataset, by the functions compiled for it.

A current dataset is a view of the source's items. So REMOVE always deletes; an item that a filter
no longer lets through is retracted; a condition on the event alone only decides whether the event
is applied. Evaluation is pure: no state, no Kafka, no clock. `processors.pipeline` adds those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.wire.envelope import EVENT_NAMES, change_key
from bridge.wire.errors import ConfigurationError, TailraceError, WireError
from bridge.wire.rowkeys import in_table
from bridge.wire.schemas import Schema
from processors.keyed.plan import KeyedPlan
from processors.keyed.stateful import StatefulStep
from processors.language import emit, runtime
from processors.records import Reads
from processors.stream import Target
from processors.target_keys import Keyed, TargetKey
from processors.unfold import Discovery


@dataclass(slots=True)  # made for every change; a frozen one takes three times as long to make
class Evaluation:
    """What one change means for one dataset.

    `rows` are what the item contributes now, by target key; `values` the same as it is sent, where
    that was asked for. `vanished`: the item contributes nothing and may have before. `applied` is
    False where a condition on the event keeps the change out. `item_key` is the `_key` of the
    item's own row.
    """

    rows: tuple[Keyed, ...] = ()
    vanished: bool = False
    applied: bool = True
    item_key: str = field(default="", compare=False)
    values: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFlow:
    """From one table to one dataset.

    `discovery` holds the schema, which grows where the transform unfolds items; a schema must be
    registered before the first row that uses it. `stateful` flows need to know what an item
    contributed before: it can be several rows. `event_columns` describe the latest change, not the
    item; `verify` leaves them out. `description` is what a later start compares to notice a changed
    transform.
    """

    transform: str
    input_name: str
    table: str
    dataset: Target
    discovery: Discovery
    stateful: bool
    unfolds: bool
    event_columns: frozenset[str]
    description: Mapping[str, Any]
    source: str
    mismatches: runtime.Mismatches
    keyed: KeyedPlan | None
    reads: Reads
    memory: StatefulStep | None = None
    _rows: emit.RowsFunction
    _values: emit.ValuesFunction
    _matches: emit.RowsFunction
    _applies: emit.AppliesFunction | None
    _key: TargetKey | None
    _prefix: str
    _filters_items: bool
    needs_old_image: bool

    @property
    def schema(self) -> Schema:
        """Of its rows, as far as it is known now."""
        return self.discovery.schema

    @property
    def unchecked(self) -> str | None:
        """Why nobody can say its rows from the items there are now; None: they can be said."""
        if self.keyed is not None and self.keyed.window is not None:
            return "its windows count changes, which the items there are now do not tell"
        if self.memory is not None:
            return "apply_stateful makes rows of all changes, not of the items there are now"
        return None

    @property
    def sends_rows(self) -> bool:
        """Whether the rows of a change are what is written, not what is made of them."""
        return self.keyed is None and self.memory is None

    def evaluate(self, change: Mapping[str, Any], known_key: str | None = None) -> Evaluation:
        """The meaning of a decoded change; `known_key` is its `change_key` if that is known.

        Raises:
            WireError: no usable Keys, an unknown eventName, an image that must be there is not.
            UnfitValueError: a value its column can't hold.
            ConfigurationError: the dataset's key does not hold the item's, or the transform needs
                old images and the stream has none.
        """
        item_key = self.item_key(change_key(change) if known_key is None else known_key)
        asked = self._asked(change, item_key)
        if isinstance(asked, Evaluation):
            return asked
        new, old, keys = asked
        found = self._rows(change, new, old, keys)
        if self._key is not None:
            rows = self._key.apart(found, self.dataset.id)
            return Evaluation(rows, not found, True, item_key)
        if self.keyed is not None:
            rows = self.keyed.timed(self.keyed.keyed(found), change)
            return Evaluation(rows, not found, True, item_key)
        if found:
            return Evaluation(((item_key, found[0]),), False, True, item_key)
        vanished = self._matched_before(change, old, keys)
        return Evaluation(vanished=vanished, item_key=item_key)

    def sent(
        self, change: Mapping[str, Any], known_key: str, version: str, event_time: str | None
    ) -> Evaluation:
        """`evaluate`, the rows as they are sent; only where it `sends_rows`."""
        item_key = f"{self._prefix}{known_key}]" if self._prefix else known_key
        asked = self._asked(change, item_key)
        if isinstance(asked, Evaluation):
            return asked
        new, old, keys = asked
        found = self._values(change, new, old, keys, item_key, version, event_time)
        if self._key is not None:
            values = self._key.apart(found, self.dataset.id)
            return Evaluation((), not found, True, item_key, values)
        if found:
            return Evaluation((), False, True, item_key, (found[0],))
        vanished = self._matched_before(change, old, keys)
        return Evaluation(vanished=vanished, item_key=item_key)

    def _asked(
        self, change: Mapping[str, Any], item_key: str
    ) -> Evaluation | tuple[Any, Any, Mapping[str, Any]]:
        """What rows are made of: the new image, the old one, the keys. Or that there are none."""
        record, name = change["dynamodb"], change.get("eventName")
        if name not in EVENT_NAMES:
            raise WireError("a change with an unknown eventName")
        if name == "REMOVE" and not self._windowed:
            return Evaluation((), True, True, item_key)
        if name == "READ" and self._windowed:  # no event
            return Evaluation(applied=False, item_key=item_key)
        keys, old = record["Keys"], record.get("OldImage")
        new = record.get("NewImage") if name != "REMOVE" else keys
        if new is None:
            raise WireError(f"{name} without NewImage")
        if self.needs_old_image:
            self._check_stream(record)
        if self._applies is not None and not self._is_applied(change, old):
            return Evaluation(applied=False, item_key=item_key)
        if self._key is not None:
            self._key.check(keys, self.dataset.id)
        return new, old, keys

    @property
    def _windowed(self) -> bool:
        return self.keyed is not None and self.keyed.window is not None

    def item_key(self, key: str) -> str:
        """The `_key` of an item's own row, from the item's canonical key."""
        return in_table(self._prefix, key)

    def source_key(self, item_key: str) -> str | None:
        """The item's canonical key from its `_key`, None if it is another table's."""
        if not item_key.startswith(self._prefix):
            return None
        return item_key[len(self._prefix) : -1] if self._prefix else item_key

    def expected(self, item: Mapping[str, Any], key_names: Sequence[str]) -> list[Keyed]:
        """The rows of an item as a scan returns it (typed JSON), by target key.

        What `verify` compares with the table; `event_columns` among them mean nothing.

        Raises:
            As `evaluate`.
        """
        change = {
            "eventName": "READ",
            "dynamodb": {"Keys": {name: item[name] for name in key_names}, "NewImage": item},
        }
        return list(self.evaluate(change).rows)

    def _check_stream(self, record: Mapping[str, Any]) -> None:
        if record.get("StreamViewType") == "NEW_IMAGE":
            raise ConfigurationError(
                "the transform uses OldImage, the table's stream has none",
                where=f"transform {self.transform}, table {self.table}",
                remedy="Set the stream's view type to NEW_AND_OLD_IMAGES",
            )

    def _is_applied(self, change: Mapping[str, Any], old: Any) -> bool:
        assert self._applies is not None
        if self._applies(change, old):
            return True
        # An item met by the scan is met for the first time, as an inserted one is.
        first_sight = change["eventName"] == "READ"
        return first_sight and self._applies({**change, "eventName": "INSERT"}, old)

    def _matched_before(self, change: Mapping[str, Any], old: Any, keys: Any) -> bool:
        """Whether an item that contributes nothing now may have a row.

        An inserted item had none: what was there before was removed, and REMOVE retracts. A scanned
        one can only have rows of older epochs, which the seal of this one takes out.
        """
        if change["eventName"] != "MODIFY" or not self._filters_items:
            return False
        if old is None:
            return True
        try:
            return bool(self._matches(change, old, old, keys))
        except (TailraceError, TypeError, AttributeError, KeyError, ValueError):
            return True
