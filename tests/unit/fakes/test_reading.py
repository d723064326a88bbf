"""Listings, iterators and pages behave as AWS's do, in the ways that connectors get wrong."""

from typing import Any

import pytest

from tests.fakes.dynamodb import AwsError, VirtualClock, World
from tests.unit.fakes.reader import iterator, listed, read, sequence


@pytest.fixture
def arn(world: World) -> str:
    return world.create_table("orders", shards=1) or ""


def _put(world: World, count: int) -> None:
    for _ in range(count):
        world.put("orders", {"id": {"S": f"o-{world.history.count('orders')}"}})


def _page(world: World, token: str, **request: Any) -> tuple[int, str | None]:
    answer = world.call("GetRecords", ShardIterator=token, **request)
    return len(answer["Records"]), answer.get("NextShardIterator")


def _shard(world: World) -> str:
    return world.open_shards("orders")[0]


def test_iterators_start_where_they_say(world: World, arn: str) -> None:
    _put(world, 3)
    numbers = [version.sequence for version in world.history.versions("orders")]
    shard, second = _shard(world), str(numbers[1])
    latest = iterator(world, arn, shard, "LATEST")
    _put(world, 1)
    numbers = [version.sequence for version in world.history.versions("orders")]

    def read_from(kind: str, number: str = "") -> list[int]:
        return [sequence(r) for r in read(world, iterator(world, arn, shard, kind, number))[0]]

    assert read_from("TRIM_HORIZON") == numbers
    assert read_from("AT_SEQUENCE_NUMBER", second) == numbers[1:]
    assert read_from("AFTER_SEQUENCE_NUMBER", second) == numbers[2:]
    assert read_from("LATEST") == []
    assert [sequence(r) for r in read(world, latest)[0]] == numbers[3:]


@pytest.mark.parametrize(
    ("kind", "number"),
    [("TRIM_HORIZON", "1" * 21), ("AT_SEQUENCE_NUMBER", ""), ("AT_TIMESTAMP", ""), ("X", "")],
)
def test_iterators_that_make_no_sense_are_refused(
    world: World, arn: str, kind: str, number: str
) -> None:
    with pytest.raises(AwsError, match="ValidationException"):
        iterator(world, arn, _shard(world), kind, number)


def test_unknown_shards_and_iterators_are_refused(world: World, arn: str) -> None:
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        iterator(world, arn, "shardId-00000000000000000000-00000000", "LATEST")
    for token in ("", "nonsense", f"{arn}|1|bm9uc2Vuc2U="):
        with pytest.raises(AwsError, match="Invalid ShardIterator"):
            world.call("GetRecords", ShardIterator=token)


def test_positions_before_what_is_kept_are_refused(world: World, arn: str) -> None:
    _put(world, 3)
    numbers = [str(version.sequence) for version in world.history.versions("orders")]
    shard = _shard(world)
    held = iterator(world, arn, shard, "AFTER_SEQUENCE_NUMBER", numbers[0])
    world.trim_records(shard, 1)
    assert _page(world, held)[0] == 2
    held = iterator(world, arn, shard, "AFTER_SEQUENCE_NUMBER", numbers[1])
    world.trim_records(shard, 2)
    with pytest.raises(AwsError, match="TrimmedDataAccessException"):
        _page(world, held)
    # AWS refuses even the last record's number once that is gone, though nothing was missed.
    for number in numbers:
        with pytest.raises(AwsError, match="TrimmedDataAccessException"):
            iterator(world, arn, shard, "AFTER_SEQUENCE_NUMBER", number)


def test_pages_end_at_the_limit_at_1000_and_at_1_mb(world: World, arn: str) -> None:
    _put(world, 1100)
    token: str | None = iterator(world, arn, _shard(world), "TRIM_HORIZON")
    assert token is not None
    count, after = _page(world, token, Limit=7)
    assert count == 7
    assert after is not None
    assert _page(world, after)[0] == 1000
    for limit in (0, 1001):
        with pytest.raises(AwsError, match="Limit must be between"):
            _page(world, token, Limit=limit)
    token = iterator(world, arn, _shard(world), "LATEST")
    for _ in range(4):
        world.put("orders", {"id": {"S": "big"}, "v": {"S": "x" * 300_000}})
        world.delete("orders", {"id": {"S": "big"}})
    sizes: list[int] = []
    while token is not None and sum(sizes) < 8:
        count, token = _page(world, token)
        sizes.append(count)
    assert sizes == [3, 3, 2]


