"""What key_by, group_by, windows and deduplicate mean for a chain: its plan, at the author's line.

The chain's branch becomes the first step: it computes the columns of the target key and the values
that are contributed. Nothing can follow: the rows are made elsewhere, by target key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from bridge.wire.errors import ConfigurationError
from processors.branch import Branch
from processors.columns import Column
from processors.keyed.aggregates import ARRIVALS, FUNCTIONS, Aggregate, Function, result_type
from processors.keyed.plan import WINDOW_END, WINDOW_START, KeyedPlan, Window
from processors.keyed.windows import DEFAULT_GRACE, Tumbling, duration_ms
from processors.language import column_types, nodes, problems, syntax
from processors.language.parser import parse_named
from processors.language.resolve import resolve
from processors.naming import check_free, check_name, column_name

if TYPE_CHECKING:
    from processors.chain import Chain

_ARGUMENT = "\0argument{}"
_TIME = "\0time"


def key_by(chain: Chain, items: Sequence[object]) -> Chain:
    """See `Chain.key_by`."""
    return _by_arrival(chain, items, "key_by", "last")


def deduplicate(chain: Chain, items: Sequence[object]) -> Chain:
    """See `Chain.deduplicate`."""
    return _by_arrival(chain, items, "deduplicate", "first")


def group_by(chain: Chain, items: Sequence[object]) -> Grouped:
    """See `Chain.group_by`."""
    return Grouped(chain, _keys(_only(chain, "group_by"), items, "group_by"), None, None)


@dataclass(frozen=True, slots=True)
class Grouped:
    """Items (or, with a window, events) by the columns of a group; `agg` says what of them."""

    chain: Chain
    by: Mapping[str, nodes.Node]
    windowed: Window | None
    time: nodes.Node | None

    def window(self, window: Tumbling, *, on: object = None, grace: str = DEFAULT_GRACE) -> Grouped:
        """Aggregate change events by their time, not items: INSERT, MODIFY and REMOVE; no READ.

        The rows get the columns window_start and window_end.

        Args:
            window: `tumbling("1 hour")`.
            on: the event's time, a timestamp or seconds since 1970; left out, when the change was
                made, to the second.
            grace: how long after its end a window still takes events. What comes later is dropped
                and counted.

        Raises:
            ConfigurationError: not a window, not a time, not a duration.
        """
        if not isinstance(window, Tumbling):
            raise ConfigurationError(
                f"{type(window).__name__} is not a window",
                where="window(…)",
                remedy='Write .window(tumbling("1 hour"))',
            )
        if self.windowed is not None:
            raise ConfigurationError("there is a window already", where="window(…)")
        for name in (WINDOW_START, WINDOW_END):
            check_free(name, self.by, "window(…)")
        time = None
        if on is not None:
            branch = _only(self.chain, "window")
            named = parse_named(cast("str", on))
            time = resolve(named.expression, branch.scope(), named.text)
            if time.type not in ("timestamp", "date", column_types.STRING) and not (
                column_types.is_number(time.type)
            ):
                raise problems.at(
                    named.text, 0, f"a time expected, this is a {time.type},",
                    "Use a timestamp, or seconds since 1970",
                )  # fmt: skip
        grace_ms = duration_ms(grace, "window(grace=…)")
        asked = Window(window.size_ms, grace_ms, _TIME if time is not None else None)
        return replace(self, windowed=asked, time=time)

    def agg(self, **aggregates: object) -> Chain:
        """The columns of a group: `agg(orders="count()", total="sum(order_total)")`.

        count, sum, avg, min, max, first and last, of a column or an expression. NULLs are passed
        over, as in SQL; `first` and `last` go by arrival.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        if not aggregates:
            raise ConfigurationError(
                "agg names no column", where="agg()", remedy='Write agg(orders="count()")'
            )
        branch = _only(self.chain, "agg")
        arguments: dict[nodes.Node, str] = {}
        made = []
        for name, item in aggregates.items():
            check_name(name, f"agg({name}=…)")
            taken = [*self.by, *((WINDOW_START, WINDOW_END) if self.windowed else ())]
            check_free(name, taken, f"agg({name}=…)")
            made.append(_aggregate(name, item, branch, arguments))
        if self.windowed is None:
            _check_items(self.by, "group_by")
        columns = {**self.by, **{hidden: node for node, hidden in arguments.items()}}
        if self.time is not None:
            columns[_TIME] = self.time
        plan = KeyedPlan(
            by={name: node.type for name, node in self.by.items()},
            arguments=tuple(arguments.values()),
            aggregates=tuple(made),
            null_keys=True,
            window=self.windowed,
        )
        return _planned(self.chain, branch, columns, plan)

    def __getattr__(self, name: str) -> Any:
        known = ["window", "agg"]
        raise AttributeError(f"a group has no method {name!r}. {problems.nearest(name, known)}")


