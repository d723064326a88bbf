"""The conditions of merge rules on columns in memory.

A rule says them in SQL, which is what delta-rs's MERGE takes; here each of these texts has the same
meaning for pairs of a change and the row it found. A rule with another text has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sinks.layout import DELETED, DELETED_AT, OPERATION
from sinks.looking import Mask, mask_of
from sinks.rules import CURRENT, DELETE_VERSION, EXACT, LOG, SOFT, MergeRule


class Pairs:
    """Changes and the rows they found, place by place.

    Args:
        changes: what is to be done.
        rows: of the table, as many.
    """

    def __init__(self, changes: pa.Table, rows: pa.Table) -> None:
        self.changes = changes
        self.rows = rows

    def change_is(self, operation: str) -> pa.ChunkedArray:
        """Whether the change is such an operation."""
        return pc.equal(self.changes[OPERATION], operation)

    @property
    def newer(self) -> pa.ChunkedArray:
        """Whether the change is newer than the row."""
        return pc.greater(self.changes["_version"], self.rows["_version"])


def _late_deletes(pairs: Pairs) -> pa.ChunkedArray:
    changes, rows = pairs.changes, pairs.rows
    shown = pc.invert(pc.fill_null(rows[DELETED], fill_value=False))
    other = pc.or_(
        pc.is_null(rows[DELETED_AT]),
        pc.fill_null(pc.not_equal(changes[DELETED_AT], rows[DELETED_AT]), fill_value=False),
    )
    return pc.and_(pc.greater(changes[DELETE_VERSION], rows["_version"]), pc.or_(shown, other))


_CONDITIONS: Mapping[str, Callable[[Pairs], pa.ChunkedArray]] = {
    CURRENT.delete: lambda pairs: pc.and_(pairs.change_is("delete"), pairs.newer),
    CURRENT.update: lambda pairs: pc.and_(pairs.change_is("upsert"), pairs.newer),
    SOFT.flag: _late_deletes,
    LOG.update: lambda pairs: pc.and_(
        pc.equal(pairs.rows[OPERATION], "delete"), pc.invert(pairs.change_is("delete"))
    ),
    EXACT.delete: lambda pairs: pairs.change_is("delete"),
    EXACT.update: lambda pairs: pairs.change_is("upsert"),
}
_INSERTS: Mapping[str, Callable[[pa.Table], pa.ChunkedArray]] = {
    CURRENT.insert: lambda changes: pc.equal(changes[OPERATION], "upsert"),
    LOG.insert: lambda changes: pc.is_valid(changes["_key"]),
}
_ASKED_BY_FLAG = (DELETED, DELETED_AT)


def known(rule: MergeRule) -> bool:
    """Whether all that a rule says has a meaning here."""
    said = {rule.delete, rule.update, rule.flag} - {""}
    return said <= _CONDITIONS.keys() and rule.insert in _INSERTS


def asked_columns(rule: MergeRule) -> list[str]:
    """The table's columns that a rule looks at."""
    names = [*rule.on, "_version"]
    if rule.flag:
        names += _ASKED_BY_FLAG
    if rule.update == LOG.update:
        names.append(OPERATION)
    return list(dict.fromkeys(names))


def holds(condition: str, pairs: Pairs) -> Mask:
    """For each pair whether the condition does; what is unknown does not."""
    if not condition:
        return np.zeros(len(pairs.rows), np.bool_)
    return mask_of(_CONDITIONS[condition](pairs))


def goes_in(rule: MergeRule, changes: pa.Table) -> Mask:
    """For each change whether it is put in where it finds no row."""
    return mask_of(_INSERTS[rule.insert](changes))
