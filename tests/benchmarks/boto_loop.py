"""The loop people write: boto3's get_records, json.dumps, produce, a transaction once a second.

One thread, the clients' own defaults, no parents, no checkpoints, no owners: less than a connector
must do, so the comparison flatters it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import boto3
from confluent_kafka import Producer

from tests.benchmarks import answers


def iterators(client: Any) -> list[str]:
    """An iterator at the start of each shard."""
    shards: list[str] = []
    more: dict[str, str] = {}
    while True:
        described = client.describe_stream(StreamArn=answers.ARN, **more)["StreamDescription"]
        shards += [shard["ShardId"] for shard in described["Shards"]]
        if "LastEvaluatedShardId" not in described:
            break
        more = {"ExclusiveStartShardId": described["LastEvaluatedShardId"]}
    return [
        client.get_shard_iterator(
            StreamArn=answers.ARN, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for shard in shards
    ]


class Loop:
    """One pass after the other over all shards."""

    def __init__(self, producer: Producer, topic: str, interval_s: float) -> None:
        self._producer = producer
        self._topic = topic
        self._interval_s = interval_s
        self._open = False
        self._committed_at = 0.0
        self._client: Any = boto3.client("dynamodbstreams", region_name=answers.REGION)
        self._iterators = iterators(self._client)

    def turn(self) -> int:
        """Ask every shard once; how many records came."""
        count = 0
        for place, iterator in enumerate(self._iterators):
            answer = self._client.get_records(ShardIterator=iterator)
            self._iterators[place] = answer["NextShardIterator"]
            count += len(answer["Records"])
            for record in answer["Records"]:
                self._produce(record)
            if self._open and time.monotonic() - self._committed_at >= self._interval_s:
                self._commit()
        return count

    def _produce(self, record: dict[str, Any]) -> None:
        if not self._open:
            self._producer.begin_transaction()
            self._open = True
            self._committed_at = time.monotonic()
        key, value = json.dumps(record["dynamodb"]["Keys"]), json.dumps(record, default=str)
        while True:
            try:
                self._producer.produce(self._topic, key=key, value=value)
                break
            except BufferError:
                self._producer.poll(0.1)

    def _commit(self) -> None:
        self._producer.commit_transaction()
        self._open = False

    def run(self) -> None:
        """Until the process is ended."""
        while True:
            if self.turn() == 0:
                if self._open:
                    self._commit()
                time.sleep(0.25)


def main(order_text: str) -> None:
    order = json.loads(order_text)
    producer = Producer({"bootstrap.servers": order["brokers"], "transactional.id": order["topic"]})
    producer.init_transactions()
    Loop(producer, order["topic"], order["interval_s"]).run()


if __name__ == "__main__":
    main(sys.argv[1])
