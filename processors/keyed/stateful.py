"""apply_stateful: a function of the author's with a memory per item.

The memory is a small dict, kept beside what the item contributed and gone with the item. It is
written last: a change whose function fails becomes a dead letter and leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from bridge.wire.errors import ConfigurationError
from bridge.wire.schemas import Column, Schema
from processors import state
from processors.keyed.steps import Change
from processors.language.runtime import UnfitValueError
from processors.mapping import Mapper, check_schema, name_of, spelling
from processors.naming import check_name

if TYPE_CHECKING:
    from processors.flow import CompiledFlow, Evaluation

StatefulFunction = Callable[[dict[str, Any], dict[str, Any]], Mapping[str, Any] | None]
_STATE = b"state"


@dataclass(frozen=True, slots=True)
class StatefulPlan:
    """The last step of a chain: `function(row, state)`, and the columns it returns."""

    function: StatefulFunction
    schema: Mapping[str, str]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the rows."""
        return tuple(Column(name, kind) for name, kind in self.schema.items())

    def described(self) -> list[str]:
        """What is compared between two starts."""
        kinds = ", ".join(f"{name} {kind}" for name, kind in self.schema.items())
        return [f"apply_stateful {spelling(self.function)}: {kinds}"]


def stateful_plan(function: StatefulFunction, schema: Mapping[str, str]) -> StatefulPlan:
    """Raises: ConfigurationError: not a function, not a schema, a name no column can have."""
    checked = check_schema(function, schema)
    for name in checked:
        check_name(name, f"apply_stateful({name_of(function)})")
    return StatefulPlan(function, checked)


class StatefulStep:
    """Calls the function, with the memory of the change's item.

    Args:
        plan: the flow's.
        columns: names and types of what the function takes.
    """

    def __init__(self, plan: StatefulPlan, columns: Sequence[tuple[str, str]]) -> None:
        self._function = plan.function
        self._memory: dict[str, Any] = {}
        self._mapper = Mapper(self._call, columns, None, plan.schema)

    def apply(
        self, evaluation: Evaluation, change: Change, stores: state.Stores
    ) -> tuple[bool, dict[str, Any] | None]:
        """Whether the change is news of its item, and the item's row now; None: it has none.

        Raises:
            MapError: the function raised; the memory is as it was.
            UnfitValueError: it returned or keeps what it must not; as above.
        """
        item, version = evaluation.item_key.encode(), change.version
        before = state.recall(stores, item)
        if before.is_stale(version):
            return False, None
        memory = stores.shelf.of(item)
        if change.record["eventName"] == "REMOVE":
            memory.delete(_STATE)
            state.forget(stores, item, before, version)
            return True, None
        row = None
        if evaluation.rows:
            known = memory.get(_STATE)
            self._memory = orjson.loads(known) if known is not None else {}
            row = self._mapper(evaluation.rows[0][1], None)
            kept = self._encoded()
            if kept != known:
                memory.set(_STATE, kept)
        keys = (evaluation.item_key,) if row else ()
        state.remember(stores, item, before, version, keys)
        return True, row

    @staticmethod
    def forget_vanished(stores: state.Stores, epoch: int) -> None:
        """A scan did not meet these items: their memories go too."""
        for item, _ in state.settle(stores, epoch):
            stores.shelf.of(item).delete(_STATE)

    def _call(self, row: dict[str, Any]) -> Mapping[str, Any] | None:
        return self._function(row, self._memory)

    def _encoded(self) -> bytes:
        try:
            return orjson.dumps(self._memory)
        except TypeError:
            raise UnfitValueError(
                "the state holds what JSON can't",
                where=f"apply_stateful({name_of(self._function)})",
                remedy="Keep texts, ints, floats, booleans, None, lists and dicts; Decimals as str",
            ) from None


def declared_with(plan: StatefulPlan, declared: Schema, where: str) -> Schema:
    """The schema of its rows. Raises: ConfigurationError: the dataset is keyed by columns."""
    if declared.key:
        raise ConfigurationError(
            "apply_stateful makes one row per item",
            where=f"{where}, Dataset(id={declared.dataset!r})",
            remedy="Leave key= out of the dataset",
        )
    return replace(declared, columns=plan.columns)


def with_memory(
    flow: CompiledFlow, plan: StatefulPlan | None, columns: Sequence[Column]
) -> CompiledFlow:
    """The flow, its rows made by the plan's function if there is one."""
    if plan is None:
        return flow
    described = {**flow.description, "steps": [*flow.description["steps"], *plan.described()]}
    step = StatefulStep(plan, [(column.name, column.type) for column in columns])
    return replace(flow, stateful=True, memory=step, description=described)