def test_the_largest_records_come_one_to_a_page(world: World, arn: str) -> None:
    token = iterator(world, arn, _shard(world), "LATEST")
    for mark in "xy":
        world.put("orders", {"id": {"S": "big"}, "v": {"L": [{"S": mark * 409_000}]}})
    world.put("orders", {"id": {"S": "small"}})
    assert _page(world, token)[0] == 1


def test_a_repeated_request_has_the_same_answer(world: World, arn: str) -> None:
    _put(world, 5)
    token = iterator(world, arn, _shard(world), "TRIM_HORIZON")
    assert _page(world, token, Limit=3) == _page(world, token, Limit=3)


@pytest.mark.parametrize(
    ("final_batch", "pages"), [("together", [(3, False)]), ("alone", [(3, True), (0, False)])]
)
@pytest.mark.parametrize("null_iterator", ["absent", "null"])
def test_the_end_comes_with_the_last_records_or_after_them(
    world: World, arn: str, final_batch: str, pages: list[Any], null_iterator: str
) -> None:
    world.configure(final_batch=final_batch, null_iterator=null_iterator)
    _put(world, 3)
    token: str | None = iterator(world, arn, _shard(world), "TRIM_HORIZON")
    world.rotate(_shard(world))
    seen: list[tuple[int, bool]] = []
    answer: dict[str, Any] = {}
    while token is not None:
        answer = world.call("GetRecords", ShardIterator=token)
        token = answer.get("NextShardIterator")
        seen.append((len(answer["Records"]), token is not None))
    assert seen == pages
    assert ("NextShardIterator" in answer) is (null_iterator == "null")


def test_mixed_endings_show_both_over_many_shards(clock: VirtualClock) -> None:
    world = World(clock=clock, shards=16)
    arn = world.create_table("orders") or ""
    _put(world, 200)
    tokens = [iterator(world, arn, s, "TRIM_HORIZON") for s in world.open_shards("orders")]
    world.rotate_all("orders")
    ends = {_page(world, token)[1] is None for token in tokens}
    assert ends == {True, False}


def test_empty_pages_are_no_end(world: World, arn: str) -> None:
    _put(world, 2)
    shard = _shard(world)
    world.rotate(shard)
    world.empty_pages(2, shard)
    token: str | None = iterator(world, arn, shard, "TRIM_HORIZON")
    sizes: list[int] = []
    while token is not None:
        count, token = _page(world, token)
        sizes.append(count)
    assert sizes[:3] == [0, 0, 2]


def test_pages_may_be_empty_at_random(clock: VirtualClock) -> None:
    world = World(clock=clock, shards=1, empty_page_rate=0.5)
    arn = world.create_table("orders") or ""
    _put(world, 20)
    token: str | None = iterator(world, arn, _shard(world), "TRIM_HORIZON")
    sizes: list[int] = []
    while token is not None and sum(sizes) < 20:
        count, token = _page(world, token, Limit=1)
        sizes.append(count)
    assert sum(sizes) == 20
    assert sizes.count(0) > 3


def test_iterators_expire_by_age_and_on_command(
    world: World, clock: VirtualClock, arn: str
) -> None:
    token = iterator(world, arn, _shard(world), "TRIM_HORIZON")
    clock.advance(15 * 60)
    _, after = _page(world, token)
    clock.advance(1)
    with pytest.raises(AwsError, match="ExpiredIteratorException"):
        _page(world, token)
    assert after is not None
    _page(world, after)
    world.expire_iterators()
    with pytest.raises(AwsError, match="ExpiredIteratorException"):
        _page(world, after)
    _page(world, iterator(world, arn, _shard(world), "TRIM_HORIZON"))


