"""What we need of an S3 server: a put that fails instead of overwriting another's commit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from sinks.clustering import BY_KEY, parts_of, sample_cuts, sort_part
from sinks.maintenance import VACUUMED_TRANSACTION, vacuum
from sinks.optimizing import carry_out, planned
from sinks.table import Snapshot, TableStore, lake_storage_options
from tests.parts.object_store import S3

pytestmark = pytest.mark.integration

WRITERS = 4
APPENDS = 5
# moto looks first and writes then: two writers at the very same moment may both win there.
atomic = pytest.mark.real


@atomic
def test_conditional_puts_have_one_winner(s3: S3, namespace: str) -> None:
    key = f"{namespace}/log/00000000000000000001.json"

    def put(writer: int) -> int:
        body = f"{writer}".encode()
        try:
            done = s3.client().put_object(Bucket=s3.bucket, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            done = error.response
        return int(done["ResponseMetadata"]["HTTPStatusCode"])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(put, range(8)))
    # S3 answers 409 to the loser of two puts at the same moment, 412 to a late one.
    assert answers.count(200) == 1
    assert set(answers) <= {200, 409, 412}
    body = s3.client().get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    assert body == f"{answers.index(200)}".encode()


@atomic
def test_concurrent_appends_all_arrive(s3: S3, namespace: str) -> None:
    uri = s3.uri(f"{namespace}/appends")
    write_deltalake(uri, pa.table({"n": [-1]}), storage_options=s3.storage_options)

    def append(writer: int) -> None:
        for number in range(APPENDS):
            row = pa.table({"n": [writer * APPENDS + number]})
            write_deltalake(
                uri,
                row,
                mode="append",
                storage_options=s3.storage_options,
                # Appends never conflict in substance; how often they meet is chance.
                commit_properties=CommitProperties(max_commit_retries=1000),
            )

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(append, range(WRITERS)))
    table = DeltaTable(uri, storage_options=s3.storage_options)
    assert table.version() == WRITERS * APPENDS
    found = sorted(table.to_pyarrow_table()["n"].to_pylist())
    assert found == list(range(-1, WRITERS * APPENDS))


def test_commit_from_a_stale_snapshot_is_refused(s3: S3, namespace: str) -> None:
    uri = s3.uri(f"{namespace}/fenced")
    write_deltalake(uri, pa.table({"n": [0]}), storage_options=s3.storage_options)
    owner, zombie = (DeltaTable(uri, storage_options=s3.storage_options) for _ in range(2))
    for table, refused in ((owner, False), (zombie, True)):
        commit = CommitProperties(
            app_transactions=[Transaction("ns:rows:0", 7, None)], max_commit_retries=0
        )
        row = pa.table({"n": [1]})
        if refused:
            with pytest.raises(CommitFailedError):
                write_deltalake(table, row, mode="append", commit_properties=commit)
        else:
            write_deltalake(table, row, mode="append", commit_properties=commit)
    latest = DeltaTable(uri, storage_options=s3.storage_options)
    assert latest.to_pyarrow_table().num_rows == 2


def test_a_table_is_maintained_there_and_keeps_every_row(s3: S3, namespace: str) -> None:
    uri = s3.uri(f"{namespace}/table")
    store = TableStore(uri, lake_storage_options(uri, s3.storage_options))
    numbers = pa.table({"_key": pa.array(["k0"], pa.string()), "n": pa.array([0], pa.int64())})
    keep_nothing = {"delta.deletedFileRetentionDuration": "interval 0 hours"}
    store.create(numbers.schema, name="t", description="", properties=keep_nothing)
    for number in range(6):
        row = pa.table({"_key": [f"k{number * 5 % 6}"], "n": [number]}, schema=numbers.schema)
        fresh(store).append(row, {"offset": number})
    reader = fresh(store)
    for step in planned(reader, sort=False):
        carry_out(store, step)
    assert fresh(store).files().num_rows == 1
    (whole,) = parts_of(fresh(store))
    assert sample_cuts(fresh(store), BY_KEY, whole) == []  # one range
    sort_part(fresh(store), BY_KEY, whole, [("k2",), ("k4",)], lambda: True)
    vacuum(fresh(store), 1.0)
    left = fresh(store)
    assert sorted(left.reader(["n"]).read_all()["n"].to_pylist()) == list(range(6))
    assert left.transaction("offset") == 5
    assert left.transaction(VACUUMED_TRANSACTION) == 1
    found = s3.client().list_objects_v2(Bucket=s3.bucket, Prefix=f"{namespace}/table/part-")
    assert len(found["Contents"]) == left.files().num_rows


def fresh(store: TableStore) -> Snapshot:
    snapshot = store.open()
    assert snapshot is not None
    return snapshot
