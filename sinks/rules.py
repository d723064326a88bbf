"""What changes do to the rows of a table, for each mode: one declaration for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sinks.keys import quoted
from sinks.layout import DELETED, DELETED_AT, OPERATION

DELETE_VERSION = "_delete_version"
"""Where deleted rows stay: the newest version at which a change's key was deleted, "" for none."""
_NEWER = "s._version > t._version"


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the changes. `committed` is False where nothing in the table changed: the app
    transactions are then still to be written."""

    committed: bool
    upserted: int = 0
    deleted: int = 0
    appended: bool = False
    files_rewritten: int = 0


@dataclass(frozen=True, slots=True)
class MergeRule:
    """What changes (`s`) do to the rows of a table (`t`), as SQL conditions.

    `on` are the columns by which a change finds its row; `delete`, `update` and `flag` say when one
    that finds it takes it out, takes its place, or only flags it as deleted; `insert` when one that
    finds none is put in. "" is never. `prune`: partition columns equal in both.
    """

    on: tuple[str, ...] = ("_key",)
    delete: str = f"s.{OPERATION} = 'delete' AND {_NEWER}"
    update: str = f"s.{OPERATION} = 'upsert' AND {_NEWER}"
    insert: str = f"s.{OPERATION} = 'upsert'"
    flag: str = ""
    prune: tuple[str, ...] = ()

    def pruned_by(self, columns: Sequence[str]) -> MergeRule:
        """The rule for a table with these stable partition columns."""
        return replace(self, prune=tuple(columns))

    @property
    def predicate(self) -> str:
        """How a change finds its row."""
        equal = [f"t.{quoted(name)} = s.{quoted(name)}" for name in self.on]
        for column in map(quoted, self.prune):
            # What has no time has no day; NULL equals nothing.
            either = f"t.{column} = s.{column} OR (t.{column} IS NULL AND s.{column} IS NULL)"
            equal.append(f"({either})")
        return " AND ".join(equal)


CURRENT = MergeRule()
"""Rows by key; deletes take them out."""
SOFT = MergeRule(
    delete="",
    # The newest delete says when, and clocks need not follow versions.
    flag=f"s.{DELETE_VERSION} > t._version AND (t.{DELETED} IS NOT TRUE "
    f"OR t.{DELETED_AT} IS NULL OR s.{DELETED_AT} <> t.{DELETED_AT})",
)
"""Rows by key; deletes flag them. A row's version stays that of its columns."""
LOG = MergeRule(
    on=("_key", "_version"),
    delete="",
    update=f"t.{OPERATION} = 'delete' AND s.{OPERATION} <> 'delete'",
    insert="true",
)
"""Entries by key and version; of one version an upsert beats a delete."""
EXACT = MergeRule(
    on=("_key", "_version"),
    delete=f"s.{OPERATION} = 'delete'",
    update=f"s.{OPERATION} = 'upsert'",
)
"""Rows by key and version, as somebody worked them out on this very snapshot."""