def test_a_third_reader_within_a_second_is_refused(
    world: World, clock: VirtualClock, arn: str
) -> None:
    world.configure(readers_max=2)
    one, two, three = (iterator(world, arn, _shard(world), "TRIM_HORIZON") for _ in range(3))
    for token in (one, two, one, two):
        _page(world, token)
    with pytest.raises(AwsError, match="LimitExceededException"):
        _page(world, three)
    clock.advance(0.5)
    _, after = _page(world, one)
    clock.advance(0.5)
    _page(world, three)
    assert after is not None
    _page(world, after)


def test_listings_come_in_pages(clock: VirtualClock) -> None:
    world = World(clock=clock, shards=250)
    arn = world.create_table("orders") or ""
    shards = [shard["ShardId"] for shard in listed(world, arn)]
    assert sorted(shards) == sorted(world.open_shards("orders"))
    assert world.calls["DescribeStream"] == 3
    assert len(listed(world, arn, Limit=99)) == 250
    assert world.calls["DescribeStream"] == 6


def test_a_page_goes_on_though_its_last_shard_is_gone(clock: VirtualClock) -> None:
    world = World(clock=clock, shards=4, page_shards_max=2)
    arn = world.create_table("orders") or ""
    first = world.call("DescribeStream", StreamArn=arn)["StreamDescription"]
    last = first["LastEvaluatedShardId"]
    assert last == first["Shards"][-1]["ShardId"]
    world.rotate(last)
    world.drop_shard(last)
    rest = world.call("DescribeStream", StreamArn=arn, ExclusiveStartShardId=last)
    assert len(rest["StreamDescription"]["Shards"]) == 2


def test_the_children_of_a_shard_can_be_asked_for(world: World, arn: str) -> None:
    shard = _shard(world)
    wanted = {"Type": "CHILD_SHARDS", "ShardId": shard}
    assert listed(world, arn, ShardFilter=wanted) == []
    children = world.split(shard)
    world.split(children[0])
    found = listed(world, arn, ShardFilter=wanted)
    assert sorted(child["ShardId"] for child in found) == sorted(children)
    with pytest.raises(AwsError, match="ShardFilter"):
        listed(world, arn, ShardFilter={"Type": "CHILD_SHARDS"})


def test_a_child_can_be_listed_before_its_parent_is_closed(world: World, arn: str) -> None:
    parent = _shard(world)
    child = world.rotate(parent)
    world.show_open(parent, listings=2)
    for _ in range(2):
        shards = {shard["ShardId"]: shard for shard in listed(world, arn)}
        assert child in shards
        assert "EndingSequenceNumber" not in shards[parent]["SequenceNumberRange"]
    shards = {shard["ShardId"]: shard for shard in listed(world, arn)}
    assert "EndingSequenceNumber" in shards[parent]["SequenceNumberRange"]


def test_a_leaf_can_be_missing_from_listings(world: World, arn: str) -> None:
    child = world.rotate(_shard(world))
    _put(world, 1)
    world.hide_shard(child, listings=2)
    assert child not in [shard["ShardId"] for shard in listed(world, arn)]
    assert len(read(world, iterator(world, arn, child, "TRIM_HORIZON"))[0]) == 1
    parent = world.shards("orders")[0].id
    assert listed(world, arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": parent}) == []
    assert child in [shard["ShardId"] for shard in listed(world, arn)]


def test_streams_are_listed_in_pages(world: World) -> None:
    arns = sorted(world.create_table(f"table-{number}") or "" for number in range(5))
    found: list[str] = []
    start: dict[str, str] = {}
    while True:
        page = world.call("ListStreams", Limit=2, **start)
        found += [stream["StreamArn"] for stream in page["Streams"]]
        if "LastEvaluatedStreamArn" not in page:
            break
        start = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
    assert found == arns
    (only,) = world.call("ListStreams", TableName="table-3")["Streams"]
    assert only["StreamArn"] == world.stream_arn("table-3")
