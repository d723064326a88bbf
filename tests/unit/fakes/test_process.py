"""The fake as a process can be scripted from outside, and is gone when its test is."""

import socket
from typing import Any

import pytest

from tests.fakes.dynamodb import FakeDynamoDB, Remote, World, running
from tests.fakes.dynamodb.control import _METHODS
from tests.unit.fakes.clients import client


def test_a_process_is_written_scripted_and_asked(tmp_path: Any) -> None:
    with running(virtual_clock=True, shards=2, seed=7, region="eu-west-1") as fake:
        arn = fake.run("create_table", table="orders", range_key="line", shards=3)
        assert ":eu-west-1:" in arn
        item = {"id": {"S": "a"}, "line": {"S": "1"}}
        dynamodb = client("dynamodb", fake.endpoint)
        dynamodb.put_item(TableName="orders", Item=item)
        dynamodb.delete_item(TableName="orders", Key=item)
        dynamodb.close()
        shards = fake.run("open_shards", table="orders")
        assert len(shards) == 3
        children = fake.run("split", shard_id=shards[0])
        listed = {shard["id"]: shard for shard in fake.run("shards", table="orders")}
        assert [listed[child]["parent_id"] for child in children] == [shards[0]] * 2
        ((insert, remove),) = fake.run("history", table="orders")
        assert (insert["event_name"], insert["item"]) == ("INSERT", item)
        assert (remove["event_name"], remove["item"]) == ("REMOVE", None)
        assert int(remove["sequence"]) > int(insert["sequence"])
        before_s = fake.run("now")
        assert fake.run("advance", seconds=60) == before_s + 60
        assert fake.run("calls")["PutItem"] == 1
        fake.run("throttle", operation="PutItem", times=2)
        endpoint = fake.endpoint
    host, port = endpoint.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=2)


def test_every_remote_method_is_one_of_the_world(world: World) -> None:
    assert all(callable(getattr(world, name)) for name in _METHODS)


def test_mistakes_are_answered_with_their_reason(server: FakeDynamoDB) -> None:
    fake = Remote(server.endpoint)
    with pytest.raises(ValueError, match="no action 'explode'"):
        fake.run("explode")
    with pytest.raises(ValueError, match="Table: nowhere"):
        fake.run("open_shards", table="nowhere")
    with pytest.raises(ValueError, match="TypeError"):
        fake.run("split")
    with pytest.raises(ValueError, match="no setting 'colour'"):
        fake.run("configure", colour="red")


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match="did not start"), running(port=port):
            pass
        with pytest.raises(OSError, match="in use"):
            FakeDynamoDB(World(), port=port).start()


def test_stopping_closes_connections_that_are_kept_alive(world: World) -> None:
    server = FakeDynamoDB(world).start()
    dynamodb = client("dynamodb", server.endpoint)
    dynamodb.list_tables()
    server.stop()
    server.stop()
    with pytest.raises(Exception, match=r"Could not connect|Connection"):
        dynamodb.list_tables()
    dynamodb.close()
