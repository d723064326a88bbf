"""The chain a transform's author writes between inputs and outputs.

A transform's function is called once, with a `Chain` per input; each method reads what it is given
at once, so a mistake points at the author's own line, and returns a new chain. Nothing runs here.
What a method does to the changes of one table is in `processors.branch`; a chain has a branch per
table it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from bridge.wire.errors import ConfigurationError
from processors.branch import Branch
from processors.language import problems
from processors.unions import united

if TYPE_CHECKING:
    from processors.keyed.declare import Grouped
    from processors.keyed.plan import KeyedPlan
    from processors.keyed.stateful import StatefulFunction, StatefulPlan


@dataclass(frozen=True, slots=True)
class Chain:
    """What happens to the changes of one or several tables; every method returns a new chain.

    `keyed` is what becomes of the branches' columns where rows are not keyed by their item,
    `stateful` where a function with a memory makes them.
    """

    branches: tuple[Branch, ...]
    keyed: KeyedPlan | None = None
    stateful: StatefulPlan | None = None

    def select(self, *items: object) -> Chain:
        """Name the columns: plain fields, typed paths, expressions, with `as` and without.

        Raises:
            ConfigurationError: with the item and the character pointed at.
        """
        return self._each(lambda branch: branch.select(items))

    def with_columns(self, *items: object) -> Chain:
        """Add columns, or replace those of the same name; a later item may use an earlier one.

        Raises:
            ConfigurationError: with the item and the character pointed at.
        """
        return self._each(lambda branch: branch.with_columns(items))

    def drop(self, *names: str) -> Chain:
        """Leave columns out.

        Raises:
            ConfigurationError: there is no such column.
        """
        return self._each(lambda branch: branch.drop(names))

    def rename(self, names: Mapping[str, str]) -> Chain:
        """Give columns other names: `rename({"old": "new"})`.

        Raises:
            ConfigurationError: there is no such column, or the new name is taken.
        """
        return self._each(lambda branch: branch.rename(names))

    def filter(self, condition: object) -> Chain:
        """Keep the items (or exploded elements) for which the condition is true.

        What stops matching is taken out of the dataset. A part of the condition that speaks of the
        event alone (eventName, OldImage, …) decides whether an event is applied, and retracts
        nothing.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        return self._each(lambda branch: branch.filter(condition))

    def explode(self, item: object) -> Chain:
        """One row per element of a list: `explode("dynamodb.NewImage.lines.L as line")`.

        Behind it `line.M.sku.S` is a path like any other. The dataset needs
        `key=[…]`, columns that tell the rows of one item apart.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        return self._each(lambda branch: branch.explode(item))

    def key_by(self, *columns: object) -> Chain:
        """Rows keyed by these columns: `select(…).key_by("customer_id")`.

        Of several items with one key the one that changed last shows, the next when that leaves.
        An item with a NULL in its key has no row.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        from processors.keyed import declare

        return declare.key_by(self._unkeyed(), columns)

    def deduplicate(self, *columns: object) -> Chain:
        """One row per value of these columns: the item that came first, while it is there.

        An item with a NULL among them has no row.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        from processors.keyed import declare

        return declare.deduplicate(self._unkeyed(), columns)

    def group_by(self, *columns: object) -> Grouped:
        """One row per group: `group_by("status").agg(orders="count()", total="sum(total)")`.

        Over the items there are; with `.window(tumbling("1 hour"))` over their changes.

        Raises:
            ConfigurationError: with the character pointed at.
        """
        from processors.keyed import declare

        return declare.group_by(self._unkeyed(), columns)

    def apply_stateful(self, function: StatefulFunction, schema: Mapping[str, str]) -> Chain:
        """Behind select: `function(row, state)` makes each item's row, or None for no row.

        `state` is the item's own dict: what the function puts there it finds at the item's next
        change. It goes when the item is removed. Each change is handed over once and in order,
        a scan's too; the same changes must give the same rows.

        Raises:
            ConfigurationError: not a function, no schema, no select before it.
        """
        from processors.keyed.stateful import stateful_plan

        chain = self._unkeyed()
        if not all(branch.selected for branch in chain.branches):
            raise ConfigurationError(
                "apply_stateful comes behind select",
                where="apply_stateful(…)",
                remedy="Name the columns first",
            )
        return replace(chain, stateful=stateful_plan(function, schema))

    def _unkeyed(self) -> Chain:
        if self.keyed is not None or self.stateful is not None:
            raise ConfigurationError(
                "nothing can follow key_by, deduplicate, agg or apply_stateful",
                where="the chain",
                remedy="Select, filter and add columns before them",
            )
        return self

    def union(self, *others: Chain) -> Chain:
        """The rows of several inputs in one dataset; columns go together by name.

        Every row keeps the table it comes from, in the column `_table`. Behind it the methods work
        on all of them.

        Raises:
            ConfigurationError: the columns are not the same, or their types do not go together.
        """
        branches = list(self.branches)
        for other in others:
            if not isinstance(other, Chain):
                raise ConfigurationError(
                    f"{type(other).__name__} is not a stream",
                    where="union(…)",
                    remedy="Give it the other inputs: orders.union(returns)",
                )
            branches.extend(other.branches)
        return Chain(united(branches))

    def map(
        self,
        function: Callable[[dict[str, Any]], Mapping[str, Any] | None],
        *,
        schema: Mapping[str, str],
    ) -> Chain:
        """Change each row by a Python function.

        Args:
            function: takes the columns as a dict of plain Python values (`Decimal`, `bytes`, JSON
                as lists and dicts, None for NULL) and returns the new columns, or None for no row:
                an item that had one before loses it. It must return the same for the same row, on
                every machine and every day, or `verify` and replays can't hold.
            schema: the new columns and their types, `{"total": "decimal(18,2)"}`. What the function
                returns must be of these types; a missing column is NULL.

        An exception, or a value that does not fit, makes the change a dead letter.

        Raises:
            ConfigurationError: the function or the schema is none.
        """
        return self._each(lambda branch: branch.map(function, schema))

    def _each(self, step: Callable[[Branch], Branch]) -> Chain:
        return Chain(tuple(map(step, self._unkeyed().branches)))

    def __getattr__(self, name: str) -> NoReturn:
        known = [method for method in dir(type(self)) if not method.startswith("_")]
        methods = [method for method in known if callable(getattr(type(self), method, None))]
        raise AttributeError(f"a stream has no method {name!r}. {problems.nearest(name, methods)}")
