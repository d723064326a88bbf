"""A transform compiled: per output one Python function, its schema, and what a change means.

A current dataset is a view of the source's items. So REMOVE always deletes; an item that a filter
no longer lets through is retracted; a condition on the event alone only decides whether the event
is applied. Evaluation is pure: no state, no Kafka, no clock. `processors.pipeline` adds those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.wire.envelope import EVENT_NAMES, change_key
from bridge.wire.errors import ConfigurationError, TailraceError, WireError
from bridge.wire.generations import named
from bridge.wire.rowkeys import key_prefix
from bridge.wire.schemas import Column, Schema
from processors.branch import Branch
from processors.chain import Chain
from processors.keyed.plan import KeyedPlan, check_dataset
from processors.keyed.stateful import StatefulStep, declared_with, with_memory
from processors.language import emit, nodes, problems, runtime
from processors.records import Reads, expressions, unfolds
from processors.stream import Input, Output, Target
from processors.target_keys import Keyed, Row, TargetKey, in_table, target_key
from processors.transform import Transform
from processors.unfold import Discovery, Unfolder
from processors.unions import united


@dataclass(slots=True)  # made for every change; a frozen one takes three times as long to make
class Evaluation:
    """What one change means for one dataset.

    `rows` are what the item contributes now, by target key. `vanished`: the item contributes
    nothing and may have before. `applied` is False where a condition on the event keeps the change
    out. `item_key` is the `_key` of the item's own row.
    """

    rows: tuple[Keyed, ...] = ()
    vanished: bool = False
    applied: bool = True
    item_key: str = field(default="", compare=False)


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
    _matches: emit.RowsFunction
    _applies: emit.AppliesFunction | None
    _key: TargetKey | KeyedPlan | None
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

    def evaluate(self, change: Mapping[str, Any], known_key: str | None = None) -> Evaluation:
        """The meaning of a decoded change; `known_key` is its `change_key` if that is known.

        Raises:
            WireError: no usable Keys, an unknown eventName, an image that must be there is not.
            UnfitValueError: a value its column can't hold.
            ConfigurationError: the dataset's key does not hold the item's, or the transform needs
                old images and the stream has none.
        """
        record, name = change["dynamodb"], change.get("eventName")
        item_key = change_key(change) if known_key is None else known_key
        if name not in EVENT_NAMES:
            raise WireError("a change with an unknown eventName")
        if self._prefix:
            item_key = in_table(self._prefix, item_key)
        if name == "REMOVE" and not self._windowed:
            return Evaluation((), True, True, item_key)
        if name == "READ" and self._windowed:  # no event
            return Evaluation(applied=False, item_key=item_key)
        new = record.get("NewImage") if name != "REMOVE" else record["Keys"]
        if new is None:
            raise WireError(f"{name} without NewImage")
        old = record.get("OldImage")
        if self.needs_old_image:
            self._check_stream(record)
        if self._applies is not None and not self._is_applied(change, old):
            return Evaluation(applied=False, item_key=item_key)
        found = self._rows(change, new, old, record["Keys"])
        if self._key is not None:
            return self._by_key(found, change, item_key)
        if found:
            return Evaluation(((item_key, found[0]),), False, True, item_key)
        vanished = self._matched_before(change, name, old, record["Keys"])
        return Evaluation(vanished=vanished, item_key=item_key)

    def _by_key(self, found: list[Row], change: Mapping[str, Any], item_key: str) -> Evaluation:
        assert self._key is not None
        rows = self._key.keyed(found, change["dynamodb"]["Keys"], self.dataset.id)
        if self.keyed is not None:
            rows = self.keyed.timed(rows, change)
        return Evaluation(rows, not found, True, item_key)

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

    def _matched_before(self, change: Mapping[str, Any], name: str, old: Any, keys: Any) -> bool:
        """Whether an item that contributes nothing now may have a row.

        An inserted item had none: what was there before was removed, and REMOVE retracts. A scanned
        one can only have rows of older epochs, which the seal of this one takes out.
        """
        if name != "MODIFY" or not self._filters_items:
            return False
        if old is None:
            return True
        try:
            return bool(self._matches(change, old, old, keys))
        except (TailraceError, TypeError, AttributeError, KeyError, ValueError):
            return True


@dataclass(frozen=True, slots=True)
class CompiledTransform:
    """All flows of a transform; `generation` as in `bridge.wire.generations`."""

    name: str
    flows: tuple[CompiledFlow, ...]
    generation: int = 1

    @property
    def instance(self) -> str:
        """The name of this generation: of its group, its state and the scans it asks for."""
        return named(self.name, self.generation)

    @property
    def flow(self) -> CompiledFlow:
        """The flow of a transform that has one."""
        if len(self.flows) != 1:
            what = f"{len(self.flows)} outputs, this works for one"
            raise ConfigurationError(what, where=f"transform {self.name}")
        return self.flows[0]

    @property
    def schema(self) -> Schema:
        """Of the one flow."""
        return self.flow.schema

    @property
    def event_columns(self) -> frozenset[str]:
        """Of the one flow."""
        return self.flow.event_columns

    def apply(self, change: Mapping[str, Any]) -> Evaluation:
        """`evaluate` of the one flow."""
        return self.flow.evaluate(change)

    def tables(self) -> tuple[str, ...]:
        """The tables it reads."""
        return tuple(dict.fromkeys(flow.table for flow in self.flows))


def compile_transform(transform: Transform) -> CompiledTransform:
    """Call the function once and compile what it returns.

    Raises:
        ConfigurationError: the function fails or returns something else than its outputs' streams,
            a stream has no select, a dataset's key does not fit.
    """
    where = f"transform {transform.name}"
    chains = {name: _begin(name, entry) for name, entry in transform.inputs.items()}
    try:
        returned = transform.function(**chains)
    except TailraceError as error:
        raise ConfigurationError(
            error.what, where=f"{where}: {error.where}", remedy=error.remedy
        ) from None
    except Exception as error:
        raise ConfigurationError(
            f"its function raised {type(error).__name__}: {error}", where=where
        ) from error
    outputs = _outputs(transform, returned, where).items()
    flows = [flow for name, chain in outputs for flow in _compile_output(transform, name, chain)]
    return CompiledTransform(transform.name, tuple(flows))


def _begin(name: str, entry: Input) -> Chain:
    """The stream a function is given: of several tables, it is their union already."""
    branches = [Branch(name, table) for table in entry.stream.tables]
    return Chain(united(branches) if entry.stream.joins_tables else tuple(branches))


def _outputs(transform: Transform, returned: object, where: str) -> Mapping[str, Chain]:
    names = list(transform.outputs)
    if isinstance(returned, Chain) and len(names) == 1:
        return {names[0]: returned}
    if isinstance(returned, Mapping) and all(isinstance(c, Chain) for c in returned.values()):
        for name in returned:
            if name not in names:
                raise ConfigurationError(
                    f"its function returns {name!r}, output_mapping has no such name",
                    where=where,
                    remedy=problems.nearest(str(name), names),
                )
        missing = [name for name in names if name not in returned]
        if not missing:
            return returned
        raise ConfigurationError(f"its function returns nothing for {missing[0]!r}", where=where)
    wanted = "a dict of streams by output name" if len(names) > 1 else "the stream"
    raise ConfigurationError(
        f"its function returns {'nothing' if returned is None else type(returned).__name__}",
        where=where,
        remedy=f"Return {wanted}: return {next(iter(transform.inputs))}.select(…)",
    )


def _compile_output(transform: Transform, output: str, chain: Chain) -> list[CompiledFlow]:
    """A flow per table; they share the dataset's schema and what is found of it."""
    entry, where = transform.outputs[output], f"transform {transform.name}"
    first, *others = chain.branches
    for branch in others:
        if branch.table in [known.table for known in chain.branches if known is not branch]:
            raise ConfigurationError(
                f"both sides of a union read table {branch.table!r}: "
                "each would take out the other's rows",
                where=where,
                remedy="Read the table once, with one filter: … or …",
            )
    columns = tuple(Column(name, node.type) for name, node in first.columns.items())
    declared = Schema(entry.dataset.id, transform.name, columns, tuple(entry.dataset.key))
    if chain.keyed is not None:
        check_dataset(chain.keyed, entry.dataset, where)
        declared = replace(declared, columns=chain.keyed.columns, key=chain.keyed.key)
    if chain.stateful is not None:
        declared = declared_with(chain.stateful, declared, where)
    discovery = Discovery(declared)
    flows = [
        _compile_flow(
            transform,
            entry,
            branch,
            discovery=discovery,
            keyed=chain.keyed,
            prefix=key_prefix(branch.table) if branch.keeps_table else "",
        )
        for branch in chain.branches
    ]
    return [with_memory(flow, chain.stateful, columns) for flow in flows]


