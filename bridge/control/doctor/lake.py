"""The lake: a table is made, written, read and removed again, and a stale commit is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bridge.control.doctor.model import Check, Finding, look, not_tried, ok, problem

if TYPE_CHECKING:
    from bridge.control.settings import Settings

_AREA = "lake"
_REMEDY = "Check TAILRACE_LAKE, TAILRACE_LAKE_OPTIONS and the sink's role (tailrace iam FILE)"


def checks(settings: Settings, *, write: bool) -> Iterator[Check]:
    """Whether a sink may do there what it does."""
    if not settings.lake:
        unset = problem("TAILRACE_LAKE is not set", "Set it to a folder or s3://bucket/prefix")
        yield Check(_AREA, "address", unset)
        return
    if not write:
        yield Check(_AREA, "writing", not_tried("--no-write"))
        return
    yield look(_AREA, "writing, reading, removing", lambda: _probe(settings), timeout_s=60)


def _probe(settings: Settings) -> Finding:
    from bridge.control.stages import needing

    with needing("sink"):
        import pyarrow as pa
        from deltalake import CommitProperties, DeltaTable, write_deltalake
        from deltalake.exceptions import DeltaError

        from sinks.table import dataset_uri, lake_storage_options
    base = settings.lake_uri()
    options = lake_storage_options(base, settings.storage_options())
    name = f"_tailrace/doctor-{uuid.uuid4().hex[:8]}"
    uri = dataset_uri(base, name)
    row = pa.table({"a": pa.array([1], pa.int64())})
    once = CommitProperties(max_commit_retries=0)
    try:
        write_deltalake(uri, row, storage_options=options)
        first = DeltaTable(uri, storage_options=options)
        stale = DeltaTable(uri, storage_options=options)
        write_deltalake(first, row, mode="append", commit_properties=once)
        try:
            write_deltalake(stale, row, mode="append", commit_properties=once)
        except DeltaError:
            pass  # as it has to be: the version is taken
        else:
            if DeltaTable(uri, storage_options=options).version() < 2:
                return problem(
                    "the store lets a commit overwrite another: two sinks could lose rows",
                    "Use a store with conditional puts (If-None-Match), as S3 has them",
                )
        found = DeltaTable(uri, storage_options=options).to_pyarrow_table().num_rows
    except (DeltaError, OSError, ValueError) as error:
        return problem(f"{base}: {_cause(error)}", _REMEDY)
    finally:
        left = _remove(base, options, name)
    if found < 2:
        return problem(f"{base}: {found} of 2 rows came back", _REMEDY)
    return left or ok(f"{base}: written, read, removed; no commit overwrites another")


def _remove(base: str, options: dict[str, str], name: str) -> Finding | None:
    from sinks.rebuilding import files_under

    try:
        files = files_under(base, options)
        if files is not None:
            files.delete_dir(name)
    except (OSError, ValueError) as error:
        return problem(
            f"{base}: {name} can't be removed again: {_cause(error)}",
            "Allow s3:DeleteObject: vacuum needs it. Remove the folder by hand",
        )
    return None


def _cause(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
