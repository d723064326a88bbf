"""A consumer group member as a process, to be killed: prints its partitions at every assignment.

`python -m tests.integration.group_member BROKERS GROUP TOPIC SESSION_TIMEOUT_MS [INSTANCE]`
"""

from __future__ import annotations

import json
import signal
import sys
import threading

from confluent_kafka import Consumer, TopicPartition

from bridge.wire.kafka import KafkaConfig


def main(arguments: list[str]) -> None:
    brokers, group, topic, session_timeout_ms, *instance = arguments
    settings = KafkaConfig(brokers=brokers).consumer(group=group)
    settings["session.timeout.ms"] = int(session_timeout_ms)
    settings["heartbeat.interval.ms"] = 500
    settings["auto.offset.reset"] = "earliest"
    if instance:
        settings["group.instance.id"] = instance[0]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    consumer = Consumer(settings)
    consumer.subscribe([topic], on_assign=_say, on_revoke=lambda *_: print("[]", flush=True))
    while not stopping.is_set():
        consumer.poll(0.1)
    consumer.close()


def _say(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
    print(json.dumps(sorted(place.partition for place in partitions)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
