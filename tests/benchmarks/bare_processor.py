"""The bare loop: consume, project, produce, in transactions. No recovery, no rebalance, no checks.

`python -m tests.benchmarks.bare_processor JSON`. With state, RocksDB is written after each commit
and its changes go to a changelog topic, as a stateful processor must.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rocksdict
from confluent_kafka import Consumer, Message, Producer

from tests.benchmarks import by_hand

_BATCH = 1_000


class Rows:
    """Writes the rows of messages into the producer's open transaction."""

    def __init__(self, producer: Producer, options: dict[str, Any]) -> None:
        self.produce = producer.produce
        self.topic, self.fingerprint = options["rows"], options["fingerprint"]
        self.changelog = options["changelog"]
        self.pending: dict[bytes, bytes] = {}
        if options["task"] == "lines":
            raw = rocksdict.Options(raw_mode=True)
            self.store = rocksdict.Rdict(str(Path(options["state_dir"]) / "bare"), raw)

    def select(self, messages: list[Message]) -> None:
        """Rows of the select."""
        produce, topic, fingerprint = self.produce, self.topic, self.fingerprint
        for message in messages:
            headers = by_hand.headers_of(fingerprint, message.offset())
            produce(topic, by_hand.select(message.value()), message.key(), headers=headers)

    def lines(self, messages: list[Message]) -> None:
        """Rows of the exploded example."""
        produce, topic, fingerprint = self.produce, self.topic, self.fingerprint
        pending, stored = self.pending, self.store.get
        for message in messages:
            key = message.key()
            found = by_hand.lines(message.value(), pending.get(key) or stored(key))
            if found is None:
                continue
            written, pending[key] = found
            headers = by_hand.headers_of(fingerprint, message.offset())
            for value in written:
                produce(topic, value, key, headers=headers)

    def prepare(self) -> None:
        """The changelog's part of the transaction."""
        for key, value in self.pending.items():
            self.produce(self.changelog, value, key)

    def flush(self) -> None:
        """State to the disk, once the transaction is committed."""
        if self.pending:
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, value in self.pending.items():
                batch.put(key, value)
            self.store.write(batch)
            self.pending.clear()


def main(options: dict[str, Any]) -> None:
    """Until it is killed."""
    consumer = Consumer(options["consumer"])
    producer = Producer(options["producer"])
    producer.init_transactions()
    consumer.subscribe([options["topic"]])
    rows = Rows(producer, options)
    write: Callable[[list[Message]], None] = getattr(rows, options["task"])
    begun_s = 0.0
    while True:
        messages = consumer.consume(_BATCH, 0.05)
        if messages:
            if not begun_s:
                producer.begin_transaction()
                begun_s = time.monotonic()
            write(messages)
            producer.poll(0)
        if begun_s and time.monotonic() - begun_s >= options["interval_s"]:
            rows.prepare()
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
            )
            producer.commit_transaction()
            rows.flush()
            begun_s = 0.0


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
