"""The chain a transform's author writes between inputs and outputs.

A transform's function is called once, with a `Chain` per input; each method reads what it is given
at once, so a mistake points at the author's own line, and returns a new chain. Nothing runs here.
What a method does to the changes of one table is in `processors.branch`; a chain has a branch per
table it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from bridge.wire.errors import ConfigurationError
from processors.branch import Branch
from processors.language import problems


@dataclass(frozen=True, slots=True)
class Chain:
    """What happens to the changes of one or several tables; every method returns a new chain."""

    branches: tuple[Branch, ...]

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

    def _each(self, step: Callable[[Branch], Branch]) -> Chain:
        return Chain(tuple(map(step, self.branches)))

    def __getattr__(self, name: str) -> NoReturn:
        known = [method for method in dir(type(self)) if not method.startswith("_")]
        methods = [method for method in known if callable(getattr(type(self), method, None))]
        raise AttributeError(f"a stream has no method {name!r}. {problems.nearest(name, methods)}")


def only_branch(chain: Chain, where: str) -> Branch:
    """The branch of a chain that has one.

    Raises:
        ConfigurationError: it reads several tables.
    """
    if len(chain.branches) != 1:
        raise ConfigurationError(f"{len(chain.branches)} tables, this works for one", where=where)
    return chain.branches[0]
