"""Which keys a table may hold, so that new ones are appended and not merged.

A merge reads the whole key column to find out that a key is new; files' own bounds prove it only
where keys come in order. So the writer remembers a 64-bit hash of every key that was ever in the
table it writes: a key whose hash is not there is proven new, one whose hash is there may be. Rows
that left keep their hashes, which costs a merge now and then and never a wrong row.

What is remembered speaks of one version of the table. The writer's own commits carry it on, and so
do commits that bring no keys; after any other it is read anew from the key column.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sinks.table import KEYLESS_METADATA, SORTED_METADATA, Snapshot

# Eight bytes each: 256 MB. A table that would exceed them is merged into, as without any.
KEYS_MAX = 32_000_000
# Commits of these kinds bring no keys that were not there.
_KEYLESS = frozenset(
    {
        "OPTIMIZE",
        "VACUUM START",
        "VACUUM END",
        "DELETE",
        "ADD COLUMN",
        "SET TBLPROPERTIES",
        "SET TABLE PROPERTIES",
    }
)
_SAID = frozenset({SORTED_METADATA, KEYLESS_METADATA})
_LOOK_BACK = 20
_RUNS_MAX = 8

Hashes = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Table:
    """The hashes of one table's keys as sorted runs, right for `version`."""

    version: int
    runs: list[Hashes] = field(default_factory=list)

    @property
    def keys(self) -> int:
        return sum(map(len, self.runs))

    def add(self, found: Hashes) -> None:
        found = _distinct(found)
        if len(found):
            self.runs.append(found)
        if len(self.runs) > _RUNS_MAX:
            self.runs = [_distinct(np.concatenate(self.runs))]

    def holds_any(self, wanted: Hashes) -> bool:
        wanted = np.sort(wanted)
        for run in self.runs:
            places = np.searchsorted(run, wanted)
            places[places == len(run)] = 0
            if bool((run[places] == wanted).any()):
                return True
        return False


class KnownKeys:
    """The keys of the tables one process writes; safe for a thread per table.

    Args:
        keys_max: how many hashes are kept at most, of all tables together.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._tables: dict[str, _Table] = {}
        self._lock = threading.Lock()

    def lacks(self, snapshot: Snapshot, keys: Sequence[str]) -> bool:
        """Whether it is proven that no row of the snapshot has any of the keys.

        Raises:
            TableError: the key column can't be read.
        """
        table = self._at(snapshot)
        return table is not None and not table.holds_any(_hashes(keys))

    def committed(self, snapshot: Snapshot, keys: Sequence[str]) -> None:
        """Our commit on this snapshot has landed, and brought these keys at most."""
        table = self._tables.get(snapshot.uri)
        if table is None or table.version != snapshot.version:
            return
        if self._room(snapshot.uri) < table.keys + len(keys):
            self.forget(snapshot.uri)
            return
        table.add(_hashes(keys))
        table.version = snapshot.version + 1

    def forget(self, uri: str) -> None:
        """Let go of what is known of a table."""
        with self._lock:
            self._tables.pop(uri, None)

    def _at(self, snapshot: Snapshot) -> _Table | None:
        table = self._tables.get(snapshot.uri)
        if table is not None and table.version != snapshot.version:
            if _brings_no_keys(snapshot, table.version):
                table.version = snapshot.version
            else:
                table = None
        return table if table is not None else self._read(snapshot)

    def _read(self, snapshot: Snapshot) -> _Table | None:
        self.forget(snapshot.uri)
        if _rows(snapshot) > self._room(snapshot.uri):
            return None
        table = _Table(snapshot.version)
        parts = [_hashes(batch.column(0).to_pylist()) for batch in snapshot.reader(["_key"])]
        if parts:
            table.add(np.concatenate(parts))
        with self._lock:
            self._tables[snapshot.uri] = table
        return table

    def _room(self, uri: str) -> int:
        with self._lock:
            return self._keys_max - sum(t.keys for u, t in self._tables.items() if u != uri)


def _rows(snapshot: Snapshot) -> int:
    """Rows of all live files; more than any room where a file does not say."""
    counts = snapshot.files()["num_records"].to_pylist()
    return sum(KEYS_MAX + 1 if count is None else count for count in counts)


def _brings_no_keys(snapshot: Snapshot, since: int) -> bool:
    """Whether no commit after version `since` can have brought keys."""
    count = snapshot.version - since
    if not 0 < count <= _LOOK_BACK:
        return False
    history = snapshot.history(count)
    return len(history) == count and all(
        commit.get("operation") in _KEYLESS
        or not {SORTED_METADATA, KEYLESS_METADATA}.isdisjoint(commit)
        for commit in history
    )


def _hashes(keys: Sequence[str]) -> Hashes:
    # Python's own hash of text: keyed by a secret of the process, so nobody can make keys collide.
    return np.fromiter(map(hash, keys), np.int64, len(keys))


def _distinct(found: Hashes) -> Hashes:
    """Ascending, each once: numpy's own `unique` hashes first and takes seventy times as long."""
    ordered = np.sort(found)
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]
