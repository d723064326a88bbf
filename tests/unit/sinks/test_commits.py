"""A table's commits read from its log: counts, columns, and nothing of its items."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from sinks.commits import CommitLog, parse


def lines(*actions: dict[str, object]) -> bytes:
    return b"\n".join(json.dumps(action).encode() for action in actions) + b"\n"


def test_a_merge_tells_what_became_of_its_batch() -> None:
    metrics = {
        "num_source_rows": 24,
        "num_target_rows_inserted": 5,
        "num_target_rows_updated": 13,
        "num_target_rows_deleted": 6,
    }
    info = {"timestamp": 1500, "operation": "MERGE", "operationMetrics": metrics}
    info["operationParameters"] = {"predicate": "_key >= 'secret-key'"}
    stats = json.dumps({"numRecords": 9, "minValues": {"_key": "secret-key"}})
    add = {"path": "p", "dataChange": True, "stats": stats}

    found = parse(4, lines({"commitInfo": info}, {"add": add}, {"remove": {"path": "q"}}))

    assert (found.version, found.at_s, found.operation, found.rows) == (4, 1.5, "MERGE", 24)
    assert (found.inserted, found.updated, found.deleted) == (5, 13, 6)
    assert (found.files_added, found.files_removed) == (1, 1)
    assert "secret-key" not in repr(asdict(found))


def test_an_append_without_metrics_is_counted_by_its_files() -> None:
    add = {"path": "p", "dataChange": True, "stats": json.dumps({"numRecords": 9})}
    found = parse(1, lines({"commitInfo": {"operation": "WRITE"}}, {"add": add}, {"add": add}))
    assert (found.rows, found.inserted) == (18, 18)


def test_positions_alone_have_no_batch() -> None:
    found = parse(1, lines({"commitInfo": {"operation": "WRITE"}}, {"txn": {"appId": "a"}}))
    assert (found.rows, found.inserted, found.columns) == (None, 0, None)


def test_a_log_is_followed_as_it_grows(tmp_path: Path) -> None:
    rows = pa.table({"a": pa.array([1, 2, 3], pa.int64())})
    log = CommitLog(str(tmp_path), "out")
    assert log.follow() == []

    write_deltalake(tmp_path / "out", rows)
    assert [(c.version, c.inserted, c.columns) for c in log.follow()] == [(0, 3, {"a": "long"})]

    write_deltalake(tmp_path / "out", rows, mode="append")
    DeltaTable(tmp_path / "out").delete("a = 1")
    found = log.follow()
    assert [(c.version, c.inserted, c.deleted) for c in found] == [(0, 3, 0), (1, 3, 0), (2, 0, 2)]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for _ in range(5):
        write_deltalake(tmp_path / "out", pa.table({"a": [1]}), mode="append")

    log = CommitLog(str(tmp_path), "out", kept=2)
    assert [commit.version for commit in log.follow()] == [3, 4]
    write_deltalake(tmp_path / "out", pa.table({"a": [1]}), mode="append")
    assert [commit.version for commit in log.follow()] == [4, 5]
