"""A world with a clock moved by hand, a server of it, and boto3 clients that never retry."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.dynamodb import FakeDynamoDB, VirtualClock, World
from tests.unit.fakes.clients import client


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def world(clock: VirtualClock) -> World:
    return World(clock=clock)


@pytest.fixture
def server(world: World) -> Iterator[FakeDynamoDB]:
    with FakeDynamoDB(world) as running:
        yield running


@pytest.fixture
def dynamodb_client(server: FakeDynamoDB) -> Iterator[Any]:
    made = client("dynamodb", server.endpoint)
    yield made
    made.close()


@pytest.fixture
def streams_client(server: FakeDynamoDB) -> Iterator[Any]:
    made = client("dynamodbstreams", server.endpoint)
    yield made
    made.close()
