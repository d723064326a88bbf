"""The commits of a table, as its Delta log tells them: what each changed, and new columns.

The log's files are read one by one, so following a table costs a small file per new version and
never a listing. What is shown of a commit holds counts and column names, never an item's values:
the predicates and bounds in the log hold keys and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

from sinks.location import located
from sinks.table import (
    KEYLESS_METADATA,
    MERGED_METADATA,
    TableStore,
    dataset_uri,
    lake_errors,
    lake_storage_options,
)

_METRICS = {
    "inserted": ("num_target_rows_inserted", "num_added_rows"),
    "updated": ("num_target_rows_updated",),
    "deleted": ("num_target_rows_deleted", "num_deleted_rows"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One version of a table.

    `at_s` is when it was made, seconds since 1970. `rows` is the size of the batch it was made
    from, None where there was none; `inserted`, `updated` and `deleted` are what became of it in
    the table. `columns`: all of them with their types, where the commit set them.
    """

    version: int
    at_s: float
    operation: str
    rows: int | None = None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    files_added: int = 0
    files_removed: int = 0
    columns: Mapping[str, str] | None = field(default=None, hash=False)


class CommitLog:
    """Follows the log of one dataset's table.

    Args:
        lake: base URI of the tables.
        dataset: its id.
        options: of the object store; never logged.
        kept: so many of the newest commits are remembered.
    """

    def __init__(
        self, lake: str, dataset: str, options: Mapping[str, str] | None = None, kept: int = 100
    ) -> None:
        self._lake = lake
        self._dataset = dataset
        self._options = lake_storage_options(lake, options or {})
        self._uri = dataset_uri(lake, dataset)
        self._kept = kept
        self._files: pafs.FileSystem | None = None
        self.commits: list[Commit] = []

    def follow(self) -> list[Commit]:
        """Read what is new; all that is remembered, oldest first; none while there is no table.

        Raises:
            TableError: the lake does not answer.
        """
        if not self.commits:
            self._begin()
        while self.commits and (commit := self._read(self.commits[-1].version + 1)) is not None:
            self.commits.append(commit)
        self.commits = self.commits[-self._kept :]
        return self.commits

    def _begin(self) -> None:
        """The newest commits, back to where the log was cleaned or enough are known."""
        uri = located(self._lake, self._dataset, self._options)
        snapshot = TableStore(uri, self._options).open()
        if snapshot is None:
            return
        self._uri = uri
        found: list[Commit] = []
        for version in range(snapshot.version, -1, -1):
            commit = self._read(version)
            if commit is None or len(found) == self._kept:
                break
            found.append(commit)
        self.commits = found[::-1]

    def _read(self, version: int) -> Commit | None:
        with lake_errors(self._uri):
            if self._files is None:
                handler = DeltaStorageHandler(self._uri, options=self._options)
                self._files = pafs.PyFileSystem(handler)
            try:
                with self._files.open_input_file(f"_delta_log/{version:020d}.json") as file:
                    body = bytes(file.read())
            except FileNotFoundError:
                return None
            return parse(version, body)


def parse(version: int, body: bytes) -> Commit:
    """A file of the log as a commit. Pure.

    Raises:
        ValueError: it is not JSON lines.
    """
    actions = [json.loads(line) for line in body.splitlines() if line.strip()]
    info = _of(actions, "commitInfo")
    said: Mapping[str, Any] = info[0] if info else {}
    metrics = said.get("operationMetrics") or {}
    added = _of(actions, "add")
    counts = {name: _number(metrics, names) for name, names in _METRICS.items()}
    batch = metrics.get("num_source_rows", metrics.get("num_added_rows"))
    operation = str(said.get("operation") or "unknown")
    if MERGED_METADATA in said:
        counts = json.loads(said[MERGED_METADATA])
        batch = counts.pop("rows") or None
        operation = "DELETE" if KEYLESS_METADATA in said else "MERGE"
    elif not metrics and any(add.get("dataChange") for add in added):
        batch = counts["inserted"] = sum(map(_records, added))
    return Commit(
        version=version,
        at_s=int(said.get("timestamp") or 0) / 1000,
        operation=operation,
        rows=None if batch is None else int(batch),
        files_added=len(added),
        files_removed=len(_of(actions, "remove")),
        columns=_columns(_of(actions, "metaData")),
        **counts,
    )


def _of(actions: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [action[name] for action in actions if isinstance(action.get(name), dict)]


def _number(metrics: Mapping[str, Any], names: Iterable[str]) -> int:
    return next((int(metrics[name]) for name in names if metrics.get(name)), 0)


def _records(add: Mapping[str, Any]) -> int:
    try:
        return int(json.loads(add.get("stats") or "{}").get("numRecords") or 0)
    except ValueError:
        return 0


def _columns(metadata: list[Mapping[str, Any]]) -> dict[str, str] | None:
    try:
        fields = json.loads(metadata[-1]["schemaString"])["fields"]
        return {str(each["name"]): _spelled(each["type"]) for each in fields}
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _spelled(kind: object) -> str:
    return kind if isinstance(kind, str) else json.dumps(kind, separators=(",", ":"))