class _Call(NamedTuple):
    """An aggregate as it was written; no argument in `count()`."""

    function: str
    argument: nodes.Node | None


def _by_arrival(chain: Chain, items: Sequence[object], method: str, function: Function) -> Chain:
    branch = _only(chain, method)
    if not branch.selected or not branch.columns:
        raise ConfigurationError(
            f"{method} comes behind select", where=f"{method}(…)", remedy="Name the columns first"
        )
    by = _keys(branch, items, method)
    _check_items(by, method)
    others = {name: node for name, node in branch.columns.items() if name not in by}
    made = [
        Aggregate(name, function, number, node.type, node.type)
        for number, (name, node) in enumerate(others.items())
    ]
    plan = KeyedPlan(
        by={name: node.type for name, node in by.items()},
        arguments=tuple(others),
        aggregates=tuple(made),
        null_keys=False,
    )
    return _planned(chain, branch, {**by, **others}, plan)


def _planned(
    chain: Chain, branch: Branch, columns: Mapping[str, nodes.Node], plan: KeyedPlan
) -> Chain:
    first_step = replace(branch, columns=dict(columns), unfold=None)
    return replace(chain, branches=(first_step,), keyed=plan)


def _only(chain: Chain, method: str) -> Branch:
    if len(chain.branches) != 1:
        raise ConfigurationError(
            f"{method} works on one table, this stream reads {len(chain.branches)}",
            where=f"{method}(…)",
            remedy="Give each table a transform of its own",
        )
    return chain.branches[0]


def _keys(branch: Branch, items: Sequence[object], method: str) -> dict[str, nodes.Node]:
    if not items:
        raise ConfigurationError(
            f"{method} names no column", where=f"{method}()", remedy=f'Write {method}("status")'
        )
    found: dict[str, nodes.Node] = {}
    for item in items:
        if not isinstance(item, str) and not hasattr(item, "tree"):
            raise ConfigurationError(f"{type(item).__name__} is not a column", where=f"{method}(…)")
        named = parse_named(cast("str", item))
        node = resolve(named.expression, branch.scope(), named.text)
        name, where = column_name(named, node), problems.quote(named.text)
        check_free(name, found, where)
        if node.type == column_types.JSON:
            raise ConfigurationError(f"{name!r} is a {node.type}: it can't be a key", where=where)
        found[name] = node
    return found


def _check_items(by: Mapping[str, nodes.Node], method: str) -> None:
    """Rows of a view are keyed by what its items say, not by their latest change."""
    for name, node in by.items():
        if nodes.describes_event(node):
            raise ConfigurationError(
                f"{name!r} describes the latest change, not the item",
                where=f"{method}({name!r})",
                remedy='Group changes in a window: .window(tumbling("1 hour"))',
            )


def _aggregate(
    name: str, item: object, branch: Branch, arguments: dict[nodes.Node, str]
) -> Aggregate:
    call, where = _call(name, item, branch), f"agg({name}={_written(item)!r})"
    if call.function not in FUNCTIONS:
        raise ConfigurationError(
            f"{call.function!r} is no aggregate function",
            where=where,
            remedy=problems.nearest(call.function, FUNCTIONS),
        )
    function = call.function
    if call.argument is None:
        if function != "count":
            raise ConfigurationError(f"{function} of what?", where=where, remedy="Name a column")
        return Aggregate(name, function, None, "", column_types.BIGINT)
    of = call.argument.type
    made = result_type(function, of)
    if made is None:
        literal = isinstance(item, Column) and isinstance(call.argument, nodes.Constant)
        remedy = f"For a column write functions.{function}(col(…))" if literal else ""
        raise ConfigurationError(f"{function} of a {of} makes no sense", where=where, remedy=remedy)
    if function in ARRIVALS and of == column_types.NULL:
        raise ConfigurationError("null alone has no type", where=where, remedy="Cast it")
    hidden = arguments.setdefault(call.argument, _ARGUMENT.format(len(arguments)))
    return Aggregate(name, function, list(arguments.values()).index(hidden), of, made)


def _written(item: object) -> str:
    return item.written if isinstance(item, Column) else str(item)


def _call(name: str, item: object, branch: Branch) -> _Call:
    if isinstance(item, str) or hasattr(item, "tree"):
        named = parse_named(cast("str", item))
        call = named.expression
        if isinstance(call, syntax.Call) and named.alias is None:
            function = call.name.lower()
            if len(call.args) > 1:
                raise problems.at(named.text, call.position, f"{function} takes one argument")
            if not call.args:
                return _Call(function, None)
            return _Call(function, resolve(call.args[0], branch.scope(), named.text))
    raise ConfigurationError(
        "an aggregate expected",
        where=f"agg({name}={item!r})",
        remedy='Write agg(orders="count()", total="sum(order_total)")',
    )
