"""Every kind of table as deltalake, DuckDB and Polars read it, on disk and on S3, also sorted."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from bridge.wire.kafka import KafkaConfig
from sinks.dataset import Dataset, Target
from sinks.location import located
from sinks.optimizing import Step, carry_out
from sinks.reader import datasets, open_table
from sinks.service import SinkConfig
from sinks.table import SORTED_METADATA, TableStore, lake_storage_options
from sinks.upkeep import Job
from tests.integration.sink_feed import TABLE, Feed, key_of
from tests.integration.test_sink import running
from tests.parts.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.timeout(240)]

DATASETS = (
    Dataset(id="plain"),
    Dataset(id="elsewhere", path="finance/orders", partition_by=["order_id"]),
    Dataset(id="soft", deletes="soft", partition_by=["bucket(4, order_id)"], cluster_by=["_key"]),
    Dataset(id="history", mode="history", partition_by=["is_current"], cluster_by=["valid_from"]),
    Dataset(id="log", mode="log", cluster_by=["order_id", "_event_time"]),
)


@pytest.fixture
def kafka(broker, namespace):
    return KafkaConfig(brokers=broker.bootstrap, namespace=namespace, static_membership=True)


@pytest.fixture(params=["disk", "s3"])
def lake(request, tmp_path, namespace):
    """Base URI and storage options."""
    if request.param == "disk":
        return str(tmp_path / "lake"), {}
    s3 = request.getfixturevalue("s3")
    return s3.uri(namespace), s3.storage_options


def write(feed: Feed) -> None:
    """Inserts, a late one, changes of a partition's column, removals, one that comes back."""
    for number in range(20):
        feed.upsert(f"o-{number}", 0, order_id=f"o-{number}", total="1.5")
    feed.seal(1)
    for number in range(0, 20, 2):
        feed.upsert(f"o-{number}", 10 + number, order_id=f"moved-{number}", total=f"{number}.25")
    feed.upsert("o-4", 3, order_id="late", total="0")
    for number in (1, 6, 7):
        feed.delete(f"o-{number}", 40)
    feed.upsert("o-7", 50, order_id="o-7", total="-7.000000000000000001")
    feed.flush()


def plain(value):
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def rows_of(table: pa.Table) -> list[dict]:
    rows = [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]
    return sorted(rows, key=lambda row: (row["_key"], row["_version"]))


def by_deltalake(uri: str, options: dict[str, str]) -> list[dict]:
    scanned = DeltaTable(uri, storage_options=options).scan()
    return rows_of(pa.table(pa.RecordBatchReader.from_stream(scanned).read_all()))


def by_polars(uri: str, options: dict[str, str]) -> list[dict]:
    import polars as pl  # of the real lane alone, as DuckDB is

    return rows_of(pl.read_delta(uri, storage_options=options or None).to_arrow())


def by_duckdb(uri: str, options: dict[str, str]) -> list[dict]:
    import duckdb
    import duckdb_extension_delta
    import duckdb_extension_httpfs

    with duckdb.connect() as connection:
        # Packages that are nothing but an extension each, for one version of DuckDB.
        for package in (duckdb_extension_httpfs, duckdb_extension_delta):
            extension = next(Path(package.__path__[0]).rglob("*.duckdb_extension"))
            connection.load_extension(str(extension))
        connection.execute("SET TimeZone = 'UTC'")
        if "://" in uri:
            connection.execute(secret(options))
        found = connection.execute("SELECT * FROM delta_scan(?)", [uri])
        return rows_of(found.to_arrow_table())


def secret(options: dict[str, str]) -> str:
    """DuckDB's words for our storage options."""
    said = {
        "TYPE": "s3",
        "KEY_ID": options["AWS_ACCESS_KEY_ID"],
        "SECRET": options["AWS_SECRET_ACCESS_KEY"],
        "REGION": options["AWS_REGION"],
        "ENDPOINT": options["AWS_ENDPOINT_URL"].removeprefix("http://"),
        "URL_STYLE": "path",
        "USE_SSL": "false",
    }
    pairs = ", ".join(f"{name} '{value}'" for name, value in said.items())
    return f"CREATE SECRET ({pairs})"


def test_readers_agree_on_every_kind_of_table(kafka, lake):
    base, given = lake
    options = lake_storage_options(base, given)
    feeds = [Feed(kafka, dataset=each.id) for each in DATASETS]
    for feed in feeds:
        feed.create(with_namespace=feed is feeds[0])
        write(feed)
    expected = feeds[0].expected()
    config = SinkConfig(
        kafka=kafka,
        lake=base,
        storage_options=given,
        targets=tuple(Target(each, (TABLE,)) for each in DATASETS),
        freshness_s=0.1,
    )

    def newest(dataset: str) -> dict[str, str]:
        """Version by key of what a table holds now, whatever its kind."""
        table = open_table(base, dataset, given)
        where = {"soft": "NOT _deleted", "history": "is_current"}.get(dataset)
        rows = table.rows(["_version"], where) if table is not None and not table.loading else ()
        return {key: row["_version"] for key, row in rows}

    with running(config):
        for each in DATASETS[:-1]:
            wait_until(
                lambda each=each: newest(each.id) == expected, timeout_s=60, what=f"{each.id}"
            )
        wait_until(
            lambda: (t := open_table(base, "log", given)) is not None and t.count() == 35,
            timeout_s=60,
            what="the log",
        )
    assert datasets(base, given) == sorted(each.id for each in DATASETS)
    for each in DATASETS:
        uri = located(base, each.id, options)
        found = by_deltalake(uri, options)
        assert found, each.id
        assert by_polars(uri, options) == found, each.id
        assert by_duckdb(uri, options) == found, each.id
        carry_out(TableStore(uri, options), Step(Job.CLUSTER, True, ""))
        history = TableStore(uri, options).open().history(50)
        assert any(SORTED_METADATA in commit for commit in history), each.id
        assert by_deltalake(uri, options) == found, each.id
        assert by_polars(uri, options) == found, each.id
        assert by_duckdb(uri, options) == found, each.id
    assert located(base, "elsewhere", options) == f"{base}/finance/orders"
    (back,) = [r for r in by_polars(f"{base}/plain", options) if r["_key"] == key_of("o-7")]
    assert back["total"] == "-7.000000000000000001"
