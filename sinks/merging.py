"""Merges and deletes by copying files; see `copying`. What they do is what the rule says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from bridge.wire.rowkeys import key_prefix
from bridge.wire.version import epoch_floor
from sinks.conditions import Pairs, asked_columns, goes_in, holds
from sinks.copying import Copying
from sinks.key_ranges import any_between, highs_of, lows_of, partitions_of
from sinks.layout import DELETED_AT, OPERATION
from sinks.looking import NOWHERE, Changed, Decide, Places, mask_of, nothing
from sinks.rules import DELETE_VERSION, Merged, MergeRule
from sinks.table import KEYLESS_METADATA, MERGED_METADATA, Snapshot, lake_errors

# A part with so many times fewer rows than there are changes is looked up row by row.
_FEW = 4


def merge_by_copying(
    snapshot: Snapshot, changes: pa.Table, transactions: Mapping[str, int], rule: MergeRule
) -> Merged:
    """Apply changes, in one commit if anything changes at all.

    Raises:
        TableError: it failed, or may have; a fresh snapshot tells.
    """
    with lake_errors(snapshot.uri):
        files = snapshot.files()
        looked_at = _may_hold(files, changes, rule)
        decide = _by_rule(changes, rule)
        copying = Copying(snapshot, files, looked_at, asked_columns(rule), decide)
        new = goes_in(rule, changes)
        new[copying.found] = False
        inserted = np.flatnonzero(new)
        said = _said(len(changes), len(inserted), copying)
        committed = copying.commit(transactions, changes, inserted, said)
    return Merged(
        committed=committed,
        upserted=copying.replaced + len(inserted),
        deleted=copying.deleted,
        files_rewritten=copying.files,
    )


def take_out_by_copying(
    snapshot: Snapshot,
    table: str,
    tables: Sequence[str],
    epoch: int,
    transactions: Mapping[str, int],
) -> bool:
    """Take out a source table's rows of older epochs; whether there were any, and a commit.

    Raises:
        TableError: it failed, or may have; a fresh snapshot tells.
    """
    floor = epoch_floor(epoch)

    def decide(part: pa.Table) -> Changed:
        older = pc.less(part["_version"], floor)
        if len(tables) > 1:
            older = pc.and_(older, pc.starts_with(part["_key"], key_prefix(table)))
        goes = mask_of(older)
        return Changed(~goes, NOWHERE, NOWHERE, int(goes.sum()))

    with lake_errors(snapshot.uri):
        files = snapshot.files()
        looked_at = [True] * len(files)
        if "min._version" in files.column_names:
            lows = files["min._version"].to_pylist()
            looked_at = [low is None or low < floor for low in lows]
        copying = Copying(snapshot, files, looked_at, ["_key", "_version"], decide)
        said = {KEYLESS_METADATA: "older epochs", **_said(0, 0, copying)}
        return copying.commit(transactions, said=said)


def _said(rows: int, inserted: int, copying: Copying) -> dict[str, str]:
    counts = {
        "rows": rows,
        "inserted": inserted,
        "updated": copying.replaced,
        "deleted": copying.deleted,
    }
    return {MERGED_METADATA: orjson.dumps(counts).decode()}


def _by_rule(changes: pa.Table, rule: MergeRule) -> Decide:
    known = ("_key", "_version", OPERATION, DELETED_AT, DELETE_VERSION)
    narrow = changes.select([name for name in known if name in changes.column_names])
    narrow = narrow.combine_chunks()
    wanted = _Wanted(_ids(narrow, rule.on))

    def decide(part: pa.Table) -> Changed:
        here, places = wanted.among(_ids(part, rule.on))
        if not len(here):
            return nothing(len(part))
        pairs = Pairs(narrow.take(pa.array(places)), part.take(pa.array(here)))
        delete = holds(rule.delete, pairs)
        update = holds(rule.update, pairs) & ~delete
        flag = holds(rule.flag, pairs) & ~delete & ~update
        stays = np.ones(len(part), np.bool_)
        stays[here[delete | update]] = False
        flags = None
        if flag.any():
            flags = np.full(len(part), -1, np.int64)
            flags[here[flag]] = places[flag]
        return Changed(stays, places, places[update], int(delete.sum()), flags)

    return decide


class _Wanted:
    """Finds changes by what tells a row from others."""

    def __init__(self, ids: pa.Array) -> None:
        self._ids = ids
        self._places: dict[str, int] | None = None

    def among(self, ids: pa.Array) -> tuple[Places, Places]:
        """Which of some rows there is a change for, and the changes' places."""
        if len(ids) * _FEW < len(self._ids):
            # Arrow makes its table of all changes anew for every part.
            if self._places is None:
                self._places = {text: at for at, text in enumerate(self._ids.to_pylist())}
            found = np.fromiter((self._places.get(i, -1) for i in ids.to_pylist()), np.int64)
            here = np.flatnonzero(found >= 0)
            return here, found[here]
        index = pc.index_in(ids, value_set=self._ids)
        here = np.flatnonzero(mask_of(index.is_valid()))
        return here, index.drop_null().to_numpy().astype(np.int64)


def _ids(rows: pa.Table, on: Sequence[str]) -> pa.Array:
    """What tells a row of the table from others; versions are all as long."""
    first, *rest = (rows[name].combine_chunks() for name in on)
    return pc.binary_join_element_wise(first, *rest, "\n") if rest else first


def _may_hold(files: pa.Table, changes: pa.Table, rule: MergeRule) -> list[bool]:
    """By file, whether it may hold a row that a change speaks of, by bounds and by partition."""
    keys = sorted(set(changes["_key"].to_pylist()))
    bounds = zip(lows_of(files), highs_of(files), strict=True)
    fits = [any_between(keys, low, high) for low, high in bounds]
    if rule.prune:
        wanted = set(partitions_of(changes, rule.prune))
        there = partitions_of(files, [f"partition.{name}" for name in rule.prune])
        fits = [fit and part in wanted for fit, part in zip(fits, there, strict=True)]
    return fits
