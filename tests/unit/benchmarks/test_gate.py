"""The benchmark's gate refuses what did not arrive exactly once, and its answers are real ones."""

from __future__ import annotations

import json
import os
from typing import Any

import orjson
import pytest
from botocore.parsers import create_parser
from botocore.session import get_session

from bridge.connector.records import HashKey, decode_records
from tests.benchmarks import answers, meter
from tests.benchmarks.answers import Answers, Place
from tests.benchmarks.gate import Arrivals
from tests.benchmarks.report import at_least, at_most
from tests.benchmarks.streams_server import Load, Rate, Streams

LOAD = Load(shards=3, busy=2, pages=2, records=5)


def served(load: Load) -> list[bytes]:
    """Every record of a load, in an order a topic may have."""
    pages = [(shard, page) for shard in range(load.busy) for page in range(load.pages)]
    bodies = [orjson.loads(Answers(load.records).page(*place)) for place in pages]
    return [orjson.dumps(record) for body in bodies for record in body["Records"]]


def arrivals(values: list[bytes], *, ready_made: bool = False) -> Arrivals:
    counted = Arrivals(LOAD, ready_made=ready_made)
    for value in values:
        counted.add(0, value)
    return counted


def test_everything_once_passes() -> None:
    assert arrivals(served(LOAD)).check() == LOAD.total == 20


def test_a_missing_record_is_refused() -> None:
    with pytest.raises(AssertionError, match="1 of 20 records missing, 0 doubled"):
        arrivals(served(LOAD)[:-1]).check()


def test_a_record_that_came_twice_is_refused() -> None:
    values = served(LOAD)
    counted = arrivals(values)
    counted.add(1, values[0])
    with pytest.raises(AssertionError, match="0 of 20 records missing, 1 doubled"):
        counted.check()


def test_a_record_out_of_order_is_refused() -> None:
    values = served(LOAD)
    with pytest.raises(AssertionError, match="order broken"):
        arrivals([values[1], values[0]])


def test_a_record_nobody_served_is_refused() -> None:
    with pytest.raises(AssertionError, match="nobody served"):
        arrivals([bytes(served(Load(shards=3, busy=3, pages=2, records=5))[-1])])


def test_ready_made_messages_come_once_for_each_answer() -> None:
    page = served(Load(shards=1, busy=1, pages=1, records=5))
    assert arrivals(page * 4, ready_made=True).check() == 20
    with pytest.raises(AssertionError, match="5 of 5 records missing"):
        arrivals(page * 3, ready_made=True).check()


def test_an_answer_is_what_boto3_and_the_connector_read() -> None:
    body = bytes(Answers(50).page(3, 4))
    service = get_session().get_service_model("dynamodbstreams")
    shape: Any = service.operation_model("GetRecords").output_shape
    response = {"status_code": 200, "headers": {}, "body": body}
    parsed = create_parser("json").parse(response, shape)
    page = decode_records(body, HashKey(answers.HASH_NAME), None)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in parsed["Records"]]
    assert numbers == [Place(3, 4, number).sequence for number in range(50)]
    assert [Place.of(number) for number in numbers] == [Place(3, 4, n) for n in range(50)]
    assert len(page.records) == 50
    assert page.last == numbers[-1]
    assert not page.backwards
    assert page.next_iterator == parsed["NextShardIterator"] == answers.next_iterator(body)
    assert answers.iterator_place(answers.next_iterator(body)) == (3, 5)
    assert 900 < len(body) / 50 < 1200


def test_nothing_is_served_before_the_beginning_and_the_same_page_again_after_it() -> None:
    streams = Streams(LOAD)
    ask = json.dumps({"ShardIterator": answers.iterator_of(1, 0)}).encode()
    _, held = streams.answer("GetRecords", ask)
    assert bytes(held) == answers.empty(1, 0)
    streams.answer("Begin", b"{}")
    first, second = (bytes(streams.answer("GetRecords", ask)[1]) for _ in range(2))
    assert first == second == bytes(Answers(5).page(1, 0))
    stats = json.loads(streams.answer("Stats", b"")[1])
    assert stats["pages_served"] == 1
    assert stats["get_records"] == 3


def test_every_shard_is_listed_once() -> None:
    streams = Streams(Load(shards=250, busy=0, pages=0))
    found: list[str] = []
    request: dict[str, str] = {}
    while True:
        answer = json.loads(streams.answer("DescribeStream", json.dumps(request).encode())[1])
        described = answer["StreamDescription"]
        found += [shard["ShardId"] for shard in described["Shards"]]
        if "LastEvaluatedShardId" not in described:
            break
        request = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}
    assert found == [answers.shard_id(number) for number in range(250)]


def test_a_rate_is_the_most_calls_in_any_second() -> None:
    rate = Rate()
    for at_s in (0.0, 0.5, 0.9, 1.2, 3.0):
        rate.count(at_s)
    assert rate.most == 3


def test_a_target_that_is_missed_says_so() -> None:
    assert at_least("speed", 20, 20.0).met
    assert at_least("speed", 20, 19.9).line().startswith("MISSED speed: 19.9")
    assert not at_most("memory", 300, 301, " MB").met


def test_cpu_time_and_memory_of_a_process_are_read_from_outside() -> None:
    before_s = meter.cpu_s(os.getpid())
    total = sum(number * number for number in range(300_000))
    assert total > 0
    assert 0 < meter.cpu_s(os.getpid()) - before_s < 30
    assert meter.peak_rss_bytes(os.getpid()) > 10_000_000
