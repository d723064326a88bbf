"""The floor: the least any program does that fetches these answers and produces as many messages.

The same answers through the connector's own HTTP client, unread; as many messages, ready-made
before; producers with the connector's own settings, one for each bucket that has shards, each
committing as it does: once a second, or sooner at as many bytes. No record is looked at, no
position is kept, and one thread does it all.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Producer

from bridge.connector.aws import AwsRegion
from bridge.connector.bucket import producer_settings
from bridge.connector.plan import shard_bucket
from bridge.connector.service import ConnectorConfig
from bridge.wire.attributes import canonical_key
from bridge.wire.envelope import stamp, stamp_record
from bridge.wire.kafka import KafkaConfig
from bridge.wire.topics import DEFAULT_BUCKETS
from tests.benchmarks import answers
from tests.benchmarks.answers import Answers


def ready_made(records: int) -> list[tuple[bytes, bytes]]:
    """One answer's messages, key and value, as the connector would write them."""
    body = bytes(Answers(records).page(0, 0))
    tail = stamp(1_767_225_600, answers.shard_id(0), answers.ARN)
    decoded = json.loads(body)["Records"]
    return [
        (
            canonical_key(record["dynamodb"]["Keys"]),
            stamp_record(json.dumps(record, separators=(",", ":")).encode(), tail),
        )
        for record in decoded
    ]


class Lane:
    """One bucket's producer and how many pages of messages wait for it."""

    def __init__(self, kafka: KafkaConfig, bucket: int) -> None:
        transactional_id = f"{kafka.namespace}.connector.{bucket}"
        self.producer = Producer(producer_settings(kafka, transactional_id))
        self.producer.init_transactions()
        self.pages = 0
        self.waiting_bytes = 0
        self.committed_at = time.monotonic()

    def commit(self, topic: str, messages: list[tuple[bytes, bytes]]) -> None:
        """Produce what waits, in one transaction."""
        producer, produce = self.producer, self.producer.produce
        producer.begin_transaction()
        for _ in range(self.pages):
            for key, value in messages:
                while True:
                    try:
                        produce(topic, value, key)
                        break
                    except BufferError:
                        producer.poll(0.1)
        producer.commit_transaction()
        self.pages = self.waiting_bytes = 0
        self.committed_at = time.monotonic()


class Floor:
    """One pass after the other over all shards."""

    def __init__(self, kafka: KafkaConfig, topic: str, shards: int, records: int) -> None:
        self._topic = topic
        self._calls = AwsRegion(answers.REGION).streams
        self._messages = ready_made(records)
        self._iterators = [answers.iterator_of(shard, 0) for shard in range(shards)]
        names = [answers.shard_id(shard) for shard in range(shards)]
        self._owner = [shard_bucket(DEFAULT_BUCKETS, answers.ARN, name) for name in names]
        self._bytes_max = ConnectorConfig(kafka=kafka, sources=()).commit.bytes_max
        self._lanes = {bucket: Lane(kafka, bucket) for bucket in sorted(set(self._owner))}

    def run(self, interval_s: float) -> None:
        """Until the process is ended."""
        while True:
            pages = 0
            for shard in range(len(self._iterators)):
                pages += self._fetch(shard)
                self._commit_due(interval_s)
            if pages == 0:
                time.sleep(0.25)

    def _commit_due(self, interval_s: float) -> None:
        now = time.monotonic()
        for lane in self._lanes.values():
            due = now - lane.committed_at >= interval_s or lane.waiting_bytes >= self._bytes_max
            if lane.pages and due:
                lane.commit(self._topic, self._messages)

    def _fetch(self, shard: int) -> int:
        body = self._calls.call("GetRecords", {"ShardIterator": self._iterators[shard]})
        following = answers.next_iterator(body)
        if following == self._iterators[shard]:
            return 0
        self._iterators[shard] = following
        lane = self._lanes[self._owner[shard]]
        lane.pages += 1
        lane.waiting_bytes += len(body)
        return 1


def main(order_text: str) -> None:
    order = json.loads(order_text)
    floor = Floor(KafkaConfig(**order["kafka"]), order["topic"], order["shards"], order["records"])
    floor.run(order["interval_s"])


if __name__ == "__main__":
    main(sys.argv[1])
