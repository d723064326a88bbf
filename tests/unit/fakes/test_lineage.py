"""Shards rotate, split, are trimmed and end, and no schedule of that loses or reorders a record."""

import random
from typing import Any

import pytest

from tests.fakes.dynamodb import AwsError, VirtualClock, World
from tests.fakes.dynamodb.shards import TOKENS
from tests.unit.fakes.reader import iterator, listed, read, read_all, sequence


def _put(world: World, count: int, table: str = "orders") -> None:
    for number in range(count):
        item = {"id": {"S": f"o-{number}"}, "v": {"N": str(world.history.count(table))}}
        world.put(table, item)


def _assert_complete(world: World, table: str, arn: str) -> None:
    """What is read, parents before children, is the journal, item by item."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    for shard_id, record in read_all(world, arn):
        key = record["dynamodb"]["Keys"]["id"]["S"]
        found.setdefault(key, []).append((shard_id, sequence(record), record["eventName"]))
    written = {
        versions[0].keys["id"]["S"]: [
            (version.shard_id, version.sequence, version.event_name) for version in versions
        ]
        for versions in world.history.items(table).values()
    }
    assert found == written
    for versions in found.values():
        numbers = [number for _, number, _ in versions]
        assert numbers == sorted(set(numbers))


def test_the_key_space_is_divided_among_the_open_shards(world: World) -> None:
    world.create_table("orders", shards=3)
    first, second, _ = world.open_shards("orders")
    world.split(first, ways=3)
    world.rotate(second)
    ranges = [(s.low, s.high) for s in world.shards("orders") if s.closed_s is None]
    ranges.sort()
    assert len(ranges) == 5
    assert [low for low, _ in ranges] == [0, *(high for _, high in ranges[:-1])]
    assert ranges[-1][1] == TOKENS


def test_a_split_sends_later_records_of_a_key_to_one_child(world: World) -> None:
    arn = world.create_table("orders", shards=1) or ""
    _put(world, 20)
    (parent,) = world.open_shards("orders")
    children = world.split(parent)
    _put(world, 20)
    for versions in world.history.items("orders").values():
        before, after = (version.shard_id for version in versions)
        assert before == parent
        assert after in children
    assert {version.shard_id for version in world.history.versions("orders")} == {
        parent,
        *children,
    }
    _assert_complete(world, "orders", arn)


def test_sequence_numbers_grow_in_length_so_their_text_order_is_wrong(world: World) -> None:
    arn = world.create_table("orders", shards=1) or ""
    for _ in range(30):
        _put(world, 3)
        world.rotate_all("orders")
    texts = [record["dynamodb"]["SequenceNumber"] for _, record in read_all(world, arn)]
    assert {len(text) for text in texts} >= set(range(21, 36))
    assert max(len(text) for text in texts) <= 40
    assert [int(text) for text in texts] == sorted(int(text) for text in texts)
    assert texts != sorted(texts)


def test_listings_tell_parents_and_sequence_ranges(world: World) -> None:
    arn = world.create_table("orders", shards=1) or ""
    _put(world, 2)
    (parent,) = world.open_shards("orders")
    child = world.rotate(parent)
    shards = {shard["ShardId"]: shard for shard in listed(world, arn)}
    numbers = [str(version.sequence) for version in world.history.versions("orders")]
    assert shards[parent]["SequenceNumberRange"] == {
        "StartingSequenceNumber": numbers[0],
        "EndingSequenceNumber": numbers[1],
    }
    assert "ParentShardId" not in shards[parent]
    assert shards[child]["ParentShardId"] == parent
    assert set(shards[child]["SequenceNumberRange"]) == {"StartingSequenceNumber"}


def test_a_closed_shard_does_not_close_again(world: World) -> None:
    world.create_table("orders", shards=1)
    (shard,) = world.open_shards("orders")
    world.rotate(shard)
    with pytest.raises(ValueError, match="closed already"):
        world.rotate(shard)


@pytest.mark.parametrize("seed", range(5))
def test_no_schedule_loses_or_reorders(seed: int) -> None:
    chance = random.Random(seed)
    clock = VirtualClock()
    world = World(clock=clock, seed=seed, shards=chance.randint(1, 4), empty_page_rate=0.0)
    arn = world.create_table("orders") or ""
    for step in range(400):
        name = {"id": {"S": f"o-{chance.randrange(15)}"}}
        act = chance.random()
        if act < 0.6:
            world.put("orders", {**name, "v": {"N": str(step)}})
        elif act < 0.8:
            world.delete("orders", name)
        elif act < 0.85:
            world.rotate(chance.choice(world.open_shards("orders")))
        elif act < 0.9:
            world.split(chance.choice(world.open_shards("orders")), ways=chance.randint(2, 3))
        else:
            clock.advance(chance.random())
    _assert_complete(world, "orders", arn)


def test_shards_roll_by_themselves_after_so_many_records() -> None:
    def shards(seed: int) -> list[tuple[str, str | None]]:
        world = World(clock=VirtualClock(), seed=seed, shards=2, rotate_every=20, split_rate=0.3)
        arn = world.create_table("orders") or ""
        for _ in range(10):
            _put(world, 50)
        _assert_complete(world, "orders", arn)
        return [(shard.id, shard.parent_id) for shard in world.shards("orders")]

    assert len(shards(1)) > 20
    assert shards(1) == shards(1)
    assert shards(1) != shards(2)
    parents = [parent for _, parent in shards(1) if parent]
    assert len(set(parents)) < len(parents), "some shard has split"


def test_shards_roll_by_age_though_nothing_is_written(clock: VirtualClock) -> None:
    world = World(clock=clock, shards=1, rotate_after_s=4 * 3600)
    arn = world.create_table("orders") or ""
    clock.advance(4 * 3600 - 1)
    assert len(listed(world, arn)) == 1
    clock.advance(1)
    assert len(listed(world, arn)) == 2


def test_records_and_shards_are_gone_after_24_hours(world: World, clock: VirtualClock) -> None:
    arn = world.create_table("orders", shards=1) or ""
    _put(world, 3)
    (parent,) = world.open_shards("orders")
    token = iterator(world, arn, parent, "TRIM_HORIZON")
    clock.advance(3600)
    world.call("UpdateTable", TableName="orders", BillingMode="PAY_PER_REQUEST")
    child = world.rotate(parent)
    _put(world, 2)
    clock.advance(24 * 3600 - 3599)
    world.configure(iterator_ttl_s=48 * 3600)
    # The parent's records are gone, the shard itself, closed an hour later, is not.
    assert [shard["ShardId"] for shard in listed(world, arn)].count(parent) == 1
    with pytest.raises(AwsError, match="TrimmedDataAccessException"):
        world.call("GetRecords", ShardIterator=token)
    clock.advance(3600)
    assert [shard["ShardId"] for shard in listed(world, arn)] == [child]
    assert read(world, iterator(world, arn, child, "TRIM_HORIZON"))[0] == []
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        iterator(world, arn, parent, "TRIM_HORIZON")
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        world.call("GetRecords", ShardIterator=token)


def test_trimming_by_hand_takes_records_then_shards(world: World, clock: VirtualClock) -> None:
    arn = world.create_table("orders", shards=1) or ""
    _put(world, 3)
    clock.advance(10)
    _put(world, 2)
    (shard,) = world.open_shards("orders")
    assert world.trim("orders", before_s=clock.now()) == 3
    assert len(read_all(world, arn)) == 2
    world.trim_records(shard, 1)
    assert len(read_all(world, arn)) == 1
    assert world.trim("orders") == 1
    assert [found["ShardId"] for found in listed(world, arn)] == [shard]
    child = world.rotate(shard)
    last = max(version.sequence or 0 for version in world.history.versions("orders"))
    ranges = {s["ShardId"]: s["SequenceNumberRange"] for s in listed(world, arn)}
    assert ranges[shard]["EndingSequenceNumber"] == str(last)
    world.trim("orders")
    (found,) = listed(world, arn)
    assert (found["ShardId"], found["ParentShardId"]) == (child, shard)


def test_a_parent_can_vanish_with_records_nobody_read(world: World) -> None:
    arn = world.create_table("orders", shards=1) or ""
    _put(world, 2)
    (parent,) = world.open_shards("orders")
    with pytest.raises(ValueError, match="is open"):
        world.drop_shard(parent)
    child = world.rotate(parent)
    world.drop_shard(parent)
    assert [shard["ShardId"] for shard in listed(world, arn)] == [child]
    assert listed(world, arn)[0]["ParentShardId"] == parent


def _stream(world: World, **specification: Any) -> None:
    world.call("UpdateTable", TableName="orders", StreamSpecification=specification)


def test_a_disabled_stream_ends_and_a_new_one_has_a_new_arn(
    world: World, clock: VirtualClock
) -> None:
    old = world.create_table("orders", shards=2) or ""
    _put(world, 10)
    _stream(world, StreamEnabled=False)
    world.put("orders", {"id": {"S": "between"}})
    described = world.call("DescribeTable", TableName="orders")["Table"]
    assert "StreamSpecification" not in described
    assert described["LatestStreamArn"] == old
    _stream(world, StreamEnabled=True, StreamViewType="NEW_IMAGE")
    new = world.stream_arn("orders")
    assert new != old
    _put(world, 10)
    answer = world.call("DescribeStream", StreamArn=old)["StreamDescription"]
    assert answer["StreamStatus"] == "DISABLED"
    assert all("EndingSequenceNumber" in s["SequenceNumberRange"] for s in answer["Shards"])
    assert len(read_all(world, old)) == len(read_all(world, new)) == 10
    arns = [s["StreamArn"] for s in world.call("ListStreams", TableName="orders")["Streams"]]
    assert arns == sorted([old, new])
    (between,) = world.history.items("orders")[b'{"id":{"S":"between"}}']
    assert (between.stream_arn, between.sequence) == (None, None)
    clock.advance(24 * 3600 + 1)
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        listed(world, old)
    assert [s["StreamArn"] for s in world.call("ListStreams")["Streams"]] == [new]


def test_a_stream_is_not_enabled_or_disabled_twice(world: World) -> None:
    world.create_table("orders")
    with pytest.raises(AwsError, match="already has an enabled stream"):
        _stream(world, StreamEnabled=True, StreamViewType="NEW_IMAGE")
    _stream(world, StreamEnabled=False)
    with pytest.raises(AwsError, match="no stream to disable"):
        _stream(world, StreamEnabled=False)


def test_a_new_stream_may_be_enabling_for_a_while() -> None:
    world = World(clock=VirtualClock(), enabling_answers=2, shards=1)
    arn = world.create_table("orders") or ""
    seen = [world.call("DescribeStream", StreamArn=arn)["StreamDescription"] for _ in range(3)]
    assert [d["StreamStatus"] for d in seen] == ["ENABLING", "ENABLING", "ENABLED"]
    assert [len(d["Shards"]) for d in seen] == [0, 0, 1]


def test_a_deleted_tables_stream_can_be_read_to_its_end(world: World) -> None:
    arn = world.create_table("orders", shards=2) or ""
    _put(world, 10)
    world.call("DeleteTable", TableName="orders")
    assert len(read_all(world, arn)) == 10
    with pytest.raises(AwsError, match="Table: orders not found"):
        world.put("orders", {"id": {"S": "a"}})
