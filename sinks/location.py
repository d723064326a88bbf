"""Where a dataset's table lies, and how readers find it who know only its id.

A table lies at `<lake>/<id>`, or where `Dataset(path=…)` says. Then a note beside it in the lake
says so too, for `tailrace query` and every other command that is given an id. What is not shown
(tombstones, generations that are built) stays in the lake.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

from bridge.wire.errors import ConfigurationError
from sinks.dataset import Dataset
from sinks.table import TableStore, beside_uri, dataset_uri, lake_errors

# A table of no rows whose description is the path: what reads and writes the lake is Delta's.
_NOTE: Final = "location"
_SCHEMA = pa.schema([("path", pa.string())])


def path_uri(lake: str, dataset: str, path: str | None) -> str:
    """The table's URI: a path is one of its own, or lies in the lake; None is the lake's `<id>`."""
    if path is None:
        return dataset_uri(lake, dataset)
    absolute = "://" in path or Path(path).is_absolute()
    return path if absolute else f"{lake.rstrip('/')}/{path}"


def located(lake: str, dataset: str, options: Mapping[str, str]) -> str:
    """The URI of a dataset's table, as noted in the lake.

    Args:
        lake: base URI of the tables.
        dataset: its id.
        options: of the object store.

    Raises:
        TableError: the lake does not answer.
    """
    return path_uri(lake, dataset, _noted(lake, dataset, options))


def claim(lake: str, dataset: Dataset, options: Mapping[str, str]) -> str:
    """Note where the dataset's table lies, before it is made; its URI.

    Raises:
        ConfigurationError: it lies elsewhere by now, another dataset's lies there, or the place is
            in another kind of store than the lake.
        TableError: the lake does not answer.
    """
    where = f"Dataset(id={dataset.id!r})"
    uri = path_uri(lake, dataset.id, dataset.path)
    if urlsplit(uri).scheme != urlsplit(lake).scheme:
        raise ConfigurationError(
            f"path={dataset.path!r} lies in another kind of store than the lake, {lake}",
            where=where,
            remedy="Keep both in one: a path that begins with no scheme and no / lies in the lake",
        )
    if f"{lake.rstrip('/')}/".startswith(f"{uri}/"):
        raise ConfigurationError(
            f"the lake, {lake}, lies in its table's place, {uri}",
            where=where,
            remedy="Give the dataset a folder of its own",
        )
    noted = _noted(lake, dataset.id, options)
    before = path_uri(lake, dataset.id, noted)
    if before != uri and TableStore(before, options).open() is not None:
        raise ConfigurationError(
            f"its table lies at {before} and not at {uri}",
            where=where,
            remedy=f"Write path={noted!r}, or stop the sink and move the table's folder there",
        )
    there = TableStore(uri, options).open() if dataset.path is not None else None
    if there is not None and there.delta.metadata().name != dataset.id:
        raise ConfigurationError(
            f"there is a table of something else at {uri}",
            where=where,
            remedy="Give the dataset a path of its own",
        )
    if noted != dataset.path:
        _note(lake, dataset, options)
    return uri


def noted_datasets(lake: str, options: Mapping[str, str]) -> dict[str, str]:
    """URIs by id of the datasets whose tables do not lie at `<lake>/<id>`.

    Raises:
        TableError: the lake does not answer.
    """
    base = beside_uri(lake, "").rstrip("/")
    with lake_errors(lake):
        if "://" not in lake:
            names = [note.parents[1].name for note in Path(base).glob(f"*/{_NOTE}/_delta_log")]
        else:
            files = pafs.PyFileSystem(DeltaStorageHandler(base, options=dict(options)))
            listed = files.get_file_info(pafs.FileSelector("", recursive=False))
            names = [info.path for info in listed if info.type == pafs.FileType.Directory]
    found = {name: _noted(lake, name, options) for name in names}
    return {name: path_uri(lake, name, path) for name, path in found.items() if path is not None}


def _store(lake: str, dataset: str, options: Mapping[str, str]) -> TableStore:
    return TableStore(f"{beside_uri(lake, dataset)}/{_NOTE}", options)


def _noted(lake: str, dataset: str, options: Mapping[str, str]) -> str | None:
    note = _store(lake, dataset, options).open()
    return note.description or None if note is not None else None


def _note(lake: str, dataset: Dataset, options: Mapping[str, str]) -> None:
    store, path = _store(lake, dataset.id, options), dataset.path or ""
    note = store.open()
    if note is not None:
        note.set_description(path)
    else:
        store.create(_SCHEMA, name=dataset.id, description=path, properties={})
