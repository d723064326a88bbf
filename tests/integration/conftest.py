"""The product on whichever parts were chosen: a table, a transform file, three stage processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.wire.kafka import KafkaConfig
from tests.fakes.dynamodb import running
from tests.parts.brokers import Broker
from tests.parts.dynamodb import DynamoDB
from tests.parts.waiting import wait_until
from tests.product.oracle import Rows, differences, table_rows
from tests.product.pipeline import Pipeline
from tests.product.workload import ORDERS, KeyShape, Workload, scan

HEAD = """
from bridge import DynamoDBSource
from processors import Input, Output, Stream, transform
from sinks import Dataset

"""
COPY = (
    HEAD
    + """
@transform(
    input_mapping={{"items": Input(Stream(source=DynamoDBSource(
        table_name="{table}", region="us-west-2")))}},
    output_mapping={{"out": Output(Dataset(id="{dataset}"))}},
)
def copy_{number}(items):
    return items.select(
        "eventID",
        "eventName",
        "dynamodb.NewImage.c.N",
        "dynamodb.NewImage.customerEmail.S as email",
        "dynamodb.NewImage.orderTotal.N as total",
        "dynamodb.NewImage.status.S as status",
        "dynamodb.NewImage.note.S",
    )
"""
)
COPY_COLUMNS = ("c", "email", "total", "status", "note")


@dataclass
class Product:
    """A pipeline over one table with its workload."""

    pipeline: Pipeline
    workload: Workload
    kafka: KafkaConfig
    dataset: str
    storage_options: dict[str, str]

    @property
    def uri(self) -> str:
        """The dataset's table."""
        return f"{self.pipeline.lake}/{self.dataset}"

    def rows(self, columns: tuple[str, ...]) -> Rows:
        """The Delta table as it is now."""
        return table_rows(self.uri, self.storage_options, columns)

    def source(self):
        """The source's items as they are now."""
        return scan(self.workload.client, self.workload.table)

    def await_equal(self, expected_of, columns: tuple[str, ...], *, timeout_s: float = 90) -> None:
        """Wait until the table equals what `expected_of` makes of the source's items."""
        expected = expected_of(self.source())

        def equal() -> bool:
            self.pipeline.restart_dead()
            return not differences(expected, self.rows(columns))

        try:
            wait_until(equal, timeout_s=timeout_s, what="the table to equal the source")
        except AssertionError as error:
            found = differences(expected, self.rows(columns))
            raise AssertionError(f"{error}\n{found}\n{self.pipeline.logs()}") from None


class Factory:
    """Makes pipelines and kills what is left of them afterwards."""

    def __init__(self, folder: Path, broker: Broker, dynamodb: DynamoDB, namespace: str) -> None:
        self._folder = folder
        self._broker = broker
        self._dynamodb = dynamodb
        self._namespace = namespace
        self._made: list[Pipeline] = []

    def __call__(
        self,
        *,
        shape: KeyShape = ORDERS,
        text: str = COPY,
        dataset: str = "out",
        lake: str | None = None,
        lake_options: dict[str, str] | None = None,
        existing: int = 0,
        keys: int = 200,
        seed: int = 1,
        stream: bool = True,
        settings: dict[str, str] | None = None,
        dynamodb: DynamoDB | None = None,
        broker: Broker | None = None,
    ) -> Product:
        source = dynamodb or self._dynamodb
        kafka = broker or self._broker
        namespace = f"{self._namespace}-{len(self._made)}"
        table = f"orders-{namespace}"
        client = source.client()
        shape.create(client, table, stream=stream)
        workload = Workload(client, table, shape, keys=keys, seed=seed)
        workload.fill(existing)
        folder = self._folder / str(len(self._made))
        folder.mkdir()
        file = folder / "transform.py"
        file.write_text(text.format(table=table, dataset=dataset, number=len(self._made)))
        lake_uri = lake or str(folder / "lake")
        environment = {
            "TAILRACE_BROKERS": kafka.bootstrap,
            "TAILRACE_NAMESPACE": namespace,
            "TAILRACE_LAKE": lake_uri,
            "TAILRACE_STATIC_MEMBERSHIP": str(kafka.name == "embedded").lower(),
            "TAILRACE_LOG_FORMAT": "text",
            "TAILRACE_FRESHNESS_S": "0.3",  # the demo runs with the default
            **source.environment,
            **{f"TAILRACE_LAKE_OPTIONS__{k}": v for k, v in (lake_options or {}).items()},
            **(settings or {}),
        }
        pipeline = Pipeline(folder, file, environment, lake_uri)
        self._made.append(pipeline)
        config = KafkaConfig(brokers=kafka.bootstrap, namespace=namespace)
        return Product(pipeline, workload, config, dataset, lake_options or {})

    def close(self, *, failed: bool) -> None:
        for pipeline in self._made:
            for stage in pipeline.stages.values():
                stage.kill()
            if failed:
                print(pipeline.logs())


@pytest.fixture
def many_shards() -> Iterator[DynamoDB]:
    """A DynamoDB whose streams have four shards that rotate and split while they are read."""
    with running(shards=4, rotate_every=40, split_rate=0.3, seed=7) as remote:
        yield DynamoDB(remote.endpoint)


@pytest.fixture
def product(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    broker: Broker,
    dynamodb: DynamoDB,
    namespace: str,
) -> Iterator[Factory]:
    """Makes a table, a transform file and the stages for it; all gone after the test."""
    before = request.session.testsfailed
    factory = Factory(tmp_path, broker, dynamodb, namespace)
    yield factory
    factory.close(failed=request.session.testsfailed > before)