def _compile_flow(
    transform: Transform,
    output: Output,
    branch: Branch,
    *,
    discovery: Discovery,
    keyed: KeyedPlan | None,
    prefix: str,
) -> CompiledFlow:
    dataset, columns = output.dataset, branch.columns
    strict = output.on_type_mismatch == "dead_letter"
    mismatches = runtime.Mismatches(strict=strict)
    steps, on_event = _split(branch.steps)
    explodes = any(isinstance(step, nodes.Element) for step in steps)
    where = f"transform {transform.name}"
    key = keyed or target_key(dataset, columns, where, explodes=explodes, prefix=prefix)
    on_event_columns = frozenset(n for n, c in columns.items() if nodes.describes_event(c))
    unfold = None
    if branch.unfold is not None:
        unfold = (branch.unfold, Unfolder(branch.unfold, columns, discovery))
    rows = emit.emit_rows(steps, columns, mismatches, unfold)
    applies = emit.emit_applies(on_event, mismatches) if on_event else None
    used = [*columns.values(), *on_event, *expressions(steps)]
    filters_items = any(not isinstance(step, nodes.Element) for step in steps)
    needs_old_image = any(map(nodes.uses_old_image, used))
    return CompiledFlow(
        transform=transform.name,
        input_name=branch.input_name,
        table=branch.table,
        dataset=dataset,
        discovery=discovery,
        stateful=key is not None,
        unfolds=unfold is not None,
        event_columns=keyed.unverified(on_event_columns) if keyed else on_event_columns,
        description=_describe(branch, dataset, keyed),
        source=rows.source + (applies.source if applies else ""),
        mismatches=mismatches,
        keyed=keyed,
        _rows=rows.function,
        _matches=emit.emit_rows(steps, {}, mismatches).function,
        _applies=applies.function if applies else None,
        _key=key,
        _prefix=prefix,
        _filters_items=filters_items,
        needs_old_image=needs_old_image,
        reads=Reads(
            used,
            unfolds(branch.steps, branch.unfold),
            old_image=needs_old_image or filters_items,
            view_type=needs_old_image,
        ),
    )


def _split(steps: Sequence[nodes.Step]) -> tuple[list[nodes.Step], list[nodes.Node]]:
    """The conditions on the event alone apart from the rest, each joined part by itself."""
    rest: list[nodes.Step] = []
    on_event: list[nodes.Node] = []
    for step in steps:
        if isinstance(step, nodes.Element | nodes.Map):
            rest.append(step)
            continue
        for part in nodes.conjuncts(step):
            event_only = nodes.describes_event(part) and not nodes.describes_item(part)
            (on_event if event_only else rest).append(part)
    return rest, on_event


def _describe(branch: Branch, dataset: Target, keyed: KeyedPlan | None) -> Mapping[str, Any]:
    steps, columns = branch.described()
    return {
        "table": branch.table,
        "dataset": dataset.id,
        "key": list(dataset.key),
        "steps": [*steps, *(keyed.described() if keyed is not None else ())],
        "columns": columns,
    }
