"""A transform compiled: per output and table one flow, with its functions and its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.wire.errors import ConfigurationError, TailraceError
from bridge.wire.generations import named
from bridge.wire.rowkeys import key_prefix
from bridge.wire.schemas import Column, Schema
from processors.branch import Branch
from processors.chain import Chain
from processors.flow import CompiledFlow, Evaluation
from processors.keyed.plan import KeyedPlan, check_dataset
from processors.keyed.stateful import declared_with, with_memory
from processors.language import emit, nodes, problems, runtime
from processors.records import Reads, expressions, unfolds
from processors.stream import Input, Output, Target
from processors.target_keys import target_key
from processors.transform import Transform
from processors.unfold import Discovery, Unfolder
from processors.unions import united


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
    key = None
    if keyed is None:
        key = target_key(dataset, columns, where, explodes=explodes, prefix=prefix)
    row_key = key.row_key if key is not None else None
    on_event_columns = frozenset(n for n, c in columns.items() if nodes.describes_event(c))
    unfold = None
    if branch.unfold is not None:
        unfold = (branch.unfold, Unfolder(branch.unfold, columns, discovery))
    rows = emit.emit_rows(steps, columns, mismatches, unfold, row_key)
    values = emit.emit_values(steps, columns, mismatches, unfold, row_key)
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
        stateful=key is not None or keyed is not None,
        unfolds=unfold is not None,
        event_columns=keyed.unverified(on_event_columns) if keyed else on_event_columns,
        description=_describe(branch, dataset, keyed),
        source=rows.source + (applies.source if applies else ""),
        mismatches=mismatches,
        keyed=keyed,
        _rows=rows.function,
        _values=values.function,
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
